"""A transaction that a step writes its own rows in, and the journal its completion (protocol 5).

The step gets the connection through a proxy that can only execute statements, and SQLite itself asks our authorizer
before it compiles one: what would begin or end a transaction, attach a file, change a setting, or write to the
journal's own tables is denied, however it is said.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from squidmesh.errors import TransactionMisused, UsageError
from squidmesh.ports.journal_store import Answer, Committed, Group, History, ThreadRead
from squidmesh_sqlite.pool import Lent
from squidmesh_sqlite.statements import load

if TYPE_CHECKING:
    from squidmesh_sqlite.journal import SqliteJournal

_SQL = load("transaction")
_EVERY = 1000
"""Instructions of SQLite between two looks at the time."""
_WRITES = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_DROP_TRIGGER,
}
_ENDS = {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}


class StepConnection:
    """What a transactional step writes with: ``execute`` and ``executemany``, with the cursors of :mod:`sqlite3`. It is
    good until the step returns.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return self._open().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        return self._open().executemany(sql, parameters)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UsageError("the step has returned, and its transaction has ended", code="transaction_ended")
        return self._connection

    def end(self) -> None:
        self._connection = None

    def __repr__(self) -> str:
        return f"<StepConnection {'open' if self._connection is not None else 'ended'}>"


class SqliteStepTransaction:
    """One connection in the hands of one step. Made when the transaction has begun."""

    def __init__(self, raw: sqlite3.Connection, limit: timedelta) -> None:
        self.connection = StepConnection(raw)
        self._raw = raw
        self._until = time.monotonic() + limit.total_seconds()
        self._tables = frozenset(name for (name,) in raw.execute(_SQL["tables"]))
        raw.set_authorizer(self._authorize)
        raw.set_progress_handler(self._is_late, _EVERY)

    def end(self) -> None:
        """The step has nothing in its hands any more."""
        self.connection.end()
        with suppress(sqlite3.ProgrammingError):  # closed: there is nothing left of it
            self._raw.set_authorizer(None)
            self._raw.set_progress_handler(None, 0)

    def take_back(self) -> sqlite3.Connection:
        """The connection is ours again. ``TransactionMisused`` where its transaction has ended."""
        self.end()
        try:
            whole = self._raw.in_transaction
        except sqlite3.ProgrammingError as error:
            raise TransactionMisused("the step has closed its connection") from error
        if not whole:
            raise TransactionMisused("one of the step's statements has rolled its transaction back")
        return self._raw

    def _is_late(self) -> int:
        return int(time.monotonic() > self._until)

    def _authorize(self, action: int, one: str | None, two: str | None, place: str | None, inner: str | None) -> int:
        if action in _ENDS or (action == sqlite3.SQLITE_PRAGMA and two is not None):
            return sqlite3.SQLITE_DENY
        if action in _WRITES and (one in self._tables or two in self._tables):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_ALTER_TABLE and two in self._tables:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


class StepsJournal:
    """The journal as one step's transaction sees it: reads and the append go through it, all else does not."""

    def __init__(self, journal: SqliteJournal, step: SqliteStepTransaction, lent: Lent) -> None:
        self._journal = journal
        self._step = step
        self._lent = lent

    @property
    def connection(self) -> StepConnection:
        return self._step.connection

    @property
    def store(self) -> Any:
        return self

    def require_whole(self) -> None:
        self._step.take_back()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        return self._journal.read_in(self._step.take_back(), reads, whole=whole)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        answers = self._journal.commit_in(self._step.take_back(), groups)
        if answers == [Committed()] * len(groups):
            self._lent.commit()
        return answers


@contextmanager
def savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute(_SQL["save"])
    try:
        yield
    except BaseException:
        connection.execute(_SQL["undo"])
        raise
    connection.execute(_SQL["release"])
