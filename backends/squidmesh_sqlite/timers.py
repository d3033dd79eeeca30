"""Timers and signals as rows (protocol 3.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from squidmesh.journal.rows import TimerRow
from squidmesh_sqlite.statements import load

_SQL = load("timers")
_ROW = TimerRow.__struct_fields__
_FIRST = -(2**63)


def write(connection: sqlite3.Connection, set_: Sequence[TimerRow], dropped: Sequence[str]) -> None:
    """What is dropped first: an entry may end one wait and begin another under the same name."""
    if dropped:
        connection.executemany(_SQL["drop"], [(timer,) for timer in dropped])
    if set_:
        connection.executemany(_SQL["set"], [msgspec.structs.astuple(row) for row in set_])


def due(connection: sqlite3.Connection, until: int, after: TimerRow | None, limit: int) -> list[TimerRow]:
    begin = (_FIRST, "") if after is None else (after.due_at, after.timer)
    asked = {"until": until, "due_at": begin[0], "timer": begin[1], "limit": limit}
    return [_row(row) for row in connection.execute(_SQL["due"], asked)]


def next_due(connection: sqlite3.Connection) -> int | None:
    (found,) = connection.execute(_SQL["next"]).fetchone()
    return None if found is None else int(found)


def open_(connection: sqlite3.Connection, after: str, limit: int) -> list[TimerRow]:
    return [_row(row) for row in connection.execute(_SQL["open"], {"after": after, "limit": limit})]


def drop_signals(connection: sqlite3.Connection, timers: Sequence[str]) -> None:
    connection.executemany(_SQL["drop_signal"], [(timer,) for timer in timers])


def _row(row: tuple[Any, ...]) -> TimerRow:
    return TimerRow(**dict(zip(_ROW, row, strict=True)))
