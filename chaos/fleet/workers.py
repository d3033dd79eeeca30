"""The worker processes of a fleet: each has a seat, and a seat whose worker has ended gets another one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos.fleet.places import FOLDER_OF_HISTORY, LEASES, PLANE, TALLIES
from chaos.fleet.stores import Stores
from chaos.workload.flows import JOURNAL, LEDGER, MENDED
from squidmesh.testing import processes

HISTORY = "history"
"""The folder of what processes have asked and were told (:mod:`chaos.history`)."""
ROOT = Path(__file__).resolve().parents[2]
NOTHING: Mapping[str, str] = {}
CLOCK = "FAKETIME_TIMESTAMP_FILE"
"""Who has it in its environment has another clock than ours."""
_PAUSE = 1.0
"""Seconds, at least, from one worker of a seat to the next: one may refuse to begin."""
_GRACE = 60.0
"""Seconds that a worker may take to leave at the end."""


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """``words``: what is special about it, for people."""

    seat: int
    process: subprocess.Popen[bytes]
    log: Path
    words: str = ""
    faked: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    @property
    def name(self) -> str:
        return f"worker {self.seat} (pid {self.pid})"

    @property
    def works(self) -> bool:
        """It has begun to claim."""
        return self.lives and "worker_started" in self.log.read_text(errors="replace")


@dataclass(slots=True)
class Workers:
    """A context manager: what it has started it ends, by process ids."""

    stores: Stores
    folder: Path
    options: Sequence[str] = ()
    seats: dict[int, WorkerProcess] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)
    """Seats that are kept empty for now."""
    taken: set[int] = field(default_factory=set)
    """Seats whose workers are the victims of a fault."""
    ended: Counter[int] = field(default_factory=Counter)
    """How workers have ended before the fleet did, by their exit codes."""
    _differently: dict[int, tuple[Mapping[str, str], str, Path | None]] = field(default_factory=dict)
    _since: dict[int, float] = field(default_factory=dict)
    _hired: int = 0
    _all: list[WorkerProcess] = field(default_factory=list)

    def hire(
        self, seat: int, *, more: Mapping[str, str] = NOTHING, words: str = "", path: Path | None = None
    ) -> WorkerProcess:
        """A worker for that seat. ``more``: variables of its environment; ``path``: another version of the package."""
        number, self._hired = self._hired, self._hired + 1
        log = self.folder / "logs" / f"worker-{seat}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        app = "chaos.fleet.app:mesh" if path is None else "chaos.fleet.old_app:mesh"
        command = [sys.executable, "-m", "squidmesh", "--app", app, "worker"]
        command += [f"--concurrency={self.stores.setup.slots}", "--grace=5", *self.options]
        if path is None:  # an older version may not know it
            command += ["--with=cron"]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*self.stores.place(seat), *command],
                env=os.environ | self._told(seat, path) | dict(more),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
            )
        made = WorkerProcess(seat=seat, process=process, log=log, words=words, faked=CLOCK in more)
        self.seats[seat] = made
        self._all.append(made)
        return made

    def _told(self, seat: int, path: Path | None) -> dict[str, str]:
        journal, leases = self.stores.ways(seat)
        places = [*([path] if path is not None else []), ROOT, *([] if path is not None else [ROOT / "backends"])]
        return {
            JOURNAL: journal,
            LEASES: leases or "",
            PLANE: self.stores.leases_url or "",
            LEDGER: str(self.folder / "ledger"),
            MENDED: str(self.folder / "mended"),
            TALLIES: str(self.folder / "tallies"),
            FOLDER_OF_HISTORY: str(self.folder / HISTORY),
            "PYTHONPATH": os.pathsep.join(map(str, places)),
        }

    def tend(self) -> None:
        """Whose worker has ended gets another one; to be called again and again."""
        for seat in range(self.stores.setup.workers):
            worker = self.seats.get(seat)
            if worker is not None and not worker.lives:
                self.ended[worker.process.returncode] += 1
                del self.seats[seat]
                worker = None
            soon = time.monotonic() - self._since.get(seat, -_PAUSE) < _PAUSE
            if worker is None and seat not in self.empty and not soon:
                self._since[seat] = time.monotonic()
                more, words, path = self._differently.get(seat, (NOTHING, "", None))
                self.hire(seat, more=more, words=words, path=path)

    def living(self) -> list[WorkerProcess]:
        return [worker for worker in self.seats.values() if worker.lives]

    def working(self) -> list[WorkerProcess]:
        return [worker for worker in self.seats.values() if worker.works]

    def replace(
        self, worker: WorkerProcess, *, more: Mapping[str, str] = NOTHING, words: str = "", path: Path | None = None
    ) -> None:
        """Tells it to leave; when it has, its seat is taken by one that is different (:meth:`hire`), for as long as
        that lives or until :meth:`replace_back`.
        """
        self._differently[worker.seat] = (more, words, path)
        self.dismiss(worker)

    def replace_back(self, seat: int) -> None:
        """An ordinary worker takes the seat again."""
        self._differently.pop(seat, None)
        if seat in self.seats and self.seats[seat].words:
            self.dismiss(self.seats[seat])

    def dismiss(self, worker: WorkerProcess) -> None:
        """Tells it to leave: its seat is taken by another one when it has ended."""
        if worker.lives:
            worker.process.terminate()

    def last_line(self, worker: WorkerProcess) -> dict[str, Any] | None:
        """What it has last written down of itself (:mod:`chaos.fleet.tally`)."""
        path = self.folder / "tallies" / f"{worker.pid}.jsonl"
        if not path.exists():
            return None
        whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        found: dict[str, Any] | None = json.loads(whole[-1]) if whole else None
        return found

    def logs(self) -> list[tuple[Path, bool]]:
        """Of all workers there ever were; and whether they had another clock than ours."""
        return [(worker.log, worker.faked) for worker in self._all]

    def leave(self) -> list[int]:
        """All are told to leave; their exit codes. One that does not within its grace is killed, and counts -9."""
        living = self.living()
        for worker in living:
            processes.resume(worker.pid)
            worker.process.send_signal(signal.SIGTERM)
        for worker in living:
            try:
                worker.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                processes.kill(worker.pid)
                worker.process.wait()
        return [worker.process.returncode for worker in living]

    def __enter__(self) -> Self:
        for name in ("ledger", "mended", "tallies"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.tend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
