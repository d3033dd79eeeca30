"""What PostgreSQL's errors mean to a caller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from squidmesh.errors import (
    AccessRefused,
    BackendError,
    BackendUnavailable,
    CommitUnknown,
    DataRefused,
    SchemaOutOfDate,
    StoreDamaged,
    UsageError,
)

_DATA = ("22", "23", "54")
"""Classes of SQLSTATE that speak of the value itself: data exceptions, constraints, limits of the program."""
_DAMAGE = ("XX001", "XX002")
_NOT_THERE = ("3F000", "42P01", "42703", "42883")
"""No such schema, table, column or function: it was never migrated, or is older than this version."""
_FORBIDDEN = "42501"
_NO_ENTRY = ("28", "3D")
_SAID_AT_THE_DOOR = re.compile(
    r"FATAL: .*(authentication failed|no pg_hba\.conf entry|(role|database) \".*\" does not exist"
    r"|is not permitted to log in|permission denied for database)|no password supplied"
)
"""libpq tells no SQLSTATE of a session that did not come about, only what the server said. In another language this is
not understood, and such a server is one that is away."""


def translate(error: Exception, name: str) -> BackendError | UsageError:
    """``name``: the store as people know it. Nothing of what was asked has happened, unless it was a commit whose
    connection has gone: see :func:`translate_commit`.
    """
    if isinstance(error, UnicodeError | OverflowError):
        return DataRefused(f"{name} can not hold a value: {error}")
    state = getattr(error, "sqlstate", None) or ""
    said = _in_a_line(error)
    if state.startswith(_DATA) or (not state and isinstance(error, psycopg.DataError)):
        return DataRefused(f"{name} can not hold a value: {said}")
    if state in _DAMAGE:
        return StoreDamaged(f"{name} is damaged, and must be restored: {said} [{state}]")
    if state in _NOT_THERE:
        return SchemaOutOfDate(f"{name} has not the tables that it should have: migrate it first ({said} [{state}])")
    if state == _FORBIDDEN:
        return UsageError(
            f"{name}: {said}; allowed is a role with the rights that docs/postgres.md lists", code="not_permitted"
        )
    refused = state.startswith(_NO_ENTRY) or (not state and _SAID_AT_THE_DOOR.search(said))
    kind = AccessRefused if refused else BackendUnavailable
    return kind(f"{name} can not be used now: {said}" + (f" [{state}]" if state else ""))


def translate_commit(error: Exception, connection: psycopg.Connection, name: str) -> BackendError | UsageError:
    """An error that the server told while the connection lives: the transaction is rolled back. Where the connection
    is gone with it, the commit may have happened all the same.
    """
    if isinstance(error, psycopg.Error) and (connection.closed or connection.broken) and not _never_ran(error):
        return CommitUnknown(f"{name}: the answer to a commit was lost: {_in_a_line(error)}")
    return translate(error, name)


def _never_ran(error: Exception) -> bool:
    """The server has refused the session itself, or the data was refused before it was sent."""
    return isinstance(error, errors.CannotConnectNow | errors.TooManyConnections | psycopg.DataError)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Lets no error of the driver out."""
    try:
        yield
    except (psycopg.Error, UnicodeError, OverflowError) as error:
        raise translate(error, name) from error
