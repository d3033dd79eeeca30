"""The journal in the host's own open transaction: what starts there commits, or rolls back, with the host's rows.

The connection is the host's: nothing of it is changed but by savepoints, and its lock time-out is put back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus

from squidmesh.errors import InvalidInput, JournalConflict
from squidmesh.ids import Fingerprint, ThreadId
from squidmesh.journal.rows import AttemptRow, RunRow
from squidmesh.ports.journal_store import Answer, Entry, Group, History, ThreadRead
from squidmesh_postgres import lists
from squidmesh_postgres.faults import translate
from squidmesh_postgres.pool import LOCK_TIMEOUT
from squidmesh_postgres.statements import load

if TYPE_CHECKING:
    from squidmesh_postgres.journal import PostgresJournal

STARTED = "@started"
"""The word that a host's transaction leaves for reconcilers. No queue has such a name."""
_LOCK_TIMEOUT = int(LOCK_TIMEOUT * 1000)
_ALLOWED = "allowed are a psycopg.Connection in a transaction, and SQLAlchemy's Connection or Session over psycopg"


class JoinedJournal:
    """Reads and appends go through the host's transaction, all else does not."""

    def __init__(self, journal: PostgresJournal, connection: object, *, schema: str, incarnation: str) -> None:
        self._journal = journal
        self._connection = driver_connection(connection)
        self._schema = schema
        self._sql = load("transaction", schema)
        self._incarnation = incarnation
        with self._saved():
            pass  # refuses one to another database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        with self._saved() as connection:
            return self._journal.read_in(connection, reads, whole=whole)

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        with self._saved() as connection:
            return self._journal.entry_in(connection, thread, revision)

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        with self._saved() as connection:
            return self._journal.definition_in(connection, fingerprint)

    def run_row(self, run_id: str) -> RunRow | None:
        with self._saved() as connection:
            return lists.run_row(connection, self._schema, run_id)

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        with self._saved() as connection:
            return lists.open_attempts(connection, self._schema, run_id, limit, after)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """Appends, and commits nothing. The host's own commit says aloud that there is something to claim."""
        with self._saved() as connection:
            return self._journal.write_in(connection, groups, aloud=True, also=STARTED)

    @contextmanager
    def _saved(self) -> Iterator[Connection[Any]]:
        """Whatever goes wrong within is undone, and the host's transaction can go on."""
        connection = self._connection
        name = self._journal.name
        try:
            connection.execute(self._sql["save"])
            try:
                too_long = self._own(connection)
                if too_long is not None:
                    connection.execute(self._sql["wait_for_locks"], {"lock_timeout": f"{_LOCK_TIMEOUT}ms"})
                yield connection
                if too_long is not None:
                    connection.execute(self._sql["wait_for_locks"], {"lock_timeout": too_long})
            except BaseException:
                if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                    connection.execute(self._sql["undo"])
                raise
            connection.execute(self._sql["release"])
        except psycopg.errors.SerializationFailure as error:
            why = "another transaction has written it after this one took its picture of the database"
            raise JournalConflict(f"{name}: {why}; allowed is to roll back and do it again") from error
        except (psycopg.Error, UnicodeError, OverflowError) as error:
            raise translate(error, name) from error

    def _own(self, connection: Connection[Any]) -> str | None:
        """The connection's lock time-out, if that is longer than ours. Refuses a connection to another database."""
        try:
            found = connection.execute(self._sql["whose"], {"longest": _LOCK_TIMEOUT}).fetchone()
        except psycopg.errors.UndefinedTable:
            found = None
        if found is None or found[0] != self._incarnation:
            raise InvalidInput(f"is to another database than {self._journal.name}; {_ALLOWED}", field="connection")
        return None if found[1] is None else str(found[1])


def driver_connection(given: object) -> Connection[Any]:
    """The psycopg connection of the host's transaction."""
    found = _of_sqlalchemy(given) if type(given).__module__.partition(".")[0] == "sqlalchemy" else given
    if isinstance(found, psycopg.AsyncConnection):
        raise InvalidInput(f"is an asynchronous connection; {_ALLOWED}", field="connection")
    if not isinstance(found, Connection):
        raise InvalidInput(f"is a {type(given).__name__}; {_ALLOWED}", field="connection")
    if found.closed:
        raise InvalidInput(f"is closed; {_ALLOWED}", field="connection")
    status = found.info.transaction_status
    if status == TransactionStatus.INERROR:
        raise InvalidInput("is in a transaction that has failed: roll it back first", field="connection")
    if found.autocommit and status == TransactionStatus.IDLE:
        why = "is in autocommit, and in no transaction: with connection.transaction() begins one"
        raise InvalidInput(f"{why}; {_ALLOWED}", field="connection")
    return found


def _of_sqlalchemy(given: Any) -> object:
    """By what it offers, not by its class: SQLAlchemy is not ours to import. A session, or a connection that has done
    nothing yet, begins its transaction now, as it would with any statement: else its commit would do nothing.
    """
    connection = given.connection() if callable(getattr(given, "connection", None)) else given
    if not hasattr(connection, "exec_driver_sql"):
        return connection
    if not connection.in_transaction():
        connection.exec_driver_sql("SELECT 1")
    return connection.connection.driver_connection
