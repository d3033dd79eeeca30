"""Connections: opened when needed, and given back in a stack so that the warmest is used first."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from squidmesh.errors import BackendError, BackendUnavailable, CommitUnknown, UsageError
from squidmesh_sqlite.faults import is_busy, translate, translated
from squidmesh_sqlite.forks import FORKS
from squidmesh_sqlite.statements import load

BUSY_TIMEOUT = 5.0
"""Seconds that a writer waits for another one."""
_CACHED_STATEMENTS = 256
_SQL = load("connection")
_BEGIN, _COMMIT, _ROLLBACK = _SQL["begin"], _SQL["commit"], _SQL["rollback"]

Durability = Literal["durable", "ordered"]


class Gate:
    """One writer at a time within a process. SQLite would see to it too, but by sleeping and trying again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: int | None = None
        """The thread that writes."""

    def renew(self) -> None:
        """In the child of a fork: it may be held by a thread that is not here."""
        self._lock = threading.Lock()
        self._inside = None

    def enter(self, path: Path) -> threading.Lock:
        """Waits for its turn. Whoever has it gives it to :meth:`leave`, even where a fork has renewed this since."""
        lock = self._lock
        if self._inside == threading.get_ident():
            raise UsageError(
                "this thread is in a transactional step, which writes through its context only: context.connection, and"
                " the verbs of the context",
                code="inside_transaction",
            )
        if not lock.acquire(timeout=BUSY_TIMEOUT):
            raise BackendUnavailable(f"{path} is busy: another thread has been writing for {BUSY_TIMEOUT} seconds")
        self._inside = threading.get_ident()
        return lock

    def leave(self, turn: threading.Lock) -> None:
        self._inside = None
        turn.release()


Mode = Literal["rw", "rwc", "ro", "ro&immutable=1"]
"""How a file is opened: ``rwc`` makes it, ``ro`` changes nothing but may wait, ``immutable`` leaves no trace at all."""


def connect(path: Path, mode: Mode, factory: type[sqlite3.Connection]) -> sqlite3.Connection:
    """A bare connection: transactions only where they are written, usable from any thread (one at a time).

    It is opened, used and closed within :meth:`squidmesh_sqlite.forks.Forks.steady`.
    """
    FORKS.check(path)
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
        factory=factory,
    )


class Lent:
    """A transaction that is open. ``ended``: it has been committed; ``broken``: nobody knows, and it is closed."""

    def __init__(self, connection: sqlite3.Connection, commit: Callable[[sqlite3.Connection], None]) -> None:
        self.connection = connection
        self._commit = commit
        self.ended = self.broken = False

    def commit(self) -> None:
        """Raises ``BackendUnavailable`` with nothing written, or ``CommitUnknown``."""
        self.broken = True
        self._commit(self.connection)
        self.ended, self.broken = True, False


class Pool:
    """``durability`` names what a commit means; see ``sql/connection.sql``. ``factory`` is there for tests;
    ``on_close`` is told who was closed; ``mode="ro"`` for one that only reads.
    """

    def __init__(
        self,
        path: Path,
        gate: Gate,
        durability: Durability = "durable",
        factory: type[sqlite3.Connection] = sqlite3.Connection,
        on_close: Callable[[Pool], None] = lambda pool: None,
        mode: Mode = "rw",
    ) -> None:
        self.path = path
        self._gate = gate
        self._durable = durability == "durable"
        self._pragmas = _SQL[durability]
        self._factory = factory
        self._on_close = on_close
        self._mode = mode
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        """Of the process that forked this one: they may neither be used here nor closed."""
        self._closed = False
        FORKS.watch(self)

    def before_fork(self) -> None:
        self._close_idle()

    def after_fork(self) -> bool:
        self._gate.renew()
        self._inherited += self._idle
        self._idle = []
        return bool(self._inherited)

    def _take(self) -> sqlite3.Connection:
        if self._closed:
            raise UsageError(f"this store is closed ({self.path})", code="store_closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _open(self) -> sqlite3.Connection:
        with translated(self.path):
            connection = connect(self.path, self._mode, self._factory)
            try:
                connection.executescript(self._pragmas)
            except BaseException:
                connection.close()
                raise
            return connection

    def _give(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:  # meanwhile
            self._close_idle()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Each statement sees the store as of its own beginning."""
        with FORKS.steady(self.path):
            connection = self._take()
            try:
                yield connection
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                connection.close()
                raise translate(error, self.path) from error
            except BaseException:
                connection.close()
                raise
            self._give(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed where the block ends, rolled back where it raises.

        Nothing is written when this raises, except perhaps under ``CommitUnknown`` (only a durable pool raises it).
        """
        turn = self._gate.enter(self.path)
        try:
            with FORKS.steady(self.path):
                connection = self._take()
                try:
                    connection.execute(_BEGIN)
                    yield connection
                except BaseException as error:
                    self._undo(connection)
                    if isinstance(error, sqlite3.Error | OverflowError | UnicodeError):
                        raise translate(error, self.path) from error
                    raise
                self._commit(connection)
                self._give(connection)
        finally:
            self._gate.leave(turn)

    @contextmanager
    def lend(self) -> Iterator[Lent]:
        """One transaction that its user commits, or that is rolled back where the block ends. What the user's own
        statements raise is the user's: it is not translated.
        """
        turn = self._gate.enter(self.path)
        try:
            with FORKS.steady(self.path):
                connection = self._take()
                try:
                    connection.execute(_BEGIN)
                except sqlite3.Error as error:
                    self._undo(connection)
                    raise translate(error, self.path) from error
                lent = Lent(connection, self._commit)
                try:
                    yield lent
                finally:
                    if lent.ended:
                        self._give(connection)
                    elif not lent.broken:
                        self._undo(connection)
        finally:
            self._gate.leave(turn)

    def _undo(self, connection: sqlite3.Connection) -> None:
        """Rolls back by a statement or, where that fails, by closing."""
        try:
            if connection.in_transaction:
                connection.execute(_ROLLBACK)
        except sqlite3.Error:
            connection.close()
        else:
            self._give(connection)

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute(_COMMIT)
        except sqlite3.Error as error:
            if is_busy(error):
                self._undo(connection)
                raise translate(error, self.path) from error
            connection.close()
            raise self._unknown(error) from error
        except BaseException:
            connection.close()
            raise

    def _unknown(self, error: sqlite3.Error) -> BackendError:
        if not self._durable:  # what may be lost may be repeated
            return translate(error, self.path)
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return CommitUnknown(f"{self.path}: a commit failed, and may have happened all the same: {error} [{name}]")

    def close(self) -> None:
        """Closes what is idle now; what is in use is closed when it is given back. A second time does nothing."""
        self._closed = True
        with FORKS.steady(self.path):
            self._close_idle()
        self._on_close(self)

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError, sqlite3.Error):  # another thread took it; or it is lost either way
                self._idle.pop().close()
