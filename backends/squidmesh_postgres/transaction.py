"""A transaction that a step writes its own rows in, and the journal its completion (protocol 5).

The step gets the connection through a proxy without commit or rollback, and a statement that begins with such a word
is refused. Should it end the transaction all the same, hidden in another statement, then the mark that was set for it
is gone with it: the append, which asks for the mark, writes nothing.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection, Cursor
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.pq import TransactionStatus

from squidmesh.errors import TransactionLost, TransactionMisused, UsageError
from squidmesh.ids import ThreadId
from squidmesh.ports.journal_store import Answer, Committed, Entry, Group, History, StepTransaction, ThreadRead
from squidmesh_postgres.deadline import DEADLINES
from squidmesh_postgres.faults import translate, translate_commit, translated
from squidmesh_postgres.pool import PATIENCE, Pool
from squidmesh_postgres.statements import load

if TYPE_CHECKING:
    from squidmesh_postgres.journal import PostgresJournal

_SQL = load("transaction")
_ENDS = re.compile(r"\s*(COMMIT|END|ABORT|ROLLBACK(?!\s+TO\b)|PREPARE\s+TRANSACTION)\b", re.IGNORECASE)


_OVERSLEPT = "the step has done nothing in its transaction for longer than a transaction of it may take"
_STEP = threading.local()


def require_outside() -> None:
    """Raises ``UsageError`` (``inside_transaction``) in the thread of a step whose transaction is open."""
    if getattr(_STEP, "inside", False):
        raise UsageError(
            "this thread is in a transactional step, which writes through its context only: context.connection, and"
            " the verbs of the context",
            code="inside_transaction",
        )


class StepCursor(psycopg.Cursor[Any]):
    """Those of a connection that is lent to a step."""

    def __init__(self, step: StepConnection, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._step = step

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if isinstance(query, str) and (word := _ENDS.match(query)):
            why = f"{word[1].upper()} would end the transaction, which is not the step's own to end"
            raise TransactionMisused(f"{why}; allowed are SAVEPOINT and ROLLBACK TO")
        try:
            return super().execute(query, params, **options)
        except IdleInTransactionSessionTimeout:
            self._step.overslept = True
            raise


class StepConnection:
    """What a transactional step writes with: ``execute``, ``cursor`` and ``info``, as psycopg's own. It is good until
    the step returns.
    """

    __slots__ = ("_connection", "overslept")

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection: Connection[Any] | None = connection
        self.overslept = False
        """The server has ended it because the step did nothing in it for too long."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Cursor[Any]:
        return self._open().execute(query, params, **options)

    def cursor(self, *args: Any, **options: Any) -> Any:
        return self._open().cursor(*args, **options)

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self._open().info

    def _open(self) -> Connection[Any]:
        if self._connection is None:
            raise UsageError("the step has returned, and its transaction has ended", code="transaction_ended")
        return self._connection

    def end(self) -> None:
        self._connection = None

    def __repr__(self) -> str:
        return f"<StepConnection {'open' if self._connection is not None else 'ended'}>"


@contextmanager
def step_transaction(journal: PostgresJournal, pool: Pool, limit: timedelta) -> Iterator[StepTransaction]:
    """What the step's own statements raise is the step's: it is not translated. But whatever became of that, a server
    that went away in the middle is told of in the end.
    """
    require_outside()
    mark = secrets.token_hex(16)
    connection = pool.take()
    step = StepConnection(connection)
    try:
        with DEADLINES.guard(connection, limit.total_seconds() + PATIENCE):
            with translated(pool.name):
                _begin(connection, mark, limit)
            connection.cursor_factory = partial(StepCursor, step)  # type: ignore[assignment]
            _STEP.inside = True
            yield StepsJournal(journal, connection, step, mark, pool.name)
        if connection.broken and not step.overslept:
            raise _lost(pool.name)
    finally:
        _STEP.inside = False
        step.end()
        connection.cursor_factory = psycopg.Cursor
        with DEADLINES.guard(connection, PATIENCE):
            _as_before(connection)
        pool.give(connection)


def _lost(name: str) -> TransactionLost:
    return TransactionLost(f"{name} has gone in the middle of a step's transaction, and nothing of it is left")


def _begin(connection: Connection[Any], mark: str, limit: timedelta) -> None:
    with connection.pipeline():
        connection.execute(_SQL["begin"])
        connection.execute(_SQL["mark"], {"mark": mark, "limit": f"{max(1, int(limit.total_seconds() * 1000))}ms"})


def _as_before(connection: Connection[Any]) -> None:
    """Rolls back what is not committed, and forgets what the step has set. Where that fails, the connection goes."""
    try:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.execute(_SQL["rollback"])
        connection.execute(_SQL["as_before"])
        connection.execute(load("connection")["step_settings"], {"lock_timeout": "5s"})
        connection.execute(load("connection")["durable"])
    except psycopg.Error:
        connection.close()


class StepsJournal:
    """The journal as one step's transaction sees it: reads and the append go through it, all else does not."""

    def __init__(
        self, journal: PostgresJournal, connection: Connection[Any], step: StepConnection, mark: str, name: str
    ) -> None:
        self._journal = journal
        self._raw = connection
        self._step = step
        self._mark = mark
        self._name = name

    @property
    def connection(self) -> StepConnection:
        return self._step

    @property
    def store(self) -> Any:
        return self

    def require_whole(self) -> None:
        """From here on it is ours alone."""
        self._step.end()
        self._raw.cursor_factory = psycopg.Cursor
        status = self._raw.info.transaction_status
        if self._step.overslept:
            raise TransactionMisused(_OVERSLEPT)
        if self._raw.broken:
            raise _lost(self._name)
        if self._raw.closed or status == TransactionStatus.UNKNOWN:
            raise TransactionMisused("the step's connection is closed, and nothing is left")
        if status == TransactionStatus.INERROR:
            raise TransactionMisused("one of the step's statements has failed, which ends its transaction")
        if status != TransactionStatus.INTRANS or not self._is_marked():
            raise TransactionMisused("the step has ended its transaction, which was not its own to end")

    def _is_marked(self) -> bool:
        try:
            return self._raw.execute(_SQL["is_marked"], {"mark": self._mark}).fetchone() == (True,)
        except IdleInTransactionSessionTimeout as error:
            self._step.overslept = True
            raise TransactionMisused(_OVERSLEPT) from error
        except psycopg.Error as error:
            raise (_lost(self._name) if self._raw.broken else translate(error, self._name)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        self.require_whole()
        with translated(self._name):
            return self._journal.read_in(self._raw, reads, whole=whole)

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        self.require_whole()
        with translated(self._name):
            return self._journal.entry_in(self._raw, thread, revision)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """What the store can not hold leaves the transaction as it was before."""
        self.require_whole()
        with translated(self._name), self._raw.transaction():
            self._raw.execute(_SQL["plan_as_we_do"])
            answers = self._journal.write_in(self._raw, groups, mark=self._mark, aloud=True)
        if answers == [Committed()] * len(groups):
            self.end()
        return answers

    def end(self) -> None:
        """Commits. Raises ``CommitUnknown`` where the answer was lost."""
        try:
            ended = self._raw.execute(_SQL["commit"])
        except psycopg.Error as error:
            raise translate_commit(error, self._raw, self._name) from error
        if ended.statusmessage != "COMMIT":
            raise TransactionMisused("the step's transaction was rolled back by the server")
