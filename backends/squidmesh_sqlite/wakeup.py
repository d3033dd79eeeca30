"""Ending an idle pump's sleep: at once within the process, and soon after a commit of another one."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from squidmesh.ports.bell import Bell
from squidmesh_sqlite.forks import FORKS
from squidmesh_sqlite.pool import connect
from squidmesh_sqlite.statements import load

_DATA_VERSION = load("connection")["data_version"]
_SHORTEST, _LONGEST = 0.005, 0.250
"""Seconds between two looks at the file: double each time."""


class SqliteWakeup:
    """One sleeper, with a connection of its own: SQLite counts the commits of all *other* connections for it.

    All wakeups of one backend share a bell: a poke of any of them ends the wait of each. ``on_close`` is told who was
    closed.
    """

    def __init__(self, path: Path, bell: Bell, on_close: Callable[[SqliteWakeup], None]) -> None:
        self.path = path
        self._bell = bell
        self._on_close = on_close
        self._heard = bell.rings
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        """Of the process that forked this one: it may neither be used here nor closed."""
        self._seen: int | None = None
        self._closed = False
        FORKS.watch(self)
        self._changed()  # from here on nothing is missed, also before the first wait

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        """The file is not looked at before the shortest pause is over: most of what this sleeper would find there is
        what its own pump has just committed, and what ends a short step rings.
        """
        rest = timeout.total_seconds()
        ends = time.monotonic() + rest
        pause = _SHORTEST
        while not self._bell.wait(self._heard, rest if self._closed else min(pause, rest)) and not self._changed():
            rest = ends - time.monotonic()
            if rest <= 0:
                break
            pause = min(2 * pause, _LONGEST)
        self._heard = self._bell.rings

    def _changed(self) -> bool:
        """Whether anybody has committed since the last look. A file that can not be read has not changed."""
        with FORKS.steady(self.path), self._lock:
            if self._closed:
                return False
            try:
                if self._connection is None:
                    self._connection = connect(self.path, "rw", sqlite3.Connection)
                (version,) = self._connection.execute(_DATA_VERSION).fetchone()
            except sqlite3.Error:
                return False
            seen, self._seen = self._seen, version
            return bool(seen != version)

    def close(self) -> None:
        """A second time does nothing."""
        with FORKS.steady(self.path), self._lock:
            self._closed = True
            self._close_idle()
        self._bell.ring()
        self._on_close(self)

    def _close_idle(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # -------------------------------------------------------------------------------------------------- a fork

    def before_fork(self) -> None:
        """The next look opens another connection, whose count tells nothing about what it was: so it says that there is
        news. (Left to the counts, it would not where both are the same by chance.)
        """
        if self._lock.acquire(blocking=False):
            try:
                self._close_idle()
                self._seen = None
            finally:
                self._lock.release()

    def after_fork(self) -> bool:
        self._lock = threading.Lock()
        self._bell.renew()
        self._inherited = self._inherited or self._connection
        self._connection = self._seen = None
        return self._inherited is not None
