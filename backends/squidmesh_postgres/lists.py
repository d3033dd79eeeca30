"""Lists and counts of the rows (:class:`squidmesh.ports.journal_store.JournalStore` says what they mean)."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.clock import Instant
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, PausedQueueRow, RunRow
from squidmesh.ports.journal_store import DeadLetterPage, DeadLetterQuery, RunPage, RunQuery
from squidmesh.ports.pages import Place, active_page, dead_page, looked_at, page
from squidmesh_postgres.statements import load

_RUN = RunRow.__struct_fields__
_ATTEMPT = AttemptRow.__struct_fields__
_DEAD = DeadLetterRow.__struct_fields__
_PAUSED = PausedQueueRow.__struct_fields__
"""The columns of the statements stand in the order of these fields."""
_FIRST = -(2**63)
_LAST_CHARACTER = chr(0x10FFFF)


def runs(connection: Connection[Any], schema: str, query: RunQuery, below: Place) -> RunPage:
    started_at, run_id = below
    if query.until is not None and query.until <= started_at:
        started_at, run_id = query.until, ""  # no id is below an empty one: those that started then are left out
    asked = {
        "workflow": query.workflow,
        "status": query.status,
        "queue": query.queue,
        "text": query.text,
        "since": _FIRST if query.since is None else query.since,
        "started_at": started_at,
        "run_id": run_id,
        "limit": query.limit + 1,  # one more tells whether there is a next page
    }
    statement = load("lists", schema)[_narrowest(query)]
    return page(query, [run(row) for row in connection.execute(statement, asked)])


def active_runs(connection: Connection[Any], schema: str, query: RunQuery, below: Place, now: Instant) -> RunPage:
    asked = {"text": query.text, "place": below[0], "run_id": below[1], "limit": looked_at(query) + 1}
    statement = load("lists", schema)["active_of_text" if query.text else "active"]
    return active_page(query, [run(row) for row in connection.execute(statement, asked)], now)


def _narrowest(query: RunQuery) -> str:
    """The statement whose index leaves the least to look at; each applies all filters."""
    if query.text:
        return "of_text"
    if query.status == "running":
        return "running"
    if query.status not in (None, "completed"):
        return "of_status"
    if query.workflow is not None:
        return "of_workflow"
    return "newest" if query.queue is None else "of_queue"


def run_row(connection: Connection[Any], schema: str, run_id: str) -> RunRow | None:
    row = connection.execute(load("lists", schema)["run_row"], {"run_id": run_id}).fetchone()
    return None if row is None else run(row)


def count_runs(connection: Connection[Any], schema: str, workflow: str | None) -> dict[str, int]:
    return dict(connection.execute(load("lists", schema)["count_runs"], {"workflow": workflow}).fetchall())


def open_attempts(
    connection: Connection[Any], schema: str, run_id: str | None, limit: int, after: str
) -> list[AttemptRow]:
    """The items of one run are those that begin with its id and a slash."""
    first = "" if run_id is None else f"{run_id}/"
    asked = {"after": max(after, first), "below": first + _LAST_CHARACTER, "limit": limit}
    return [attempt(row) for row in connection.execute(load("lists", schema)["open_attempts"], asked)]


def dead_letters(connection: Connection[Any], schema: str, query: DeadLetterQuery, above: Place) -> DeadLetterPage:
    asked = msgspec.structs.asdict(query) | {"died_at": above[0], "item": above[1], "limit": query.limit + 1}
    found = connection.execute(load("lists", schema)["dead_letters"], asked)
    return dead_page(query, [_dead_letter(row) for row in found])


def dead_letter(connection: Connection[Any], schema: str, item: str) -> DeadLetterRow | None:
    row = connection.execute(load("lists", schema)["dead_letter"], {"item": item}).fetchone()
    return None if row is None else _dead_letter(row)


def count_dead_letters(connection: Connection[Any], schema: str) -> int:
    (found,) = connection.execute(load("lists", schema)["count_dead_letters"]).fetchone() or (0,)
    return int(found)


def paused_queues(connection: Connection[Any], schema: str) -> list[PausedQueueRow]:
    rows = connection.execute(load("lists", schema)["paused_queues"])
    return [PausedQueueRow(**dict(zip(_PAUSED, row, strict=True))) for row in rows]


def attempt(row: tuple[Any, ...]) -> AttemptRow:
    return AttemptRow(**dict(zip(_ATTEMPT, row, strict=True)))


def _dead_letter(row: tuple[Any, ...]) -> DeadLetterRow:
    return DeadLetterRow(**dict(zip(_DEAD, row, strict=True)))


def run(row: tuple[Any, ...]) -> RunRow:
    return RunRow(**dict(zip(_RUN, row, strict=True)))
