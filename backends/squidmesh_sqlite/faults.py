"""What SQLite's errors mean to a caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squidmesh.errors import BackendError, BackendUnavailable, DataRefused, StoreDamaged

_DATA = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_UNBINDABLE = (OverflowError, UnicodeError, sqlite3.InterfaceError, sqlite3.DataError)
_PRIMARY = 0xFF
"""The low byte of an extended error code is the code itself."""


def code(error: sqlite3.Error) -> int | None:
    """SQLite's own error code, or None where Python's module refused the call before SQLite saw it."""
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return None if extended is None else extended & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: Exception, path: Path) -> BackendError:
    """The value itself can not be stored; the file is no longer what it was; or else it is not usable right now."""
    if isinstance(error, _UNBINDABLE) or (isinstance(error, sqlite3.Error) and code(error) in _DATA):
        return DataRefused(f"{path} can not hold a value: {error}")
    if isinstance(error, sqlite3.ProgrammingError) and "binding" in str(error):
        return DataRefused(f"{path} can not hold a value: {error}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if isinstance(error, sqlite3.Error) and code(error) in _DAMAGE:
        return StoreDamaged(f"{path} is damaged, and must be restored: {error} [{name}]")
    if isinstance(error, sqlite3.Error) and code(error) == sqlite3.SQLITE_ERROR:  # our statements are always the same
        return StoreDamaged(
            f"{path} has not the tables that it should have, or SQLite {sqlite3.sqlite_version} is too old for them: "
            f"{error} [{name}]"
        )
    return BackendUnavailable(f"{path} can not be used now: {error} [{name}]")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Lets no error of the driver out."""
    try:
        yield
    except (sqlite3.Error, *_UNBINDABLE) as error:
        raise translate(error, path) from error
