"""Connections: opened when needed, by whoever needs one, and given back in a stack.

Our own, and not psycopg_pool's: that one opens connections in threads of its own, with pauses that grow to minutes
while a server is away. Here whoever asks learns at once that it is away, and the runtime, which knows what waits, has
the pauses. A child of a fork finds an empty stack (psycopg leaves the parent's connections alone there).
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
from psycopg import Connection

from squidmesh.errors import BackendUnavailable, UsageError
from squidmesh_postgres.deadline import DEADLINES
from squidmesh_postgres.faults import translate
from squidmesh_postgres.statements import load

Durability = Literal["durable", "ordered", "step"]
"""What a commit means; see ``sql/connection.sql``. ``step``: durable, and planned as the server likes."""

_SQL = load("connection")
LOCK_TIMEOUT = 5.0
STATEMENT_TIMEOUT = 30.0
IDLE_TIMEOUT = 60.0
"""Seconds that a statement waits for a lock, that it runs, and that a transaction may do nothing."""
PATIENCE = STATEMENT_TIMEOUT + 10.0
"""Seconds without any answer, after which a server is as good as gone."""
MOST_IDLE = 8
"""Connections that are kept; more are opened where more threads ask at once, and closed after use."""


class Pool:
    """Of one process, for one kind of use. ``name``: the store as people know it. ``on_close`` hears who was closed."""

    def __init__(
        self,
        conninfo: str,
        name: str,
        durability: Durability,
        on_close: Callable[[Pool], None] = lambda pool: None,
    ) -> None:
        self.name = name
        self._conninfo = conninfo
        self._durability = durability
        self._on_close = on_close
        self._lock = threading.Lock()
        self._idle: list[Connection[Any]] = []
        self._pid = os.getpid()
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[Connection[Any]]:
        """A connection in autocommit. What the block raises is given on as it is; a connection that was lost, or is in
        the middle of something, is closed. While the block runs, a server that says nothing at all for
        :data:`PATIENCE` seconds is given up.
        """
        connection = self.take()
        try:
            with DEADLINES.guard(connection, PATIENCE):
                yield connection
        finally:
            self.give(connection)

    def take(self) -> Connection[Any]:
        """Raises ``BackendUnavailable``, or ``UsageError`` (``store_closed``)."""
        with self._lock:
            if self._closed:
                raise UsageError(f"this store is closed ({self.name})", code="store_closed")
            if self._pid != os.getpid():
                self._idle, self._pid = [], os.getpid()
            while self._idle:
                connection = self._idle.pop()
                if not _hung_up(connection):
                    return connection
                connection.close()
        return self._open()

    def give(self, connection: Connection[Any]) -> None:
        with self._lock:
            whole = not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            if whole and not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
            if not whole:  # the others have most likely gone with it
                gone, self._idle = self._idle, []
            else:
                gone = []
        for one in (connection, *gone):
            one.close()

    def _open(self) -> Connection[Any]:
        try:
            connection: Connection[Any] = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=0)
        except psycopg.Error as error:
            raise translate(error, self.name) from error
        try:
            with DEADLINES.guard(connection, PATIENCE):
                connection.prepared_max = None
                self._prepare(connection)
        except psycopg.Error as error:
            connection.close()
            raise translate(error, self.name) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection[Any]) -> None:
        """The settings of a session; refuses a server that only reads: a journal is never read from a replica."""
        asked = {
            "lock_timeout": _milliseconds(LOCK_TIMEOUT),
            "statement_timeout": _milliseconds(STATEMENT_TIMEOUT),
            "idle_timeout": _milliseconds(IDLE_TIMEOUT),
        }
        with connection.pipeline():
            server = connection.execute(_SQL["server"])
            connection.execute(_SQL["step_settings" if self._durability == "step" else "settings"], asked)
            connection.execute(_SQL["ordered" if self._durability == "ordered" else "durable"])
        _, replica = server.fetchone() or (0, False)
        if replica:
            raise BackendUnavailable(f"{self.name} is a replica, which only reads; allowed is the primary")

    def close(self) -> None:
        """Closes what is idle now; what is in use is closed when it is given back. A second time does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = (self._idle, []) if self._pid == os.getpid() else ([], [])
        for one in idle:
            one.close()
        self._on_close(self)


def _hung_up(connection: Connection[Any]) -> bool:
    """Whether the other side has ended it while it was idle, as a server does that was restarted. Nobody listens on
    one of these, so a server that says something unasked says good-bye, or can be spared.
    """
    if connection.closed:
        return True
    line = select.poll()
    line.register(connection.fileno(), select.POLLIN)
    return bool(line.poll(0))


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"
