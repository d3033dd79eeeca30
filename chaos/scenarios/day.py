"""One day of a fleet: it works, faults befall it, all is healed, it comes to rest, and the judge reads everything."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from chaos.faults.fault import World
from chaos.faults.register import FAULTS
from chaos.fleet import tallies
from chaos.fleet.patience import be_impatient
from chaos.fleet.settings import MESH
from chaos.fleet.stores import Stores
from chaos.fleet.waiting import NeverSo
from chaos.fleet.workers import HISTORY, Workers
from chaos.recorder import Recorder
from chaos.recording import connect
from chaos.scenarios.catalogue import Scenario
from chaos.scenarios.evidence import gather
from chaos.scenarios.injector import Injection, Injector
from chaos.scenarios.outcome import Outcome
from chaos.scenarios.plan import make_plan
from chaos.scenarios.progress import Look, Progress
from chaos.workload.flows import WORKFLOWS
from chaos.workload.robot import Robot
from squidmesh import BackendError, Mesh

TURN = 0.1
"""Seconds from one look at everything to the next."""
BEGINNING, RESTING, HEALING = 120.0, 240.0, 260.0
"""Seconds at most: until the first workers work, until all runs have ended, until all faults are over."""
EXPECTED = (0, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGSEGV)
"""How workers end on such a day: told to leave, maybe before they could listen; killed; poisoned."""
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)")
_REFUSED_SLEEP = "OSError: [Errno 22] Invalid argument"
_MOST_SHOWN = 20
OURS = "harness"
"""How the history of this process is called."""


class Day:
    """``folder`` gets all evidence. ``old``: where another version of the package is, for those that want one."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        seconds: float,
        folder: Path,
        command: str,
        console: Console,
        old: Path | None = None,
    ) -> None:
        self.scenario = scenario
        self.seconds = seconds
        self.folder = folder
        self.outcome = Outcome(scenario=scenario.name, seed=seed, load=seconds, command=command)
        self._console = console
        self._old = old
        self._turn = threading.Event()
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began

    def run(self) -> Outcome:
        """Everything, the judgement included; whatever has been started has ended when it returns or raises."""
        self.folder.mkdir(parents=True, exist_ok=True)
        be_impatient()
        with ExitStack() as stack:
            stores = stack.enter_context(Stores(self.folder, self.scenario.setup))
            recorder = Recorder(self.folder / HISTORY, process=OURS)
            stack.callback(recorder.close)
            mesh = stack.enter_context(
                connect(
                    stores.journal_url,
                    history=self.folder / HISTORY,
                    process="robot",
                    leases=stores.leases_url,
                    workflows=WORKFLOWS,
                    **MESH,
                )
            )
            workers = stack.enter_context(Workers(stores, self.folder))
            robot = Robot(mesh, self.outcome.seed, most=self.scenario.most)
            stack.callback(robot.end)
            world = World(folder=self.folder, stores=stores, workers=workers, robot=robot, mesh=mesh, old=self._old)
            self._live(world, recorder)
            robot.end()
            self._drain(workers)
            self.outcome.verdict = gather(
                world,
                seed=self.outcome.seed,
                rested=self.outcome.rest,
                not_applicable=excused(self.outcome.happened, tallies.totals(self.folder / "tallies")),
            )
        self._conclude(world)
        return self.outcome

    # --------------------------------------------------------------------------------------------------- the load

    def _live(self, world: World, recorder: Recorder) -> None:
        plan = make_plan(self.scenario.kinds, seed=self.outcome.seed, seconds=self.seconds, every=self.scenario.every)
        injector = Injector(world, plan, recorder)
        self.outcome.injections = injector.injections
        with Progress(self._console, f"{self.scenario.name}, seed {self.outcome.seed}") as progress:

            def look(phase: str) -> None:
                world.workers.tend()
                if progress.due():
                    progress.show(
                        Look(
                            phase=phase,
                            now=self.now,
                            until=self.seconds,
                            totals=tallies.totals(self.folder / "tallies"),
                            open=world.robot.open,
                            workers=len(world.workers.living()),
                            injector=injector,
                        )
                    )

            self._turns(lambda: bool(world.workers.working()), look, "beginning", BEGINNING)
            world.robot.begin()
            self._began = time.monotonic()
            recorder.note("load", "begins")
            self._turns(lambda: self.now >= self.seconds, look, "load", self.seconds + 60, injector.turn)
            self.outcome.load = self.now
            injector.heal_all(self.now)
            recorder.note("load", "ends")
            self._turns(lambda: not injector.active(), look, "healing", HEALING, injector.turn)
            self._rest(world, look)

    def _turns(
        self,
        done: Callable[[], bool],
        look: Callable[[str], None],
        phase: str,
        within: float,
        act: Callable[[float], None] = lambda now: None,
    ) -> None:
        ends = time.monotonic() + within
        while not done():
            if time.monotonic() > ends:
                raise NeverSo(f"{phase}: not over after {within:g} s")
            act(self.now)
            look(phase)
            self._turn.wait(TURN)

    def _rest(self, world: World, look: Callable[[str], None]) -> None:
        """No more is started, and nothing is broken: everything has to end by itself."""
        world.robot.start_no_more()
        began = time.monotonic()
        try:
            self._turns(lambda: _at_rest(world.mesh), look, "coming to rest", RESTING)
        except NeverSo:
            self.outcome.problems += _left(world.mesh)
        self.outcome.rest = time.monotonic() - began

    def _drain(self, workers: Workers) -> None:
        codes = Counter(workers.leave())
        odd = {code: count for code, count in workers.ended.items() if code not in EXPECTED}
        if odd:
            self.outcome.problems.append(f"workers have ended by themselves: exit codes {odd}")
        if set(codes) - {0, -signal.SIGTERM}:
            self.outcome.problems.append(f"workers that were told to leave have ended with {dict(codes)}")

    # ----------------------------------------------------------------------------------------------- what came of it

    def _conclude(self, world: World) -> None:
        outcome = self.outcome
        outcome.totals = tallies.totals(self.folder / "tallies")
        outcome.robot = world.robot.counts
        outcome.deaths = world.workers.ended
        outcome.runs = world.robot.ended
        outcome.steps = outcome.totals["completed"]
        outcome.seconds = tallies.seconds(
            self.folder / "tallies", began=self._began, length=outcome.load + outcome.rest
        )
        outcome.problems += world.robot.trouble[:_MOST_SHOWN]
        seen = {one.name for one in outcome.happened}
        outcome.problems += [
            f"fault {one.planned.number}, {one.name}, was not seen to happen, nor any other of its kind: {one.why}"
            for one in outcome.injections
            if one.state == "unseen" and one.name not in seen
        ]
        outcome.problems += surprises(world.workers.logs())
        (self.folder / "outcome.json").write_text(json.dumps(outcome.to_json(), indent=1))


def excused(happened: list[Injection], totals: Counter[str]) -> dict[str, str]:
    """Invariants that such a day says nothing about, with the reason."""
    harms = {FAULTS[one.name].harm for one in happened}
    found = {}
    if not totals["dead"]:
        found["I16"] = "no attempt was given up on this day"
    if "leases_lost" not in harms:
        found["I18"] = "no lease backend was emptied on this day"
    if "worker_killed" not in harms:
        found["I20"] = "no worker was killed on this day"
    return found


def _at_rest(mesh: Mesh) -> bool:
    try:
        counts = mesh.count_runs()
    except BackendError:
        return False
    return not any(count for status, count in counts.items() if status not in ("completed", "failed", "cancelled"))


def _left(mesh: Mesh) -> list[str]:
    """What the runs that do not end wait for, in the product's own words."""
    found = []
    for status in ("running", "retrying", "waiting", "paused", "failing", "compensating"):
        for run in mesh.list_runs(status=status, limit=5).runs:
            found.append(f"{run.workflow} {run.run_id} does not end: {mesh.explain_run(run.run_id)}")
    return found


def surprises(logs: Iterable[tuple[Path, bool]]) -> list[str]:
    """Threads that have ended by an error which nobody expected. With each log, whether its clock was not its own:
    libfaketime refuses a sleep whose time has come already, as no kernel does.
    """
    found = []
    for log, faked in logs:
        for told in _TRACEBACK.finditer(log.read_text(errors="replace")):
            if not (faked and "time.sleep(" in told[0] and told[1] == _REFUSED_SLEEP):
                found.append(f"{log.name}: {told[1]}")
    return found[:_MOST_SHOWN]
