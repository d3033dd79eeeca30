"""A few hours in the life of a mesh, told in a moment: something of everything that Sonar's pages show."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from math import sin
from pathlib import Path

from squidmesh import Mesh
from squidmesh.clock import to_instant
from squidmesh.testing.clock import VirtualClock
from tests.features.world import Hand, SqliteWorld, World, work
from tests.scenarios import sonar_app
from tests.scenarios.sonar_app import WORKFLOWS, Feast, Ferry, Invitations, Journey, Letter, Nothing, RingErrand

HOURS = 4
"""How long ago it began. It ends as near to now as its last errand allows."""
_RINGS = ("narya", "nenya", "vilya", "lost", "one-ring", "cursed", "of-the-dwarves")
_LEASE = timedelta(minutes=10)


@contextmanager
def told(folder: Path) -> Iterator[str]:
    """The URL of the store, at whose end it is now."""
    with SqliteWorld(folder) as world:
        world.clock = VirtualClock(datetime.now(UTC) - timedelta(hours=HOURS, minutes=3))
        before, sonar_app.spend = sonar_app.spend, world.pass_time
        try:
            _tell(world)
        finally:
            sonar_app.spend = before
    yield f"sqlite:///{folder / 'journal.db'}"


def _tell(world: World) -> None:
    mesh = world.process(*WORKFLOWS, max_deliveries=1, lease=_LEASE)
    with mesh.cron():
        pass
    end = to_instant(datetime.now(UTC) - timedelta(minutes=8))
    for number in count():
        if world.clock.now() >= end:
            break
        ring = _RINGS[number * 5 % len(_RINGS)]
        queue = "shire" if number % 4 else "gondor"
        journey = Journey(ring_id=ring, rations=number % 13 + 3, pace="ride" if number % 3 else "walk")
        key = None if number % 3 else f"errand-{number:04}"
        run = mesh.start_run(RingErrand.leave_shire, journey, key=key, queue=queue)
        world.pass_time(20)
        _work(world, mesh)
        if number % 9 != 4 or world.clock.now() < end - 1_800_000_000:
            verb = mesh.reject_run if number % 17 == 3 else mesh.approve_run
            verb(run.run_id, actor="elrond", comment="The council has spoken." if number % 2 else None)
            _work(world, mesh)
        world.pass_time(60 + 55 * sin(number / 9))
        if number in (40, 80, 100):
            mesh.cancel_run(
                mesh.start_run(Letter.send, queue="shire").run_id, actor="gandalf", comment="Fly, you fools."
            )
    mesh.start_run(Feast.invite, Nothing(), queue="shire", key="eleventy-first")
    mesh.start_run(Invitations.begin, Nothing(), queue="shire", key="party")
    _work(world, mesh)
    for number in range(4):
        mesh.start_run(Ferry.board, Nothing(), queue="anduin" if number else "brandywine")
        world.pass_time(30)
        _lose(world, mesh)
    mesh.pause_queue("anduin", actor="boromir", comment="Orcs on the eastern shore.")
    for _ in range(5):
        mesh.start_run(Ferry.board, Nothing(), queue="anduin")
    one = mesh.start_run(
        RingErrand.leave_shire, Journey(ring_id="cursed", bearer="Isildur"), key="fords", queue="shire"
    )
    _work(world, mesh)
    mesh.approve_run(one.run_id, actor="elrond", comment="Against my better judgement.")
    mesh.execute_next(owner_id="strider", queues=["shire"])
    world.pass_time(20)
    mesh.execute_next(owner_id="strider", queues=["shire"])
    mesh.close()


def _work(world: World, mesh: Mesh) -> None:
    """All that is ready, and what becomes so within a second."""
    for _ in range(4):
        while mesh.execute_next(owner_id="strider", queues=["shire", "gondor"]) is not None:
            pass
        world.pass_time(0.2)


def _lose(world: World, mesh: Mesh) -> None:
    """Who has claimed it is gone, and another one finds that out."""
    queues = ["anduin", "brandywine"]
    for queue in queues:
        doomed = Hand(world.process(*WORKFLOWS, max_deliveries=1, lease=1.0, queue=queue), "ferryman")
        if doomed.claim():
            doomed.die()
            world.pass_time(1.5)
            work(world.process(*WORKFLOWS, max_deliveries=1, lease=1.0, queue=queue))
