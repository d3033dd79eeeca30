"""Worker processes for the steps of ``bad_steps.py``, and what is known of them afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from squidmesh import Mesh
from squidmesh.ids import ThreadId
from squidmesh.journal import facts
from squidmesh.journal.codec import decode_facts
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from tests.scenarios.bad_steps import WORKFLOWS, Deed
from tests.scenarios.fleet import ROOT, until


class Note(NamedTuple):
    word: str
    run_id: str
    delivery: int
    process: int


class BadFleet:
    """A context manager; its processes are ended by their ids."""

    def __init__(
        self, folder: Path, *, url: str, leases: str | None = None, lease: float = 2.0, group: Path | None = None
    ) -> None:
        self.group = group
        self.folder, self.url, self.leases, self.lease = folder, url, leases, lease
        self.ledger = folder / "ledger"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.mesh = Mesh.connect(url, leases=leases, workflows=WORKFLOWS, lease=lease, reconcile_every=0.2)

    def __enter__(self) -> Self:
        Mesh.migrate(self.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.mesh.close()
        if error is not None:
            for log in sorted(self.folder.glob("worker-*.log")):
                print(f"--- {log.name}\n{log.read_text()[-4000:]}")

    def hire(self, *options: str, concurrency: int = 8) -> subprocess.Popen[bytes]:
        """One more worker process; returns when it claims, and its sidecar watches."""
        arguments = ["--app", "tests.scenarios.bad_steps:mesh", "worker", f"--concurrency={concurrency}", "--grace=1"]
        path = self.folder / f"worker-{len(self.workers)}.log"
        told = {
            "BAD_STEPS_URL": self.url,
            "BAD_STEPS_LEASES": self.leases or "",
            "BAD_STEPS_LEDGER": str(self.ledger),
            "BAD_STEPS_LEASE": str(self.lease),
            "BAD_STEPS_GROUP": str(self.group or ""),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        }
        with path.open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "squidmesh", *arguments, *options],
                env=os.environ | told,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self.workers.append(worker)
        until(lambda: "worker_started" in path.read_text(), "a worker", within=60)
        if "--no-sidecar" not in options:
            until(lambda: "sidecar_watches" in path.read_text(), "its sidecar", within=60)
        return worker

    def start(self, workflow: Any, deeds: Sequence[tuple[str, float]]) -> list[str]:
        told = [Deed(kind=kind, seconds=seconds) for kind, seconds in deeds]
        return [run.run_id for run in self.mesh.start_runs(workflow, told)]

    def give_the_word(self) -> None:
        """What waits for it ends."""
        self.ledger.with_suffix(".word").touch()

    def notes(self) -> list[Note]:
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        split = [line.split() for line in lines]
        return [Note(word, run_id, int(delivery), int(process)) for word, run_id, delivery, process in split]

    def until_noted(self, word: str, runs: Sequence[str], *, within: float = 30.0) -> None:
        def noted() -> bool:
            return set(runs) <= {note.run_id for note in self.notes() if note.word == word}

        until(noted, f"{word} of {len(runs)} runs", within=within)

    def until_ended(self, runs: Sequence[str], *, within: float = 60.0) -> list[str]:
        """How they have ended."""
        return [self.mesh.wait_for(run_id, timeout=within).status for run_id in runs]

    def claims(self, run_id: str) -> int:
        """How many the journal has recorded."""
        return sum(isinstance(fact, facts.AttemptClaimed) for fact in self.facts(run_id))

    def facts(self, run_id: str) -> list[facts.Fact]:
        backend = open_backend(self.url, clock=SystemClock())
        try:
            (history,) = backend.journal().read([ThreadRead(thread=ThreadId(run_id))], whole=True)
        finally:
            backend.close()
        return [f for e in history.tail for f in decode_facts(e.body, thread=run_id, revision=e.revision)]

    def log(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.workers.index(worker)}.log").read_text()
