"""What a doctor sees of a schema and of the server that it is on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import Connection

from squidmesh.clock import Instant
from squidmesh.errors import BackendError, UsageError
from squidmesh.ports.backend import Finding, Level
from squidmesh_postgres.faults import translate
from squidmesh_postgres.schema import OLDEST_SERVER, Schema
from squidmesh_postgres.statements import load, migrations

OLD_TRANSACTION = 900.0
"""Seconds after which an open transaction is told: nothing that died since then can be cleaned up."""
MOST_CLOCK_DIFFERENCE = 5.0
_CONNECTIONS_LEFT = 10
_BIGGEST = 5


def examine(schema: Schema, now: Instant | None) -> list[Finding]:
    """Changes nothing and raises nothing."""
    try:
        with schema.session() as connection:
            return [*_server(connection), *_settings(connection), *_inside(connection, schema, now)]
    except (BackendError, UsageError) as error:
        wanted = f"a PostgreSQL {OLDEST_SERVER} or newer that lets us in, and is the primary"
        return [_finding("server", "refused", str(error), wanted)]


def _server(connection: Connection[Any]) -> Iterator[Finding]:
    version, number, replica, read_only = _one(connection, load("doctor")["server"])
    level: Level = "ok" if number >= OLDEST_SERVER * 10_000 else "refused"
    yield _finding("server", level, f"PostgreSQL {version}", f"{OLDEST_SERVER} or newer")
    found = "a replica" if replica else "read-only" if read_only else "it can be written"
    wanted = "the primary, which can be written: a journal is never read from a replica"
    yield _finding("writable", "refused" if replica or read_only else "ok", found, wanted)


_WANTED: dict[str, tuple[Callable[[str], bool], Level, str]] = {
    "synchronous_commit": (
        lambda found: found != "off",
        "refused",
        "anything but off: with off, commits that were acknowledged are lost when the server crashes",
    ),
    "fsync": (lambda found: found == "on", "refused", "on: with off, a power cut damages the database"),
    "full_page_writes": (lambda found: found == "on", "warning", "on, unless the file system writes pages whole"),
    "autovacuum": (lambda found: found == "on", "warning", "on: what is dead stays in the tables otherwise"),
}
"""Each setting, whether it is good, how bad it is where it is not, and what is wanted."""


def _settings(connection: Connection[Any]) -> Iterator[Finding]:
    found = dict(connection.execute(load("doctor")["settings"]).fetchall())
    for name, (good, level, wanted) in _WANTED.items():
        yield _finding(name, "ok" if good(found[name]) else level, found[name], wanted)
    (used,) = _one(connection, load("doctor")["connections"])
    most = int(found["max_connections"])
    enough: Level = "ok" if most - used >= _CONNECTIONS_LEFT else "warning"
    wanted = f"{_CONNECTIONS_LEFT} free or more: a worker process takes about four"
    yield _finding("connections", enough, f"{used} of {most}", wanted)
    (age,) = _one(connection, load("doctor")["oldest_transaction"])
    old: Level = "warning" if (age or 0.0) > OLD_TRANSACTION else "ok"
    open_for = "none is open" if age is None else f"the oldest is open for {age:.0f} s"
    yield _finding("transactions", old, open_for, f"none for more than {OLD_TRANSACTION:.0f} s")


def _inside(connection: Connection[Any], schema: Schema, now: Instant | None) -> Iterator[Finding]:
    newest = migrations(schema.name_of_schema)[-1].number
    try:
        pending = schema.pending_on(connection)
    except (BackendError, UsageError) as error:
        yield _finding("schema", "refused", str(error), "a schema of Squid Mesh, of this version or the one before")
        return
    wanted = f"{newest}: squidmesh migrate brings it there"
    if len(pending) == newest:
        yield _finding("schema", "warning", "there is none yet", wanted)
        return
    yield _finding("schema", "refused" if pending else "ok", str(newest - len(pending)), wanted)
    try:
        yield from _of_schema(connection, schema, now)
    except psycopg.Error as error:
        yield _finding("tables", "refused", str(translate(error, schema.name)), "tables that can be read")


def _of_schema(connection: Connection[Any], schema: Schema, now: Instant | None) -> Iterator[Finding]:
    sql = load("doctor", schema.name_of_schema)
    sizes = connection.execute(sql["sizes"], {"schema": schema.name_of_schema}).fetchall()
    yield _finding("sizes", "ok", _in_words(sizes), "what the disk has room for; squidmesh prune makes room")
    appends, changes = _one(connection, sql["rights"])
    found = "may append" if appends else "may not append"
    found += ", and change entries" if changes else ", and change no entry"
    wanted = "may append, and change no entry: see roles.sql"
    yield _finding("rights", "ok" if appends and not changes else "warning", found, wanted)
    (moment,) = _one(connection, sql["moment"])
    if now is not None:
        apart = abs(moment - now) / 1e6
        level: Level = "ok" if apart <= MOST_CLOCK_DIFFERENCE else "warning"
        yield _finding("clock", level, f"{apart:.1f} s apart", f"{MOST_CLOCK_DIFFERENCE:g} s or less")


def _in_words(sizes: Sequence[tuple[str, int, int]]) -> str:
    total = sum(size for _, size, _ in sizes)
    biggest = ", ".join(f"{name} {_bytes(size)}" for name, size, _ in sizes[:_BIGGEST])
    return f"{_bytes(total)} in all: {biggest}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}"


def _one(connection: Connection[Any], sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def _finding(name: str, level: Level, found: str, wanted: str) -> Finding:
    return Finding(name=f"postgresql.{name}", level=level, found=found, wanted=wanted)
