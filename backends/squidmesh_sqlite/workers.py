"""The rows of those who work now (:mod:`squidmesh.journal.workers`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from squidmesh.journal.workers import MOST_FORGOTTEN, WorkerRow
from squidmesh_sqlite.statements import load

_SQL = load("workers")
_ROW = WorkerRow.__struct_fields__


def put(connection: sqlite3.Connection, rows: Sequence[WorkerRow], now: int, stale: int) -> None:
    for row in rows:
        queues = msgspec.json.encode(row.queues).decode()
        connection.execute(_SQL["put"], msgspec.structs.asdict(row) | {"queues": queues, "seen_at": now})
    connection.execute(_SQL["forget_stale"], {"stale": stale, "most": MOST_FORGOTTEN})


def all_(connection: sqlite3.Connection, limit: int, after: str) -> list[WorkerRow]:
    return [_row(row) for row in connection.execute(_SQL["all"], {"limit": limit, "after": after})]


def forget(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    connection.executemany(_SQL["forget"], [(name,) for name in names])


def _row(row: tuple[Any, ...]) -> WorkerRow:
    said = dict(zip(_ROW, row, strict=True))
    return WorkerRow(
        **said | {"queues": tuple(msgspec.json.decode(said["queues"])), "draining": bool(said["draining"])}
    )
