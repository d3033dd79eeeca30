"""``sqlite:///file.db``: from an address to a journal, its leases and a wake-up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from squidmesh.clock import Clock
from squidmesh.errors import InvalidUrl
from squidmesh_sqlite.journal import SqliteJournal
from squidmesh_sqlite.leases import SqliteLeases
from squidmesh_sqlite.pool import Gate, Pool
from squidmesh_sqlite.schema import Schema
from squidmesh_sqlite.wakeup import Bell, SqliteWakeup

_ALLOWED = "allowed are sqlite:///relative.db and sqlite:////absolute/path.db"


def database_path(url: str) -> Path:
    """The file that the URL names; relative to the folder of the moment. ``InvalidUrl`` says what is allowed."""

    def refuse(why: str) -> InvalidUrl:
        return InvalidUrl(f"{url!r} is refused: {why}; {_ALLOWED}", field="url")

    scheme, separator, path = url.partition("://")
    if scheme != "sqlite" or not separator:
        raise refuse("it does not begin with sqlite://")
    if not path.startswith("/"):
        raise refuse("it names a host" if path else "it names no file")
    path = path[1:]
    if "?" in path:
        raise refuse("it has a query string, and there is nothing to set")
    if path == ":memory:":
        raise refuse("a store in memory is memory://")
    if not path.strip("/") or path.endswith("/"):
        raise refuse("it names no file")
    if "\0" in path:
        raise refuse("it holds a NUL character")
    return Path(path).absolute()


class _Closable(Protocol):
    def close(self) -> None: ...


class SqliteBackend:
    """One file. What was handed out ends with the backend. ``factory`` is there for tests."""

    def __init__(self, url: str, *, clock: Clock, factory: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self.path = database_path(url)
        self._clock = clock
        self._factory = factory
        self._schema = Schema(self.path, factory)
        self._gate = Gate()
        self._bell = Bell()
        self._handed_out: list[_Closable] = []

    def migrate(self) -> list[str]:
        return self._schema.migrate()

    def journal(self) -> SqliteJournal:
        self._schema.ready()
        journal = SqliteJournal(Pool(self.path, self._gate, "durable", self._factory), self._clock)
        self._handed_out.append(journal)
        return journal

    def leases(self) -> SqliteLeases:
        self._schema.ready()
        leases = SqliteLeases(Pool(self.path, self._gate, "ordered", self._factory), self._clock)
        self._handed_out.append(leases)
        return leases

    def wakeup(self, queues: Sequence[str] = ()) -> SqliteWakeup:
        wakeup = SqliteWakeup(self.path, self._bell)
        self._handed_out.append(wakeup)
        return wakeup

    def close(self) -> None:
        while self._handed_out:
            self._handed_out.pop().close()


def backend(url: str, *, clock: Clock) -> SqliteBackend:
    """The factory behind the scheme ``sqlite``."""
    return SqliteBackend(url, clock=clock)
