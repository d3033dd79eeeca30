"""What ended long ago, and its end (protocol 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.ids import ThreadId
from squidmesh.journal.rows import RunRow, Tombstone
from squidmesh.ports.journal_store import Committed, Conflict, Pruning
from squidmesh.ports.pruning import check_pruned_once
from squidmesh_postgres.lists import run
from squidmesh_postgres.statements import load

_TOMBSTONE = Tombstone.__struct_fields__


def prunable(connection: Connection[Any], schema: str, until: int, after: RunRow | None, limit: int) -> list[RunRow]:
    begin = (-(2**63), "") if after is None else (after.ended_at, after.run_id)
    asked = {"until": until, "ended_at": begin[0], "run_id": begin[1], "limit": limit}
    return [run(row) for row in connection.execute(load("retention", schema)["ended"], asked)]


def tombstone(connection: Connection[Any], schema: str, run_id: str) -> Tombstone | None:
    row = connection.execute(load("retention", schema)["tombstone"], {"run_id": run_id}).fetchone()
    return None if row is None else Tombstone(**dict(zip(_TOMBSTONE, row, strict=True)))


def prune(connection: Connection[Any], schema: str, runs: Sequence[Pruning]) -> Committed | Conflict:
    """``connection``: in autocommit. One statement, which is the transaction."""
    check_pruned_once(runs)
    given = [{"thread": one.thread, "revision": one.revision, "buried": one.tombstone is not None} for one in runs]
    asked = {
        "runs": _json(given),
        "timers": _json([{"timer": timer, "thread": one.thread} for one in runs for timer in one.timers]),
        "tombstones": _json([one.tombstone for one in runs if one.tombstone is not None]),
    }
    row = connection.execute(load("retention", schema)["prune"], asked).fetchone()
    return Committed() if row is None else Conflict(thread=ThreadId(row[0]), revision=row[1])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
