"""What befalls a PostgreSQL: it dies, or one of its processes; it stands still; rows are locked; its disk is full."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing

import psycopg

from chaos.faults.fault import Fault, NoTarget, state_of
from chaos.fleet.stores import DATABASE
from squidmesh.testing.postgres import Postgres

POSTGRES = frozenset({"postgres"})
_CRASHED = "terminating any other active server processes"
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = %s AND %s = ANY (pg_blocking_pids(pid)) AND application_name LIKE 'squidmesh%%'"
)
_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'squidmesh%%' AND datname = %s"


class OfPostgres(Fault):
    needs = POSTGRES
    touches = POSTGRES

    @property
    def postgres(self) -> Postgres:
        found = self.world.stores.postgres
        assert found is not None
        return found

    def sessions(self) -> list[int]:
        return sorted(pid for (pid,) in self.postgres.execute(_SESSIONS, [DATABASE], database=DATABASE))


class PostgresKilled(OfPostgres):
    name = "postgres-killed"
    harm = "store_killed"
    what = "SIGKILL to all processes of the PostgreSQL at one moment; it recovers some seconds later"
    expected = "outcomes wait in memory and are written when it is back; nothing that was acknowledged is lost"
    lasts = (0.5, 5.0)

    def apply(self) -> str:
        self._pid = self.postgres.pid
        self.postgres.kill()
        return f"postgres (pid {self._pid})"

    def seen(self) -> str | None:
        if self.postgres.running or state_of(self._pid):
            return None
        return f"process {self._pid} and its children have ended"

    def heal(self) -> None:
        self.postgres.start()


class BackendKilled(OfPostgres):
    name = "postgres-backend-killed"
    harm = "store_killed"
    what = "SIGKILL to one process of the PostgreSQL, which then ends all others and recovers"
    expected = "every connection ends, LISTEN too; workers connect anew, and polling covers the gap"
    lasts = (0.5, 3.0)

    def apply(self) -> str:
        sessions = self.sessions()
        if not sessions:
            raise NoTarget("nobody is connected")
        self._before = self.postgres.log.read_text(errors="replace").count(_CRASHED)
        pid = self.chance.choice(sessions)
        os.kill(pid, signal.SIGKILL)
        return f"its process {pid}"

    def seen(self) -> str | None:
        crashed = self.postgres.log.read_text(errors="replace").count(_CRASHED)
        return "its log says that it ends all others" if crashed > self._before else None

    def heal(self) -> None:
        """It does by itself."""


class SessionsEnded(OfPostgres):
    name = "postgres-sessions-ended"
    harm = "link"
    what = "pg_terminate_backend on half of the sessions, as an operator or a failover does it"
    expected = "workers connect and listen anew"
    lasts = (0.0, 1.0)

    def apply(self) -> str:
        sessions = self.sessions()
        if not sessions:
            raise NoTarget("nobody is connected")
        self._ended = self.chance.sample(sessions, (len(sessions) + 1) // 2)
        for pid in self._ended:
            self.postgres.execute("SELECT pg_terminate_backend(%s)", [pid])
        return f"{len(self._ended)} sessions"

    def seen(self) -> str | None:
        left = set(self._ended) & set(self.sessions())
        return None if left else f"{len(self._ended)} sessions have ended"

    def heal(self) -> None:
        """They connect anew."""


class PostgresStopped(OfPostgres):
    name = "postgres-stalled"
    harm = "store_away"
    what = "SIGSTOP to all processes of the PostgreSQL, then SIGCONT"
    expected = "time-outs are unknown outcomes; the same append again"
    lasts = (1.0, 6.0)

    def apply(self) -> str:
        self.postgres.freeze()
        return f"postgres (pid {self.postgres.pid})"

    def seen(self) -> str | None:
        return f"process {self.postgres.pid} stands still" if state_of(self.postgres.pid) == "T" else None

    def heal(self) -> None:
        self.postgres.resume()


class RowsLocked(OfPostgres):
    name = "postgres-lock-held"
    harm = "store_away"
    what = "another session holds the locks of the newest threads for some seconds"
    expected = "lock time-outs; other runs go on, these when the lock is gone"
    lasts = (1.0, 5.0)
    _MANY = 40

    def apply(self) -> str:
        self._ours = psycopg.connect(self.world.stores.journal_url, connect_timeout=5)
        found = self._ours.execute(
            "SELECT thread FROM squidmesh.threads WHERE thread IN (SELECT run_id FROM squidmesh.agenda)"
            " ORDER BY thread LIMIT %s FOR UPDATE SKIP LOCKED",
            [self._MANY],
        ).fetchall()
        if not found:
            self._ours.close()
            raise NoTarget("no run is open")
        self._pid = self._ours.info.backend_pid
        return f"{len(found)} threads"

    def seen(self) -> str | None:
        ((waiting,),) = self.postgres.execute(_WAITING, [DATABASE, self._pid])
        return f"{waiting} sessions wait for ours" if waiting else None

    def heal(self) -> None:
        self._ours.close()


class DiskFull(Fault):
    name = "disk-full"
    harm = "store_away"
    what = "the file system of the journal has no room left, then there is some again"
    expected = "a loud, typed error; what was acknowledged is there, the rest is written when there is room"
    needs = frozenset({"disk"})
    touches = frozenset({"postgres", "sqlite"})
    lasts = (2.0, 6.0)
    root = True

    def apply(self) -> str:
        disk = self.world.stores.disk
        assert disk is not None
        self._disk = disk
        used = disk.fill()
        return f"{used} bytes in use"

    def seen(self) -> str | None:
        probe = self._disk.folder / "probe"
        try:
            probe.write_bytes(bytes(1 << 20))
        except OSError as error:
            return f"a file is refused: {error.strerror}"
        finally:
            probe.unlink(missing_ok=True)
        return None

    def heal(self) -> None:
        self._disk.empty()
        postgres = self.world.stores.postgres
        if postgres is not None and not postgres.running:  # it could not write its log, and has ended of that
            postgres.start()


class FileLocked(Fault):
    name = "sqlite-lock-held"
    harm = "store_away"
    what = "another process's transaction holds the lock of the journal's file"
    expected = "writers wait, or say that it is busy, and go on"
    needs = frozenset({"sqlite"})
    touches = frozenset({"sqlite"})
    lasts = (0.5, 4.0)

    def apply(self) -> str:
        file = self.world.stores.sqlite
        assert file is not None
        self._file = file
        self._ours = sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)
        self._ours.execute("BEGIN IMMEDIATE")
        return file.name

    def seen(self) -> str | None:
        with closing(sqlite3.connect(self._file, timeout=0.05, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                return f"another writer hears: {error}"
            other.execute("ROLLBACK")
        return None

    def heal(self) -> None:
        self._ours.execute("ROLLBACK")
        self._ours.close()
