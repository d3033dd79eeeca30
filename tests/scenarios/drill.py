"""A fleet whose journal is saved in the middle of its work, and what is asked of the one that is restored from it."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from squidmesh import Mesh, NotFound, Workflow
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from tests.scenarios.fleet import ROOT
from tests.scenarios.restored_app import WORKFLOWS, Asked, Rested, Sold, Stopped, connected
from tests.support.audit import audit
from tests.support.backups import Store

WORKERS = 3
APP = "tests.scenarios.restored_app:mesh"
WAITS: dict[type[Workflow], str] = {Asked: "approval", Rested: "wait", Stopped: "queue_paused"}
"""Why a run that has not ended may wait."""
MORE = 20
"""Runs that have to be started and to end before the backup, and after it."""
PAUSE, PATIENCE = 0.3, 180.0
"""Seconds. Whoever asks leaves the machine to the workers."""


@dataclass(frozen=True, slots=True)
class Start:
    """Of a run, that was acknowledged."""

    run_id: str
    number: int

    @property
    def workflow(self) -> type[Workflow]:
        return WORKFLOWS[self.number % len(WORKFLOWS)]

    def again(self, mesh: Mesh) -> "Start":
        return started(mesh, self.number)


def started(mesh: Mesh, number: int) -> Start:
    """Each with a key of its own."""
    workflow = WORKFLOWS[number % len(WORKFLOWS)]
    return Start(mesh.start_run(workflow, {"number": number}, key=f"order-{number}").run_id, number)


class Hosts:
    """Start runs all the time. A context manager."""

    def __init__(self, mesh: Mesh) -> None:
        self.started: list[Start] = []
        self._mesh = mesh
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Hosts":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._over.wait(0.1):
            self.started.append(started(self._mesh, len(self.started)))


class Workers:
    """Processes at one pair of stores. A context manager: they have started, and are killed at its end."""

    def __init__(self, folder: Path, url: str, leases: str | None) -> None:
        self._folder = folder
        self._ledger = folder / "ledger"
        self._told = {
            "SCENARIO_URL": url,
            "SCENARIO_LEASES": leases or "",
            "SCENARIO_LEDGER": str(self._ledger),
            "SCENARIO_HOLD": str(folder / "hold"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        }
        self._living: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Workers":
        before = self.log().count("worker_started")
        queues = [f"--queue={name}" for name in ("default", "slow", "stopped")]
        for number in range(WORKERS):
            with (self._folder / f"worker-{number}.log").open("ab") as log:
                command = self._command("worker", "--concurrency=4", *queues)
                self._living.append(
                    subprocess.Popen(command, env=os.environ | self._told, stdout=log, stderr=log, cwd=self._folder)
                )
        until(lambda: self.log().count("worker_started") == before + WORKERS, "the workers")
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._living:
            process.kill()
        for process in self._living:
            process.wait(30)

    def run(self, *words: str) -> str:
        """One command, of the app if no ``--url`` comes first; what it said."""
        done = subprocess.run(
            self._command(*words), env=os.environ | self._told, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def calls(self) -> Counter[str]:
        """How often each idempotency key was used outside, in this life and the one before."""
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        return Counter(line.split()[0] for line in lines)

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("worker-*.log")))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "squidmesh", *([] if words[0] == "--url" else ["--app", APP]), *words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What was true when a backup was made, and what came of it before the end of all. ``before`` and ``after``: starts
    that were acknowledged before it began, and that were asked for when it was over.
    """

    started: tuple[Start, ...]
    before: tuple[Start, ...]
    after: tuple[Start, ...]
    ended: frozenset[str]
    """Runs that had ended."""
    approved: str
    """A run that somebody approved after it."""
    calls: Counter[str]
    """At the end of all."""


def saved_under_load(store: Store, leases: str | None, folder: Path, saved: Path) -> Saved:
    """Work of all kinds is under way, and goes on after the backup; then all workers are killed."""
    Mesh.migrate(store.url)
    with connected(store.url, leases) as mesh:
        mesh.pause_queue("stopped", actor="sam")
        with Workers(folder, store.url, leases) as workers, Hosts(mesh) as hosts:
            until(lambda: mesh.count_runs().get("completed", 0) >= MORE, "work under way")
            before, ended = tuple(hosts.started), ended_runs(mesh)
            store.save(saved)
            over = len(hosts.started) + 1  # one more may be on its way
            approved = next(one.run_id for one in before if reason(mesh, one) == "approval")
            mesh.approve_run(approved, actor="sam")
            until(lambda: mesh.inspect_run(approved).status == "completed", "the end of what was approved")
            until(lambda: mesh.count_runs()["completed"] >= len(ended) + MORE, "work since then")
            until(lambda: len(hosts.started) >= over + MORE, "starts since then")
    return Saved(
        started=tuple(hosts.started),
        before=before,
        after=tuple(hosts.started[over:]),
        ended=ended,
        approved=approved,
        calls=workers.calls(),
    )


def ended_runs(mesh: Mesh) -> frozenset[str]:
    return frozenset(run.run_id for run in mesh.list_runs(status="completed", limit=1000).runs)


def reason(mesh: Mesh, start: Start) -> str:
    return mesh.explain_run(start.run_id).reason


def missing(mesh: Mesh, starts: tuple[Start, ...]) -> set[Start]:
    """Those that the journal does not know."""
    return {start for start in starts if not _known(mesh, start)}


def _known(mesh: Mesh, start: Start) -> bool:
    try:
        mesh.inspect_run(start.run_id)
    except NotFound:
        return False
    return True


def accounted(mesh: Mesh, starts: list[Start]) -> Counter[str]:
    """Waits until each has ended, or waits for what its workflow waits for; how many of each."""
    return settled(mesh, starts, lambda start: {"completed", WAITS.get(start.workflow, "completed")})


def all_end(mesh: Mesh, starts: list[Start]) -> None:
    """Approves what waits for that, and resumes the queue: all end but those that wait for a moment."""
    mesh.resume_queue("stopped", actor="sam")
    last = {Sold: "completed", Stopped: "completed", Asked: "approval", Rested: "wait"}
    settled(mesh, starts, lambda start: {last[start.workflow]})
    for start in starts:
        if start.workflow is Asked:
            mesh.approve_run(start.run_id, actor="sam")
    last[Asked] = "completed"
    settled(mesh, starts, lambda start: {last[start.workflow]})


def settled(mesh: Mesh, starts: list[Start], wanted: Callable[[Start], set[str]]) -> Counter[str]:
    """Waits until each stands where it is wanted; where that takes too long, says why one does not."""
    left = list(starts)

    def done() -> bool:
        left[:] = [start for start in left if reason(mesh, start) not in wanted(start)]
        return not left

    try:
        until(done, "all runs")
    except AssertionError:
        told = str(mesh.explain_run(left[0].run_id))
        raise AssertionError(f"{len(left)} runs are not accounted for; the first: {told}") from None
    return Counter(reason(mesh, start) for start in starts)


def audited(url: str, starts: list[Start]) -> None:
    """Every history is sound."""
    backend = open_backend(url, clock=SystemClock())
    try:
        journal = backend.journal()
        for start in starts:
            audit(journal, start.run_id, every_prefix=False)
    finally:
        backend.close()


def until(condition: Callable[[], object], what: str) -> None:
    ends, turn = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < ends, f"waited {PATIENCE} s for {what}"
        turn.wait(PAUSE)
