"""The journal in SQLite, and leases in a real Redis, or in several."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

from squidmesh.journal.facts import AttemptClaimed
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import WORKERS, Fleet, facts_of, until

_REFUSED = re.compile(r"^refused (\S+) (\d+)$", re.MULTILINE)


class RedisFleet(Fleet):
    """``port``: of what stands between the fleet and the server."""

    def __init__(self, folder: Path, server: Server, *, port: int | None = None) -> None:
        url = f"sqlite:///{folder / 'journal.db'}"
        super().__init__(folder, url=url, leases=f"redis://127.0.0.1:{port or server.port}/0")
        self.server = server

    def freeze(self, worker: subprocess.Popen[bytes]) -> list[str]:
        """Stops it in its tracks, at a time when it holds claims and no lock on the journal's file: a process that is
        frozen in the middle of a commit would hold everybody up until it goes on, as with any embedded database. What
        it holds.
        """
        for _ in range(200):
            until(lambda: self.claimed_by(worker), "a claim of the victim")
            os.kill(worker.pid, signal.SIGSTOP)
            held = self.claimed_by(worker)
            if held and self._can_write():
                return held
            os.kill(worker.pid, signal.SIGCONT)
        raise AssertionError("it never held a claim without the lock")

    def _can_write(self) -> bool:
        with closing(sqlite3.connect(self.folder / "journal.db", timeout=2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
            return True


class ReplicatedFleet(Fleet):
    """``leases``: the URL of Sentinels, of a Cluster, or of anything else that workers talk to. ``apart``: by number of
    a worker, the way that it has instead. ``reconcile``: seconds from one look to the next.
    """

    app = "tests.scenarios.telling_app:mesh"

    def __init__(
        self,
        folder: Path,
        leases: str,
        *,
        workers: int = WORKERS,
        apart: Mapping[int, str] | None = None,
        reconcile: float = 0.1,
    ) -> None:
        super().__init__(folder, url=f"sqlite:///{folder / 'journal.db'}", leases=leases, workers=workers)
        self._apart = dict(apart or {})
        self._reconcile = reconcile

    def __enter__(self) -> Self:
        super().__enter__()
        until(lambda: all("worker_started" in self.log(worker) for worker in self.workers), "the workers", within=90)
        return self

    def told(self) -> dict[str, str]:
        way = self._apart.get(len(self.workers), self.leases or "")
        return super().told() | {"SCENARIO_LEASES": way, "SCENARIO_RECONCILE": str(self._reconcile)}

    def granted(self) -> dict[str, int]:
        """The fences of the claims of first steps that the journal has recorded, by item; the last of each."""
        found = {f"{run_id}/picked#1": self.recorded(run_id, "picked") for run_id in self.runs}
        return {item: fences[-1] for item, fences in found.items() if fences}

    def recorded(self, run_id: str, step: str) -> list[int]:
        """The fences of its claims that the journal has recorded."""
        with self.journal() as journal:
            told = facts_of(journal, run_id)
        return [fact.fence for fact in told if isinstance(fact, AttemptClaimed) and fact.step == step]

    def claimants(self, runs: Iterable[str]) -> set[int]:
        """The numbers of the workers whose claims of these runs the journal has recorded."""
        with self.journal() as journal:
            told = [fact for run_id in runs for fact in facts_of(journal, run_id)]
        owners = {fact.owner for fact in told if isinstance(fact, AttemptClaimed)}
        return {n for n, worker in enumerate(self.workers) if any(f"-{worker.pid}@" in owner for owner in owners)}

    def refused(self) -> set[tuple[str, int]]:
        """Item and fence of each claim that the journal would not record, as the workers have logged it."""
        return {(item, int(fence)) for item, fence in _REFUSED.findall(self.logs())}
