"""How each alert is made to fire: a fault that lasts as long as its context, and is mended when that ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import distribution

from tests.support.alarm_fleet import World
from tests.support.alarmed import LEASE, Order, Stuck, Work

Fault = Callable[[World], AbstractContextManager[None]]


@contextmanager
def again_and_again(what: Callable[[], object], pause: float) -> Iterator[None]:
    """Carries something out in a thread while the context lasts."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            what()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


def until(true: Callable[[], object], what: str, within: float = 60) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def started(world: World, what: str, number: int, queue: str | None = None) -> None:
    world.mesh.start_runs(Work.placed, [Order(what=what)] * number, queue=queue)


def in_work(world: World, queue: str, *, ready: bool = True) -> int:
    """Items that somebody works on, and those that wait for somebody."""
    found = [one for one in world.mesh.vitals().queues if one.queue == queue]
    return sum(one.leased + (one.ready if ready else 0) for one in found)


@contextmanager
def a_queue_is_paused(world: World) -> Iterator[None]:
    world.mesh.pause_queue("bulk", actor="sam")
    yield
    world.mesh.resume_queue("bulk", actor="sam")


@contextmanager
def nobody_serves_a_queue(world: World) -> Iterator[None]:
    """It grows all the time."""
    started(world, "quick", 1050, "bulk")
    with again_and_again(lambda: started(world, "hold", 20, "bulk"), 0.5):
        yield


@contextmanager
def somebody_comes_late(world: World) -> Iterator[None]:
    """To what the fault before has left."""
    world.fleet.worker("late", "--queue=bulk", "--concurrency=40")
    yield
    until(lambda: not in_work(world, "bulk"), "it is done")
    world.fleet.kill("late")
    world.fleet.forget("late")


@contextmanager
def runs_fail(world: World) -> Iterator[None]:
    with again_and_again(lambda: started(world, "fail", 5), 0.5):
        yield


@contextmanager
def a_worker_is_killed_with_work_in_hand(world: World) -> Iterator[None]:
    """And is not started again. Of 13 leases it holds at least 5, since the other one has 8 slots."""
    started(world, "hold", 24)
    until(lambda: in_work(world, "default", ready=False) >= 13, "it has work in hand")
    world.fleet.kill("mill")
    yield
    world.fleet.worker("mill")


@contextmanager
def a_step_kills_its_worker(world: World) -> Iterator[None]:
    """The process, and then the child that it runs in: a dead letter."""
    started(world, "kill", 1)
    until(world.fleet.dead, "a worker dies")
    for name in world.fleet.bury():
        world.fleet.worker(name)
    yield
    world.mesh.discard_dead_letters(all=True, actor="sam", reason="it was a trial")


@contextmanager
def a_worker_sleeps_past_its_leases(world: World) -> Iterator[None]:
    """Again and again, with work in hand that somebody else takes."""

    def sleep() -> None:
        started(world, "hold", 16)
        time.sleep(0.7)
        world.fleet.freeze("mill")
        time.sleep(2 * LEASE)
        world.fleet.resume("mill")

    with again_and_again(sleep, 1):
        yield


@contextmanager
def the_leases_answer_late(world: World) -> Iterator[None]:
    def stall() -> None:
        started(world, "hold", 16)
        world.leases.freeze()
        time.sleep(2)
        world.leases.resume()

    with again_and_again(stall, 0.8):
        yield


@contextmanager
def a_pump_hangs(world: World) -> Iterator[None]:
    world.fleet.worker("hung", "--queue=hang", ALARMED_HANGS="1")
    world.mesh.start_run(Stuck.placed, Order(), queue="hang")
    yield
    world.fleet.kill("hung")
    world.fleet.forget("hung")


@contextmanager
def the_leases_are_away(world: World) -> Iterator[None]:
    world.leases.kill()
    yield
    world.leases.start()


@contextmanager
def the_journal_is_away(world: World) -> Iterator[None]:
    world.postgres.kill()
    yield
    world.postgres.start()


@contextmanager
def no_worker_is_there(world: World) -> Iterator[None]:
    world.fleet.kill("mill", "barn")
    world.fleet.forget("mill", "barn")
    yield
    for name in ("mill", "barn"):
        world.fleet.worker(name)


@contextmanager
def an_older_version_works_too(world: World) -> Iterator[None]:
    """It is this one, whose metadata say so."""
    metadata = world.folder / "older" / "squidmesh-0.0.9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: squidmesh\nVersion: 0.0.9\n")
    (metadata / "entry_points.txt").write_text(distribution("squidmesh").read_text("entry_points.txt") or "")
    world.fleet.worker("older", path=str(metadata.parent))
    yield
    world.fleet.kill("older")
    world.fleet.forget("older")


FAULTS: tuple[tuple[Fault, tuple[str, ...]], ...] = (
    (a_queue_is_paused, ("SquidMeshQueuePaused",)),
    (a_pump_hangs, ("SquidMeshPumpNotLive",)),
    (an_older_version_works_too, ("SquidMeshVersionsMixed",)),
    (runs_fail, ("SquidMeshRunsFail",)),
    (nobody_serves_a_queue, ("SquidMeshQueueTooOld", "SquidMeshQueueGrows")),
    (somebody_comes_late, ("SquidMeshScheduleToStartSlow",)),
    (a_worker_is_killed_with_work_in_hand, ("SquidMeshTargetDown", "SquidMeshLeasesTakenOver")),
    (a_step_kills_its_worker, ("SquidMeshDeadLetters",)),
    (a_worker_sleeps_past_its_leases, ("SquidMeshStaleWrites", "SquidMeshLeasesLost")),
    (the_leases_answer_late, ("SquidMeshLeaseMarginLow",)),
    (
        the_leases_are_away,
        ("SquidMeshStoreAway", "SquidMeshRoleDown", "SquidMeshReconcilerQuiet", "SquidMeshFleetNotReady"),
    ),
    (the_journal_is_away, ("SquidMeshStoreAway",)),
    (no_worker_is_there, ("SquidMeshNoWorker",)),
)
"""In this order. Those of cron take minutes, and go on beside all these: the test has them."""
