"""Some worker processes at one journal, and a ledger of what their steps did outside."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from squidmesh import BackendError, Mesh, Run, Workflow
from squidmesh.ids import ThreadId, idempotency_key
from squidmesh.journal import facts
from squidmesh.journal.codec import decode_facts
from squidmesh.ports.journal_store import JournalStore, ThreadRead
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from tests.scenarios.sale import LEASE, Sale
from tests.support.audit import audit

WORKERS = 4
ROOT = Path(__file__).resolve().parents[2]


class Fleet:
    """A context manager: its processes are ended by their ids, whatever they do then. ``url`` and ``leases``: where we
    find the journal and the lease backend; the workers may be told of other addresses (:meth:`told`).
    """

    app = "tests.scenarios.app:mesh"
    workflow: type[Workflow] = Sale
    steps: tuple[str, ...] = ("picked", "charged", "shipped")
    """Those that leave a line in the ledger."""
    options: tuple[str, ...] = ()
    """What each worker is told besides."""

    def __init__(self, folder: Path, *, url: str, leases: str | None = None, workers: int = WORKERS) -> None:
        self.folder = folder
        self.url = url
        self.leases = leases
        self.ledger = folder / "ledger"
        self._hold = folder / "hold"
        self._size = workers
        self.workers: list[subprocess.Popen[bytes]] = []
        self.mesh = Mesh.connect(self.url, leases=self.leases, workflows=[self.workflow], lease=LEASE)
        self.runs: list[str] = []
        self._judged: list[str] = []
        self._ended: Counter[str] = Counter()
        """Calls of the runs that are judged."""

    def __enter__(self) -> Self:
        Mesh.migrate(self.url)
        for _ in range(self._size):
            self.hire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.unlink(missing_ok=True)
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.mesh.close()
        if error is not None:
            for log in sorted(self.folder.glob("worker-*.log")):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")

    def hire(self) -> None:
        """One more worker process."""
        self.workers.append(self._begin(len(self.workers)))

    def successor_of(self, worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Another one in the place of one that has ended."""
        number = self.workers.index(worker)
        self.workers[number] = self._begin(number)
        return self.workers[number]

    def _begin(self, number: int) -> subprocess.Popen[bytes]:
        command = [
            *self.placed(number),
            sys.executable,
            "-m",
            "squidmesh",
            "--app",
            self.app,
            "worker",
            "--concurrency=2",
            *self.options,
        ]
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen(command, env=os.environ | self.told(), stdout=log, stderr=log, cwd=self.folder)

    def placed(self, worker: int) -> Sequence[str]:
        """What stands before the command of that worker: where it runs."""
        return ()

    def told(self) -> dict[str, str]:
        """The environment of a worker."""
        return {
            "SCENARIO_URL": self.url,
            "SCENARIO_LEASES": self.leases or "",
            "SCENARIO_LEDGER": str(self.ledger),
            "SCENARIO_HOLD": str(self._hold),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        }

    @contextmanager
    def journal(self) -> Iterator[JournalStore]:
        """As it is, past the mesh."""
        backend = open_backend(self.url, clock=SystemClock())
        try:
            yield backend.journal()
        finally:
            backend.close()

    # ------------------------------------------------------------------------------------------------- the work

    def start_and_wait(self, runs: int, calls: int) -> None:
        """Starts so many runs, and waits until so much of it is done: work is in flight then."""
        goal = self.calls().total() + calls
        self.start(runs)
        until(lambda: self.calls().total() >= goal, f"{goal} calls")

    def start(self, runs: int, *, held: bool = False) -> list[str]:
        """``held``: their first step goes on until :meth:`let_go`."""
        if held:
            self._hold.touch()
        first = len(self.runs)
        orders = [{"number": number, "held": held} for number in range(first, first + runs)]
        started = [run.run_id for run in self.mesh.start_runs(self.workflow, orders)]
        self.runs += started
        return started

    def hold(self, runs: int) -> list[str]:
        """Starts so many runs, and waits until each is in the middle of its first step, where it stays until
        :meth:`let_go`. Heartbeats keep its lease.
        """
        held = self.start(runs, held=True)
        wanted = [idempotency_key(run_id, "picked") for run_id in held]
        until(lambda: all(map(self.calls().__getitem__, wanted)), "the held runs", within=90)  # workers are starting
        return held

    def let_go(self) -> None:
        self._hold.unlink()

    def claims_of(self, run_id: str, step: str) -> int:
        """Claims that the journal has recorded of it."""
        with self.journal() as journal:
            told = facts_of(journal, run_id)
        return sum(isinstance(fact, facts.AttemptClaimed) and fact.step == step for fact in told)

    def calls(self) -> Counter[str]:
        """How often each idempotency key was used."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return Counter(line.split()[0] for line in lines)

    def until_calls(self, more: int) -> None:
        """Until so much more is done."""
        goal = self.calls().total() + more
        until(lambda: self.calls().total() >= goal, f"{goal} calls")

    def claimed_by(self, worker: subprocess.Popen[bytes]) -> list[str]:
        """Recorded claims of that process which are open now."""
        with self.journal() as journal:
            rows = journal.open_attempts(limit=100_000)
        return [row.item for row in rows if row.owner is not None and f"-{worker.pid}@" in row.owner]

    def log(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.workers.index(worker)}.log").read_text()

    def logs(self) -> str:
        return "".join(map(self.log, self.workers))

    def open_runs(self) -> list[str]:
        return [run_id for run_id in self.runs if self.mesh.inspect_run(run_id).ended_at is None]

    def finish(self, within: float = 60.0) -> None:
        """Until every run has ended; says what is left where that takes too long."""

        def ended() -> bool:
            try:
                counts = self.mesh.count_runs()
            except BackendError:  # the journal itself may be away
                return False
            return counts.get("completed", 0) + counts.get("failed", 0) == len(self.runs)

        try:
            until(ended, "the end of all runs", within=within)
        except AssertionError:
            left = [self.mesh.explain_run(run_id) for run_id in self.open_runs()]
            raise AssertionError(f"{len(left)} runs do not end; the first: {left[0]}") from None

    # ------------------------------------------------------------------------------------------------ the judge

    def judge(self) -> "Verdict":
        """Nothing lost, every thread sound, and the ledger agrees with the journal: of all runs since the last time."""
        calls = self.calls() - self._ended
        new = self.runs[len(self._judged) :]
        self._ended += calls
        self._judged += new
        with self.journal() as journal:
            verdicts = [self._judge(journal, run_id, calls) for run_id in new]
        assert not calls, "nobody else has called"
        return Verdict(repeated=sum(v.repeated for v in verdicts), lost=sum(v.lost for v in verdicts))

    def _judge(self, journal: JournalStore, run_id: str, calls: Counter[str]) -> "Verdict":
        repeated = lost = 0
        audit(journal, run_id, every_prefix=False)
        run: Run = self.mesh.inspect_run(run_id)
        assert run.status == "completed", run
        told = facts_of(journal, run_id)
        for name in self.steps:
            claims = sum(isinstance(f, facts.AttemptClaimed) and f.step == name for f in told)
            results = sum(isinstance(f, _RESULTS) and f.step == name for f in told)
            seen = calls.pop(idempotency_key(run_id, name), 0)
            assert results <= seen <= claims, f"{run_id}/{name}: {results} results, {seen} calls, {claims} claims"
            released = sum(isinstance(f, facts.ClaimReleased) and f.step == name for f in told)
            lost += claims - results - released  # every claim ends in one of the three
            repeated += seen - results
        return Verdict(repeated=repeated, lost=lost)


class Verdict:
    """``repeated``: effects beyond the accepted results; ``lost``: deliveries that the journal counted as lost."""

    def __init__(self, *, repeated: int, lost: int) -> None:
        self.repeated = repeated
        self.lost = lost


def facts_of(journal: JournalStore, run_id: str) -> list[facts.Fact]:
    (history,) = journal.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    return [f for e in history.tail for f in decode_facts(e.body, thread=run_id, revision=e.revision)]


_RESULTS = (facts.AttemptCompleted, facts.AttemptFailed)


def until(condition: Callable[[], Any], what: str, *, within: float = 30.0) -> None:
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        assert time.monotonic() < ends, f"waited {within} s for {what}"
        turn.wait(0.02)
