"""The file: one transaction at a time, and no error of the driver gets out."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from squidmesh.errors import BackendError, BackendUnavailable, StoreDamaged, UsageError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PATIENCE = 5.0
"""Seconds that a caller waits for another process's transaction."""


def _statements() -> dict[str, str]:
    _, *parts = _NAME.split((Path(__file__).parent / "statements.sql").read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


class Transaction:
    """What one caller may ask inside his transaction."""

    def __init__(self, connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
        self._connection = connection
        self._statements = statements

    def rows(self, statement: str, **values: object) -> Iterator[dict[str, Any]]:
        cursor = self._connection.execute(self._statements[statement], values)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    def row(self, statement: str, **values: object) -> dict[str, Any] | None:
        return next(self.rows(statement, **values), None)

    def do(self, statement: str, **values: object) -> None:
        self._connection.execute(self._statements[statement], values)


class Store:
    """Opens its file at the first call. Thread-safe: threads of one process go one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._statements = _statements()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything in it happens, or nothing. IMMEDIATE: it has the file for itself before it reads, so what it reads
        is still true when it writes. A caller who decides first and writes later grants one item twice.
        """
        with self._lock, self._translated():
            if self._closed:
                raise UsageError(f"{self.path.name} is closed", code="store_closed")
            connection = self._connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(connection, self._statements)
                transaction.do("begin_life", incarnation=uuid4().hex)
                yield transaction
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(self._statements["open"] + self._statements["tables"])
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one question that a caller has: may the same call work later?"""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise BackendUnavailable(f"{self.path} can not be used now: {error}") from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise StoreDamaged(f"{self.path} is damaged; it may be deleted: it holds no truth") from error
            raise BackendError(f"{self.path} refuses a statement: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None
