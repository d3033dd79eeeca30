"""The journal in SQLite, and leases in a real Redis."""

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from squidmesh.testing.servers import Server
from tests.scenarios.fleet import Fleet, until


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
