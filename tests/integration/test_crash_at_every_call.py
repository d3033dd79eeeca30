"""I20: the process dies before and after every port call, once and again and again; nothing is lost, nothing repeated.

Dying drops everything that the process had in memory. Journal and leases are in SQLite and stay; the clock is virtual.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import squidmesh_sqlite

from squidmesh import Mesh, Run
from squidmesh.config import MeshConfig
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.watch import LogObserver
from squidmesh.testing.clock import VirtualClock
from squidmesh.workflow.registry import Registry
from tests.support.audit import audit
from tests.support.crashing import CrashingBackend, Plan, ProcessDied, port_methods
from tests.support.recovery import LEASE, Effects, carry_on, make_workflow

READ_ONLY = {"journal.runs", "journal.count_runs", "journal.open_attempts", "leases.items", "leases.stats"}
"""Port methods that the main job has no use for: lists for people. They are tried in the contract suites."""
BY_OTHERS = {f"leases.{name}" for name in ("shelve", "pause", "resume", "paused")}
"""What an operator asks for. Tried in the contract suites."""
NOT_ON_THIS_PLANE = {
    f"leases.{name}"
    for name in ("offer", "settle", "incarnation", "adopt", "drop", "missing", "cursor", "set_cursor", "sweep_turn")
}
"""Journal leases: nothing is offered, settlements ride in the commit, nothing is forgotten (protocol 3.9)."""
ONLY_IN_TROUBLE = {"journal.entry", "leases.release"}
"""Asked when an answer was lost, and when a claim is refused; tests/integration/test_trouble.py gets there."""

CheckLife = Callable[[int, str], bool]


class World:
    """What outlives a process: the file, the clock, and the effects of the steps."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.clock = VirtualClock()
        self.effects = Effects()
        self.lives = 0

    def live(self, plan: Plan) -> Run:
        """One process, from its start to its end, or to its death."""
        self.lives += 1
        backend = squidmesh_sqlite.backend(self.url, clock=self.clock)
        beat: list[object] = []
        workflow = make_workflow(self.effects, beat)
        config = MeshConfig(lease=LEASE)
        registry = Registry([workflow])

        def open_engine() -> Engine:
            engine = Engine(
                journal=CrashingBackend(backend, plan),
                leases=None,
                registry=registry,
                config=config,
                observer=LogObserver(),
                heartbeat_thread=False,
            )
            beat.append(engine.heartbeats)
            return engine

        mesh = Mesh("crashing", registry=registry, config=config, open_engine=open_engine)
        try:
            return carry_on(mesh, workflow, self.clock.advance)
        finally:
            backend.close()  # of file handles only: nothing is written

    def live_until_done(self, die: CheckLife, *, deaths: int) -> Run:
        """Lives until the run has ended; the first ``deaths`` lives may die."""
        for _ in range(deaths):
            try:
                return self.live(Plan(die))
            except ProcessDied:
                continue
        return self.live(Plan())

    def check(self, run: Run) -> None:
        store = squidmesh_sqlite.backend(self.url, clock=self.clock)
        state = audit(store.journal(), run.run_id)
        store.close()
        assert run.status == "completed"
        assert run.output is not None
        assert run.output["charge"]["status"] == "paid"
        assert set(state.runnables) == {"load", "rest", "charge", "notify"}
        assert state.runnables["charge"].attempt == 2, "a crash costs a delivery, never an attempt"
        assert len(self.effects.calls) == 3, "three steps touch the world, each under one idempotency key"


def dies_at(chosen: int) -> CheckLife:
    return lambda count, place: count == chosen


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every place of an undisturbed life."""
    plan = Plan()
    world = World(tmp_path_factory.mktemp("calm"))
    world.check(world.live(plan))
    return plan.places


def test_the_main_job_reaches_every_port_method(places: list[str]) -> None:
    reached = {place.split()[0] for place in places}
    assert port_methods() - reached == READ_ONLY | BY_OTHERS | NOT_ON_THIS_PLANE | ONLY_IN_TROUBLE


def test_a_death_at_any_port_call_loses_nothing(places: list[str], tmp_path: Path) -> None:
    died = 0
    for chosen in range(1, len(places) + 1):
        world = World(tmp_path / str(chosen))
        (tmp_path / str(chosen)).mkdir()
        world.check(world.live_until_done(dies_at(chosen), deaths=1))
        died += world.lives > 1
    assert died == len(places), "every chosen call was reached, and killed its process"


@pytest.mark.parametrize("every", [7, 11, 13, 17, 23, 31])
def test_one_death_after_another_loses_nothing(every: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    run = world.live_until_done(lambda count, place: count == every + world.lives, deaths=30)
    world.check(run)
    assert world.lives > 2
