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
from tests.support.recovery import LEASE, Effects, Work, carry_on, in_batches, make_workflow, one_by_one

READ_ONLY = {"journal.runs", "journal.count_runs", "journal.open_attempts", "leases.items", "leases.stats"}
"""Port methods that the main job has no use for: lists for people. They are tried in the contract suites."""
NOT_ON_THIS_PLANE = {"leases.offer", "leases.settle", "leases.incarnation"}
"""Journal leases: nothing is offered, settlements ride in the commit (protocol 3.9)."""
ONLY_IN_TROUBLE = {"journal.entry", "leases.release"}
"""Asked when an answer was lost, and when a claim is refused; tests/integration/test_trouble.py gets there."""

CheckLife = Callable[[int, str], bool]


class World:
    """What outlives a process: the file, the clock, and the effects of the steps."""

    def __init__(self, folder: Path, work: Work) -> None:
        folder.mkdir(exist_ok=True)
        self._work = work
        self.keys = ["bill-1"] if work is one_by_one else ["bill-1", "bill-2", "bill-3"]
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.clock = VirtualClock()
        self.effects = Effects()
        self.lives = 0

    def live(self, plan: Plan) -> list[Run]:
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
            return carry_on(mesh, workflow, self.clock.advance, keys=self.keys, work=self._work)
        finally:
            backend.close()  # of file handles only: nothing is written

    def live_until_done(self, die: CheckLife, *, deaths: int) -> list[Run]:
        """Lives until the run has ended; the first ``deaths`` lives may die."""
        for _ in range(deaths):
            try:
                return self.live(Plan(die))
            except ProcessDied:
                continue
        return self.live(Plan())

    def check(self, runs: list[Run]) -> None:
        store = squidmesh_sqlite.backend(self.url, clock=self.clock)
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


def dies_at(chosen: int) -> CheckLife:
    return lambda count, place: count == chosen


WAYS = pytest.mark.parametrize("work", [one_by_one, in_batches])


def calm_life(folder: Path, work: Work) -> list[str]:
    """Every place that an undisturbed life reaches."""
    plan = Plan()
    world = World(folder / "calm", work)
    world.check(world.live(plan))
    return plan.places


@WAYS
def test_the_main_job_reaches_every_port_method(work: Work, tmp_path: Path) -> None:
    reached = {place.split()[0] for place in calm_life(tmp_path, work)}
    assert port_methods() - reached == READ_ONLY | NOT_ON_THIS_PLANE | ONLY_IN_TROUBLE


@WAYS
def test_a_death_at_any_port_call_loses_nothing(work: Work, tmp_path: Path) -> None:
    places = calm_life(tmp_path, work)
    died = 0
    for chosen in range(1, len(places) + 1):
        world = World(tmp_path / str(chosen), work)
        world.check(world.live_until_done(dies_at(chosen), deaths=1))
        died += world.lives > 1
    assert died == len(places), "every chosen call was reached, and killed its process"


@WAYS
@pytest.mark.parametrize("every", [7, 11, 13, 17, 23, 31])
def test_one_death_after_another_loses_nothing(work: Work, every: int, tmp_path: Path) -> None:
    world = World(tmp_path, work)
    run = world.live_until_done(lambda count, place: count == every + world.lives, deaths=30)
    world.check(run)
    assert world.lives > 2
