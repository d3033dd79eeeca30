"""What a bad step does to its worker and to what runs beside it: it holds the lock, blocks the loop, crashes.

One quick scenario of each kind; under the marker ``all`` they take as long as a lease would be missed many times over,
and PostgreSQL and Redis hold the leases too.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from squidmesh import Mesh
from squidmesh.journal import facts
from tests.scenarios.bad_fleet import BadFleet
from tests.scenarios.bad_steps import Deed, Isolated, OnTheLoop, Plain, Timed
from tests.scenarios.fleet import until
from tests.support.memory_limit import kills_of, limited_group
from tests.support.postgreses import VERSIONS, started
from tests.support.redises import started as redis_started

Make = Callable[..., BadFleet]
INNOCENTS = 60
WAITS = ("wait for the word", 0.0)


@pytest.fixture
def sqlite_fleet(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(**given: object) -> BadFleet:
            url = f"sqlite:///{tmp_path / 'journal.db'}"
            return stack.enter_context(BadFleet(tmp_path, url=url, **given))  # type: ignore[arg-type]

        yield make


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """``make(…)`` makes one, and it ends with the test."""
    with ExitStack() as stack:
        url, leases = f"sqlite:///{tmp_path / 'journal.db'}", None
        if request.param != "sqlite":
            server = stack.enter_context(started(VERSIONS[0], tmp_path / "postgres"))
            url = server.create_database("bad")
        if request.param == "redis":
            leases = stack.enter_context(redis_started("valkey", tmp_path / "redis")).url

        def make(**given: object) -> BadFleet:
            return stack.enter_context(BadFleet(tmp_path, url=url, leases=leases, **given))  # type: ignore[arg-type]

        yield make


def lock_and_loop(fleet: BadFleet, seconds: float) -> None:
    """Held and blocked for so long, beside others, while a second worker stands by: nobody loses a lease."""
    worker = fleet.hire()
    runs = fleet.start(Plain, [("hold the lock", seconds), ("wait", seconds), ("wait", 1.0)])
    runs += fleet.start(OnTheLoop, [("wait", 1.0), ("wait", seconds)])
    fleet.until_noted("began", runs)
    fleet.hire()
    assert fleet.until_ended(runs, within=seconds + 60) == ["completed"] * 5
    assert [fleet.claims(run_id) for run_id in runs] == [1] * 5, "one delivery each"
    assert {note.process for note in fleet.notes()} == {worker.pid}, "nobody took over"
    assert "extended_meanwhile=" in fleet.log(worker), "by the sidecar, and the worker learnt of it"


def test_a_held_lock_costs_no_lease(sqlite_fleet: Make) -> None:
    """3.5.4: four leases long."""
    lock_and_loop(sqlite_fleet(lease=1.5), 6.0)


@pytest.mark.all
@pytest.mark.timeout(240)
def test_a_lock_that_is_held_for_half_a_minute_costs_no_lease(fleet: Make) -> None:
    lock_and_loop(fleet(lease=4.0), 30.0)


@pytest.mark.all
@pytest.mark.timeout(240)
def test_a_loop_that_is_blocked_for_half_a_minute_costs_no_lease(fleet: Make) -> None:
    """Heartbeats, the pump and plain steps need no loop: the sidecar has nothing to do."""
    here = fleet(lease=3.0)
    worker = here.hire()
    runs = here.start(OnTheLoop, [("block the loop", 30.0), ("wait", 1.0)]) + here.start(Plain, [("wait", 20.0)])
    here.until_noted("began", runs)
    here.hire()
    later = here.start(Plain, [("wait", 0.1)] * 10)
    assert here.until_ended(later) == ["completed"] * 10
    assert here.mesh.inspect_run(runs[0]).ended_at is None, "the loop is still blocked"
    assert here.until_ended(runs, within=90) == ["completed"] * 3
    assert [here.claims(run_id) for run_id in runs] == [1] * 3
    assert {note.process for note in here.notes() if note.run_id in runs} == {worker.pid}
    assert "heartbeats_starved" not in here.log(worker)


@pytest.mark.all
@pytest.mark.timeout(240)
def test_without_its_sidecar_a_worker_loses_what_it_can_not_hold(sqlite_fleet: Make) -> None:
    """What the sidecar is for; and a worker that hangs for good loses its work with one, too."""
    here = sqlite_fleet(lease=2.0)
    here.hire("--no-sidecar", concurrency=2)
    (held,) = here.start(Plain, [("hold the lock", 8.0)])
    here.until_noted("began", [held])
    here.hire()
    until(lambda: here.claims(held) > 1, "a takeover", within=60)


@pytest.mark.all
@pytest.mark.timeout(240)
def test_a_worker_that_hangs_for_good_loses_its_work(sqlite_fleet: Make) -> None:
    here = sqlite_fleet(lease=2.0)
    worker = here.hire(concurrency=2)
    held, waits = here.start(Plain, [("hold the lock for ever", 0.0), ("wait", 4.0)])
    here.until_noted("began", [held])
    here.hire()
    began = time.monotonic()
    until(lambda: here.claims(waits) > 1 or here.claims(held) > 1, "a takeover", within=60)
    assert time.monotonic() - began > 10, "it was held for leases before"
    worker.kill()


@pytest.mark.all
@pytest.mark.timeout(240)
def test_a_worker_that_is_stopped_loses_its_leases(fleet: Make) -> None:
    here = fleet(lease=2.0)
    worker = here.hire()
    runs = here.start(Plain, [("wait", 3.0)] * 3) + here.start(OnTheLoop, [("wait", 3.0)])
    here.until_noted("began", runs)
    time.sleep(1.0)  # its pump rests: a process that is stopped in a commit to SQLite holds up everybody
    os.kill(worker.pid, signal.SIGSTOP)
    other = here.hire()
    assert here.until_ended(runs) == ["completed"] * 4
    ended = {note.run_id for note in here.notes() if note.word == "ended" and note.process != worker.pid}
    assert ended == set(runs), "all were taken over"
    os.kill(worker.pid, signal.SIGCONT)
    until(lambda: "_refused" in here.log(worker), "its results, which come too late", within=20)
    assert [here.mesh.inspect_run(run_id).status for run_id in runs] == ["completed"] * 4
    assert other.poll() is None


# ---------------------------------------------------------------------------------------------------------- crashes


def test_an_isolated_crash_is_a_dead_letter_and_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.5.5, in a host's own worker: the guilty attempt alone is given up, and at once."""
    monkeypatch.setenv("BAD_STEPS_LEDGER", str(tmp_path / "ledger"))
    with (
        Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Isolated, Plain], max_deliveries=2) as mesh,
        mesh.worker(concurrency=12),
    ):
        innocents = mesh.start_runs(Plain, [Deed(kind="wait", seconds=1.0)] * 8)
        guilty = mesh.start_run(Isolated, Deed(kind="crash"))
        isolated = mesh.start_run(Isolated, Deed(kind="wait", seconds=0.1))
        until(lambda: mesh.list_dead_letters().dead_letters, "the dead letter")
        (letter,) = mesh.list_dead_letters().dead_letters
        assert (letter.run_id, letter.lost, letter.detail) == (guilty.run_id, 2, "signal 11 (SIGSEGV)")
        for run in [*innocents, isolated]:
            assert mesh.wait_for(run.run_id, timeout=20).status == "completed"


def test_an_isolated_step_is_killed_at_its_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it holds the lock of its interpreter: the attempt has failed, and no delivery was lost."""
    monkeypatch.setenv("BAD_STEPS_LEDGER", str(tmp_path / "ledger"))
    with (
        Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Isolated, Timed]) as mesh,
        mesh.worker(concurrency=1),
    ):
        warm = mesh.start_run(Isolated, Deed(kind="wait"))  # the time that a process needs to start counts, too
        assert mesh.wait_for(warm.run_id, timeout=20).status == "completed"
        run = mesh.start_run(Timed, Deed(kind="hold the lock for ever"))
        assert mesh.wait_for(run.run_id, timeout=20).status == "failed"
        notes = [line.split() for line in (tmp_path / "ledger").read_text().splitlines()]
        (process,) = [int(note[3]) for note in notes if note[1] == run.run_id]
        until(lambda: not _is_there(process), "its end")
        assert mesh.list_dead_letters().dead_letters == ()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def deaths_of(fleet: BadFleet, run_id: str) -> tuple[list[str], int]:
    """The causes of its lost deliveries, and how many claims it had."""
    told = fleet.facts(run_id)
    return [fact.cause for fact in told if isinstance(fact, facts.DeliveryLost)], fleet.claims(run_id)


@pytest.mark.all
@pytest.mark.timeout(240)
def test_of_sixty_claims_beside_an_isolated_crash_none_is_lost(fleet: Make) -> None:
    here = fleet(lease=3.0)
    worker = here.hire(concurrency=INNOCENTS + 4)
    innocents = here.start(Plain, [WAITS] * (INNOCENTS - 10)) + here.start(OnTheLoop, [WAITS] * 10)
    here.until_noted("began", innocents)
    (guilty,) = here.start(Isolated, [("crash", 0.0)])
    until(lambda: here.mesh.list_dead_letters().dead_letters, "the dead letter", within=60)
    assert {here.mesh.inspect_run(run_id).ended_at for run_id in innocents} == {None}, "at once, beside them"
    here.give_the_word()
    assert here.until_ended(innocents) == ["completed"] * INNOCENTS
    assert {here.claims(run_id) for run_id in innocents} == {1}
    assert deaths_of(here, guilty)[0] == ["signal 11 (SIGSEGV)"] * 3
    assert worker.poll() is None


@pytest.mark.all
@pytest.mark.timeout(240)
def test_of_sixty_claims_beside_a_plain_crash_all_end_well(fleet: Make) -> None:
    """Its worker dies with all that it holds. The next one runs each alone, and only the guilty one dies again."""
    here = fleet(lease=3.0)
    worker = here.hire(concurrency=INNOCENTS + 4)
    runs = here.start(Plain, [("crash", 3.0)] + [("wait", 0.2)] * INNOCENTS)
    guilty, innocents = runs[0], runs[1:]
    quick = here.start(Plain, [("wait", 5.0)] * 2)
    here.until_noted("began", [guilty, *quick])
    worker.wait(30)
    here.hire(concurrency=INNOCENTS + 4)
    assert here.until_ended([*innocents, *quick], within=120) == ["completed"] * (INNOCENTS + 2)
    until(lambda: here.mesh.list_dead_letters().dead_letters, "the dead letter", within=60)
    (letter,) = here.mesh.list_dead_letters().dead_letters
    assert letter.run_id == guilty
    assert here.workers[-1].poll() is None, "the second worker lives"


@pytest.mark.all
@pytest.mark.timeout(240)
def test_what_the_kernel_kills_for_its_memory_is_a_dead_letter(tmp_path: Path) -> None:
    """By the real OOM killer where a control group can be made here; else by a watcher that kills as it does."""
    with limited_group(200) as group:
        with BadFleet(tmp_path, url=f"sqlite:///{tmp_path / 'journal.db'}", lease=3.0, group=group) as here:
            worker = here.hire()
            innocents = here.start(Plain, [WAITS] * 3) + here.start(Isolated, [WAITS])
            here.until_noted("began", innocents)
            (guilty,) = here.start(Isolated, [("eat memory", 0.0)])
            done = threading.Event()
            watcher = threading.Thread(target=_kill_the_large, args=(here, guilty, done))
            if group is None:
                watcher.start()
            until(lambda: here.mesh.list_dead_letters().dead_letters, "the dead letter", within=60)
            done.set()
            here.give_the_word()
            causes, _ = deaths_of(here, guilty)
            assert causes == ["signal 9 (SIGKILL)"] * 3
            assert here.until_ended(innocents) == ["completed"] * 4
            assert {here.claims(run_id) for run_id in innocents} == {1}
            assert worker.poll() is None
        if group is not None:
            assert kills_of(group) >= 3


def _kill_the_large(fleet: BadFleet, guilty: str, done: threading.Event) -> None:
    while not done.wait(0.02):
        for note in fleet.notes():
            statm = Path(f"/proc/{note.process}/statm")
            if note.run_id == guilty and statm.exists():
                resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                if resident > 200 * 1024 * 1024:
                    os.kill(note.process, signal.SIGKILL)
