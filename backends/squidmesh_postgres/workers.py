"""The rows of those who work now (:mod:`squidmesh.journal.workers`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.journal.workers import MOST_FORGOTTEN, WorkerRow
from squidmesh_postgres.statements import load

_ROW = WorkerRow.__struct_fields__


def put(connection: Connection[Any], schema: str, rows: Sequence[WorkerRow], stale: int) -> None:
    """In a transaction that is open."""
    sql = load("workers", schema)
    for row in sorted(rows, key=lambda row: row.name):  # who writes the same rows locks them in the same order
        queues = msgspec.json.encode(row.queues).decode()
        connection.execute(sql["put"], msgspec.structs.asdict(row) | {"queues": queues})
    connection.execute(sql["forget_stale"], {"stale": stale, "most": MOST_FORGOTTEN})


def all_(connection: Connection[Any], schema: str, limit: int, after: str) -> list[WorkerRow]:
    return [_row(row) for row in connection.execute(load("workers", schema)["all"], {"limit": limit, "after": after})]


def forget(connection: Connection[Any], schema: str, names: Sequence[str]) -> None:
    connection.execute(load("workers", schema)["forget"], {"names": msgspec.json.encode(names).decode()})


def _row(row: tuple[Any, ...]) -> WorkerRow:
    said = dict(zip(_ROW, row, strict=True))
    return WorkerRow(**said | {"queues": tuple(msgspec.json.decode(said["queues"]))})
