"""Ending an idle pump's sleep: at once within the process, and soon after a commit of another one."""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

from squidmesh_sqlite.pool import connect
from squidmesh_sqlite.statements import load

_DATA_VERSION = load("connection")["data_version"]
_SHORTEST, _LONGEST = 0.005, 0.250
"""Seconds between two looks at the file: double each time."""


class Bell:
    """Counts its rings, so that a ring between two waits is not missed."""

    def __init__(self) -> None:
        self.rings = 0
        self.changed = threading.Condition()

    def ring(self) -> None:
        with self.changed:
            self.rings += 1
            self.changed.notify_all()


class SqliteWakeup:
    """One sleeper, with a connection of its own: SQLite counts the commits of all *other* connections for it.

    All wakeups of one backend share a bell: a poke of any of them ends the wait of each.
    """

    def __init__(self, path: Path, bell: Bell) -> None:
        self._path = path
        self._bell = bell
        self._heard = bell.rings
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._closed = False
        self._changed()  # from here on nothing is missed, also before the first wait

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        ends = time.monotonic() + timeout.total_seconds()
        pause = _SHORTEST
        while not self._changed():
            rest = ends - time.monotonic()
            if rest <= 0 or self._rung(min(pause, rest)):
                break
            pause = min(2 * pause, _LONGEST)
        self._heard = self._bell.rings

    def _rung(self, within: float) -> bool:
        with self._bell.changed:
            return self._bell.changed.wait_for(lambda: self._bell.rings != self._heard, within)

    def _changed(self) -> bool:
        """Whether anybody has committed since the last look. A file that can not be read has not changed."""
        with self._lock:
            if self._closed:
                return True
            try:
                if self._connection is None:
                    self._connection = connect(self._path, "rw", sqlite3.Connection)
                (version,) = self._connection.execute(_DATA_VERSION).fetchone()
            except sqlite3.Error:
                return False
            seen, self._seen = self._seen, version
            return bool(seen != version)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        self._bell.ring()
