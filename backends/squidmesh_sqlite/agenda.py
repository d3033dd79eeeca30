"""The agenda as a reconciler reads it (protocol 3.8): by queue, by what changed, by item."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from squidmesh.errors import InvalidInput
from squidmesh.ids import AttemptKey
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import TOKENS_KEPT, AgendaPage
from squidmesh_sqlite.statements import load

_SQL = load("agenda")
ROWS_OF_AN_ENTRY = 1024
"""An arrival number is that of an entry times this, and the row's place in it: unique up to that many rows of one
entry; beyond it only fair.
"""
_ASIDE_FIRST = (1, 0)
"""What waits for its concurrency key comes back in order at any moment, and nothing goes the other way while somebody
reads: claims on journal leases alone put aside, and where those deliver, nobody asks.
"""
_ROW = AttemptRow.__struct_fields__
_FIRST, _LAST = -(2**63), 2**63 - 1


def queues(connection: sqlite3.Connection) -> list[str]:
    return [queue for (queue,) in connection.execute(_SQL["queues"])]


def of_queue(
    connection: sqlite3.Connection, queue: str, since: int | None, until: int | None, after: str | None, limit: int
) -> AgendaPage:
    """What is aside, then what is in order, priority by priority; a cursor names the last row's place in the index."""
    begin = _FIRST if since is None else since
    last_aside, last_priority, last_visible, last_arrival = _place(after, 4) or (1, _FIRST, begin, _FIRST)
    rows: list[tuple[Any, ...]] = []
    for aside, priority in _parts(connection, queue):
        if (-aside, priority) < (-last_aside, last_priority) or len(rows) > limit:
            continue
        goes_on = (aside, priority) == (last_aside, last_priority)
        asked = {
            "queue": queue,
            "aside": aside,
            "priority": priority,
            "since": last_visible if goes_on else begin,
            "arrival": last_arrival if goes_on else _FIRST,
            "until": _LAST if until is None else until,
            "limit": limit + 1 - len(rows),
        }
        rows += ((*row, aside) for row in connection.execute(_SQL["of_queue"], asked))
    page = rows[:limit]
    more = len(rows) > limit
    # priority and visible_at stand where AttemptRow has them; the arrival comes behind them, and what was added here
    next_ = ":".join(map(str, (page[-1][-1], page[-1][5], page[-1][6], page[-1][-2]))) if more else None
    return AgendaPage(rows=tuple(_attempt(row[:-2]) for row in page), next=next_)


def _parts(connection: sqlite3.Connection, queue: str) -> list[tuple[int, int]]:
    """Of the queue's order: aside or not, and priority."""
    return [
        (aside, priority)
        for aside in _ASIDE_FIRST
        for (priority,) in connection.execute(_SQL["priorities"], {"queue": queue, "aside": aside}).fetchall()
    ]


def of_items(connection: sqlite3.Connection, items: Sequence[AttemptKey]) -> list[AttemptRow]:
    return [_attempt(row) for row in connection.execute(_SQL["of_items"], (msgspec.json.encode(items).decode(),))]


def track(connection: sqlite3.Connection) -> None:
    connection.execute(_SQL["track"])


def position(connection: sqlite3.Connection) -> int:
    row = connection.execute(_SQL["position"]).fetchone()
    return 0 if row is None else int(row[0])


def changed(connection: sqlite3.Connection, queue: str, since: int, after: str | None, limit: int) -> AgendaPage:
    writer, _, item = (after or f"{since - 1}:\U0010ffff").partition(":")
    asked = {"queue": queue, "writer": int(writer), "item": item, "limit": limit + 1}
    rows = connection.execute(_SQL["changed"], asked).fetchall()
    page = rows[:limit]
    next_ = f"{page[-1][-1]}:{page[-1][0]}" if len(rows) > limit else None
    return AgendaPage(rows=tuple(_attempt(row[:-1]) for row in page), next=next_)


def put_token(connection: sqlite3.Connection, token: str, queues: Sequence[str]) -> None:
    for queue in queues:
        connection.execute(_SQL["put_token"], {"queue": queue, "token": token})
        connection.execute(_SQL["forget_tokens"], {"queue": queue, "kept": TOKENS_KEPT})


def has_token(connection: sqlite3.Connection, token: str, queue: str) -> bool:
    (found,) = connection.execute(_SQL["has_token"], {"queue": queue, "token": token}).fetchone()
    return bool(found)


def _place(after: str | None, parts: int) -> tuple[int, ...] | None:
    if after is None:
        return None
    try:
        place = tuple(int(part) for part in after.split(":"))
    except ValueError:
        place = ()
    if len(place) != parts:
        raise InvalidInput(f"{after[:80]!r} is no cursor; allowed is the next of a page", field="after")
    return place


def _attempt(row: tuple[Any, ...]) -> AttemptRow:
    return AttemptRow(**dict(zip(_ROW, row, strict=True)))
