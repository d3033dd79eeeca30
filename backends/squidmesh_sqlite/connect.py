"""``sqlite:///file.db``: from an address to a journal, its leases and a wake-up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl, SchemaOutOfDate
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh.ports.bell import Bell
from squidmesh_sqlite import doctor
from squidmesh_sqlite.journal import SqliteJournal
from squidmesh_sqlite.leases import SqliteLeases
from squidmesh_sqlite.pool import Durability, Gate, Pool
from squidmesh_sqlite.schema import Schema
from squidmesh_sqlite.statements import migrations
from squidmesh_sqlite.wakeup import SqliteWakeup

_ALLOWED = "allowed are sqlite:///relative.db and sqlite:////absolute/path.db"
_LONGEST_FOLDER, _LONGEST_NAME, _LONGEST_PATH = 255, 247, 504
"""Bytes. SQLite adds up to eight to the name of the file, for those beside it."""


def database_path(url: str) -> Path:
    """The file that the URL names; relative to the folder of the moment. ``InvalidUrl`` says what is allowed."""

    def refuse(why: str) -> InvalidUrl:
        shown = repr(url)
        shown = shown if len(shown) < 200 else f"{shown[:200]}…"
        return InvalidUrl(f"{shown} is refused: {why}; {_ALLOWED}", field="url")

    scheme, separator, path = url.partition("://")
    if scheme != "sqlite" or not separator:
        raise refuse("it does not begin with sqlite://")
    if not path.startswith("/"):
        raise refuse("it names a host" if path else "it names no file")
    path = path[1:]
    if path == ":memory:":
        raise refuse("a store in memory is memory://")
    if not path.strip("/") or path.endswith("/"):
        raise refuse("it names no file")
    try:
        absolute = Path(path).absolute()
    except OSError:
        raise refuse("it is relative, and the present folder does not exist any more") from None
    if why := _flaw(str(absolute)):
        raise refuse(why)
    return absolute


def _flaw(path: str) -> str | None:
    """Why no file of ours can have this path. The URL in full names it, so this is about what a URL can say, too."""
    if "?" in path:
        return "it has a query string, and there is nothing to set"
    if "\0" in path:
        return "it holds a NUL character"
    try:
        *folders, name = path.encode().split(b"/")
    except UnicodeEncodeError:
        return "it holds a lone surrogate"
    if max(map(len, folders)) > _LONGEST_FOLDER:
        return f"a folder's name is too long: up to {_LONGEST_FOLDER} bytes"
    if len(name) > _LONGEST_NAME:
        return f"the file's name is too long: up to {_LONGEST_NAME} bytes"
    if len(path.encode()) > _LONGEST_PATH:
        return f"it is too long: up to {_LONGEST_PATH} bytes"
    return None


class _Closable(Protocol):
    def close(self) -> None: ...


class SqliteBackend:
    """One file. What was handed out ends with the backend. ``factory`` is there for tests."""

    def __init__(self, url: str, *, clock: Clock, factory: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self.path = database_path(url)
        self.url = f"sqlite:///{self.path}"
        self._clock = clock
        self._factory = factory
        self._schema = Schema(self.path, factory)
        self._gate = Gate()
        self._bell = Bell()
        self._handed_out: set[_Closable] = set()
        """What is open of it: whoever is closed leaves."""

    def migrate(self) -> list[str]:
        return self._schema.migrate()

    def migrations(self, *, every: bool = False) -> list[Migration]:
        chosen = migrations() if every else self._schema.pending()
        return [Migration(number=one.number, name=one.name, sql=one.sql) for one in chosen]

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        return doctor.examine(self._schema, self._factory)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        if pending := self._schema.pending():
            raise SchemaOutOfDate(f"{self.path} has {len(pending)} migrations to come: migrate it first")
        pool = Pool(self.path, self._gate, "durable", self._factory, self._handed_out.discard, mode="ro")
        self._handed_out.add(pool)
        try:
            yield Reading(journal=SqliteJournal(pool, self._clock), leases=SqliteLeases(pool, self._clock))
        finally:
            pool.close()

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self._pool("durable"), self._clock)

    def leases(self) -> SqliteLeases:
        return SqliteLeases(self._pool("ordered"), self._clock)

    def _pool(self, durability: Durability) -> Pool:
        self._schema.ready()
        pool = Pool(self.path, self._gate, durability, self._factory, self._handed_out.discard)
        self._handed_out.add(pool)
        return pool

    def wakeup(self, queues: Sequence[str] = ()) -> SqliteWakeup:
        wakeup = SqliteWakeup(self.path, self._bell, self._handed_out.discard)
        self._handed_out.add(wakeup)
        return wakeup

    def starts_announced(self) -> None:
        """No host can start runs in a transaction of its own."""

    def close(self) -> None:
        for one in list(self._handed_out):
            one.close()


def backend(url: str, *, clock: Clock) -> SqliteBackend:
    """The factory behind the scheme ``sqlite``."""
    return SqliteBackend(url, clock=clock)
