"""I20: the process dies before and after every port call, once and again and again; nothing is lost, nothing repeated.

Dying drops everything that the process had in memory. The stores stay, on each plane; the clock is virtual. Where an
offer can be lost on its way, each life reconciles before it claims, and may die at that too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import squidmesh_sqlite
from redis import Redis
from squidmesh_redis import RedisBackend

from squidmesh import Mesh, Run
from squidmesh.config import MeshConfig
from squidmesh.memory import MemoryBackend
from squidmesh.ports.backend import Backend
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.watch import LogObserver
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.servers import Server
from squidmesh.workflow.registry import Registry
from tests.support import postgres_world
from tests.support.audit import audit
from tests.support.crashing import CrashingBackend, Plan, ProcessDied, port_methods
from tests.support.parts import aside, mostly_aside
from tests.support.postgres_world import Emptied
from tests.support.recovery import LEASE, Effects, Work, carry_on, in_batches, make_workflow, one_by_one
from tests.support.redises import NOW, ServerClock, left_behind, started

READ_ONLY = {
    "journal.runs",
    "journal.count_runs",
    "journal.open_attempts",
    "journal.dead_letters",
    "journal.dead_letter",
    "journal.count_dead_letters",
    "journal.open_timers",
    "leases.stats",
}
"""Port methods that the main job has no use for: lists for people. They are tried in the contract suites."""
BY_OTHERS = {f"leases.{name}" for name in ("shelve", "pause", "resume")} | {
    f"journal.{name}" for name in ("threads", "rows_of", "replace_rows", "recount")
}
"""What an operator asks for. Tried in the contract suites."""
FOR_RECONCILERS = {
    *(f"leases.{name}" for name in ("incarnation", "missing", "cursor", "set_cursor", "sweep_turn", "items")),
    *(f"journal.{name}" for name in ("agenda", "agenda_queues", "attempts", "changed", "position", "track_changes")),
    *(f"journal.{name}" for name in ("put_token", "has_token")),
}
ONLY_APART = FOR_RECONCILERS | {"leases.offer", "leases.settle", "leases.marker", "leases.set_marker", "leases.paused"}
"""Journal leases: nothing is offered, settlements ride in the commit, nobody else's they can be, and what is paused is
read by the claim itself (protocol 3.9).
"""
OF_OTHER_WORKFLOWS = {"journal.due_timers", "journal.drop_signals", "journal.transaction"}
"""The main job has no deadlines, no child runs and no transactional steps. Tried in tests/features."""
OF_MANY_QUEUES = {"leases.due_queues"}
"""Asked where a worker has more queues than one claim is asked for; tests/unit/runtime/test_many_queues.py."""
OF_HOSTS = {"journal.joined"}
"""No store that is tried here lets a host start runs in its own transaction."""
FOR_RETENTION = {"journal.prunable", "journal.prune", "journal.tombstone"}
"""Nothing is old enough here. tests/features/test_retention.py dies at each of them."""
FOR_THE_REGISTER = {"journal.put_workers", "journal.workers", "journal.forget_workers"}
"""A thread of its own writes what nothing rests on; tests/unit/runtime/test_register.py and test_workers.py."""
ONLY_IN_TROUBLE = {"journal.entry", "leases.release", "leases.adopt", "leases.drop"}
"""Asked when an answer was lost, when a claim is refused, and when a backend has forgotten;
tests/integration/test_trouble.py and tests/unit/runtime get there.
"""

CheckLife = Callable[[int, str], bool]


class World:
    """What outlives a process: the stores, the clock, and the effects of the steps."""

    def __init__(self, folder: Path, work: Work) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._work = work
        self.keys = ["bill-1"] if work is one_by_one else ["bill-1", "bill-2", "bill-3"]
        self.clock = VirtualClock()
        self.effects = Effects()
        self.lives = 0

    def open(self) -> tuple[Backend, Backend | None]:
        """The stores of one process: the journal's, and that of the leases if it is another one."""
        return squidmesh_sqlite.backend(f"sqlite:///{self.folder / 'journal.db'}", clock=self.clock), None

    def live(self, plan: Plan) -> list[Run]:
        """One process, from its start to its end, or to its death."""
        self.lives += 1
        journal, leases = self.open()
        beat: list[object] = []
        workflow = make_workflow(self.effects, beat)
        config = MeshConfig(lease=LEASE, reconcile_every=0.01)  # type: ignore[arg-type]
        registry = Registry([workflow])

        def open_engine() -> Engine:
            engine = Engine(
                journal=CrashingBackend(journal, plan),
                leases=CrashingBackend(leases, plan) if leases is not None else None,
                registry=registry,
                config=config,
                observer=LogObserver(),
                heartbeat_thread=False,
                monotonic=lambda: self.clock.now() / 1e6,
            )
            beat.append(engine.heartbeats)
            return engine

        mesh = Mesh("crashing", registry=registry, config=config, open_engine=open_engine)
        try:
            return carry_on(mesh, workflow, self.clock.advance, keys=self.keys, work=self._work)
        finally:
            for backend in (journal, leases):
                if backend is not None:
                    backend.close()  # of handles only: nothing is written

    def live_until_done(self, die: CheckLife, *, deaths: int) -> list[Run]:
        """Lives until the run has ended; the first ``deaths`` lives may die."""
        for _ in range(deaths):
            try:
                return self.live(Plan(die))
            except ProcessDied:
                continue
        return self.live(Plan())

    def check(self, runs: list[Run]) -> None:
        store, _ = self.open()
        journal = store.journal()
        for run in runs:
            state = audit(journal, run.run_id)
            assert run.status == "completed"
            assert run.output is not None
            assert run.output["charge"]["status"] == "paid"
            assert set(state.runnables) == {"load", "check", "rest", "charge", "notify"}
            assert state.runnables["charge"].attempt == 2, "a crash costs a delivery, never an attempt"
        store.close()
        expected = 4 * len(self.keys)
        assert len(self.effects.calls) == expected, "four steps touch the world, each under one idempotency key"


class MemoryWorld(World):
    """One memory for all processes; nothing but the clock and the two stores is shared."""

    def __init__(self, folder: Path, work: Work) -> None:
        super().__init__(folder, work)
        self.stores = KeptMemory("memory://", clock=self.clock)

    def open(self) -> tuple[Backend, Backend | None]:
        return self.stores, None


class KeptMemory(MemoryBackend):
    def close(self) -> None:
        """It outlives the process."""


class RedisWorld(World):
    """The journal in SQLite, the leases in a server of its own."""

    server: Server

    def __init__(self, folder: Path, work: Work) -> None:
        super().__init__(folder, work)
        self.redis = Redis.from_url(self.server.url, decode_responses=True)
        self.redis.flushall()
        self.clock = ServerClock(self.redis)

    def open(self) -> tuple[Backend, Backend | None]:
        journal, _ = super().open()
        return journal, RedisBackend(self.server.url, now=NOW)

    def check(self, runs: list[Run]) -> None:
        super().check(runs)
        assert left_behind(self.redis) == []
        self.redis.close()


class PostgresWorld(World):
    database: Emptied

    def __init__(self, folder: Path, work: Work) -> None:
        super().__init__(folder, work)
        self.database.empty()
        self.clock = postgres_world.ServerClock(self.database.owner)

    def open(self) -> tuple[Backend, Backend | None]:
        return postgres_world.backend_of(self.database.url, self.clock), None


class PostgresRedisWorld(PostgresWorld):
    def __init__(self, folder: Path, work: Work) -> None:
        super().__init__(folder, work)
        self.redis = Redis.from_url(RedisWorld.server.url, decode_responses=True)
        self.redis.flushall()
        self.clock = postgres_world.BothClocks(self.database.owner, self.redis)

    def open(self) -> tuple[Backend, Backend | None]:
        journal, _ = super().open()
        return journal, RedisBackend(RedisWorld.server.url, now=NOW)

    def check(self, runs: list[Run]) -> None:
        super().check(runs)
        assert left_behind(self.redis) == []
        self.redis.close()


WORLDS = {
    "journal leases": World,
    "memory": MemoryWorld,
    "redis": RedisWorld,
    "postgres": PostgresWorld,
    "postgres and redis": PostgresRedisWorld,
}
IN_JOURNAL = (World, PostgresWorld)
"""Those with journal leases."""


SHARES = 15
"""An odd number: the places before and after calls take turns."""
ORDINARY_SHARES = {"journal leases": (0, 7), "memory": (3,), "redis": (6,), "postgres": (9,)}
"""Of the calls that are died at. Each plane has others, so that together they pass by few places of the job."""
STRIDES = (7, 11, 13, 17, 23, 31)
ORDINARY_STRIDES = {"journal leases": (7, 23), "memory": (13, 31), "redis": (11,), "postgres": (17,)}
"""Two servers at once take their time, and are left to ``all`` like the other strides and shares."""


@pytest.fixture(autouse=True)
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """One life is like the other: else a sweep would come now and then, and with it calls that no other life made."""
    monkeypatch.setattr("squidmesh.runtime.chance.jitter", lambda: 0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("valkey", tmp_path_factory.mktemp("server")) as RedisWorld.server:
        yield RedisWorld.server


@pytest.fixture(params=[aside(plane) if plane == "postgres and redis" else plane for plane in WORLDS])
def make_world(request: pytest.FixtureRequest) -> type[World]:
    if "redis" in request.param:
        request.getfixturevalue("server")
    if "postgres" in request.param:
        PostgresWorld.database = request.getfixturevalue("emptied_postgres")
    return WORLDS[request.param]


def dies_at(chosen: int) -> CheckLife:
    return lambda count, place: count == chosen


WAYS = pytest.mark.parametrize("work", [one_by_one, in_batches])


def on_every_plane(name: str, values: Iterable[int], ordinary: Mapping[str, Sequence[int]]) -> pytest.MarkDecorator:
    """Some values of each plane are ordinary; the others are tried under ``all``."""
    cases = [(plane, value) for plane in WORLDS for value in values]
    chosen = mostly_aside(cases, ordinary=lambda case: case[1] in ordinary.get(case[0], ()))
    return pytest.mark.parametrize(("make_world", name), chosen, indirect=["make_world"])


@pytest.fixture
def places(make_world: type[World], work: Work, tmp_path: Path) -> list[str]:
    """Every place of an undisturbed life."""
    plan = Plan()
    world = make_world(tmp_path / "calm", work)
    world.check(world.live(plan))
    return plan.places


@WAYS
def test_the_main_job_reaches_every_port_method(make_world: type[World], work: Work, places: list[str]) -> None:
    missed = port_methods() - {place.split()[0] for place in places}
    expected = READ_ONLY | BY_OTHERS | ONLY_IN_TROUBLE | OF_OTHER_WORKFLOWS | OF_MANY_QUEUES | OF_HOSTS | FOR_RETENTION
    expected |= FOR_THE_REGISTER
    expected |= ONLY_APART if make_world in IN_JOURNAL else set()
    if make_world in IN_JOURNAL and work is one_by_one:
        expected |= {"journal.paused_queues"}  # asked by who goes on with a run, as in_batches does
    assert missed == expected


@WAYS
@on_every_plane("share", range(SHARES), ORDINARY_SHARES)
def test_a_death_at_any_port_call_loses_nothing(
    make_world: type[World], work: Work, places: list[str], share: int, tmp_path: Path
) -> None:
    """In fifteenths, which can be tried side by side: all of them are every call, and some are ordinary."""
    calls = range(1 + share, len(places) + 1, SHARES)
    died = 0
    for chosen in calls:
        world = make_world(tmp_path / str(chosen), work)
        world.check(world.live_until_done(dies_at(chosen), deaths=1))
        died += world.lives > 1
    assert died == len(calls) > 0, "every chosen call was reached, and killed its process"


@WAYS
@on_every_plane("every", STRIDES, ORDINARY_STRIDES)
def test_one_death_after_another_loses_nothing(make_world: type[World], work: Work, every: int, tmp_path: Path) -> None:
    world = make_world(tmp_path, work)
    run = world.live_until_done(lambda count, place: count == every + world.lives, deaths=30)
    world.check(run)
    assert world.lives > 2
