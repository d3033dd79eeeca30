"""Timers and signals as rows (protocol 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.clock import Instant
from squidmesh.journal.rows import TimerRow
from squidmesh_postgres.statements import load

_ROW = TimerRow.__struct_fields__
_FIRST = -(2**63)


def due(connection: Connection[Any], schema: str, until: int, after: TimerRow | None, limit: int) -> list[TimerRow]:
    begin = (_FIRST, "") if after is None else (after.due_at, after.timer)
    asked = {"until": until, "due_at": begin[0], "timer": begin[1], "limit": limit}
    return [_row(row) for row in connection.execute(load("timers", schema)["due"], asked)]


def next_due(connection: Connection[Any], schema: str) -> Instant | None:
    row = connection.execute(load("timers", schema)["next"]).fetchone()
    return None if row is None else Instant(row[0])


def open_(connection: Connection[Any], schema: str, after: str, limit: int) -> list[TimerRow]:
    asked = {"after": after, "limit": limit}
    return [_row(row) for row in connection.execute(load("timers", schema)["open"], asked)]


def drop_signals(connection: Connection[Any], schema: str, signals: Sequence[str]) -> None:
    connection.execute(load("timers", schema)["drop_signals"], {"signals": msgspec.json.encode(signals).decode()})


def _row(row: tuple[Any, ...]) -> TimerRow:
    return TimerRow(**dict(zip(_ROW, row, strict=True)))
