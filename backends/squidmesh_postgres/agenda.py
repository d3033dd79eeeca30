"""The agenda as a reconciler reads it (protocol 3.8): by queue, by what changed, by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.errors import InvalidInput
from squidmesh.ids import AttemptKey
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import TOKENS_KEPT, AgendaPage
from squidmesh_postgres.lists import attempt
from squidmesh_postgres.statements import load

_FIRST, _LAST = -(2**63), 2**63 - 1
_ASIDE = "aside:"


def queues(connection: Connection[Any], schema: str) -> list[str]:
    return [queue for (queue,) in connection.execute(load("agenda", schema)["queues"])]


def of_queue(
    connection: Connection[Any],
    schema: str,
    queue: str,
    since: int | None,
    until: int | None,
    after: str | None,
    limit: int,
) -> AgendaPage:
    """What is aside, then what is in order: who is let out of the one while somebody reads stands in the other. Nothing
    goes the other way there: claims on journal leases alone put aside, and where those deliver, nobody asks.
    """
    asked = {"queue": queue, "since": _or(since, _FIRST), "until": _or(until, _LAST), "limit": limit + 1}
    if after is None or after.startswith(_ASIDE):
        item = (after or _ASIDE).removeprefix(_ASIDE)
        rows = connection.execute(load("agenda", schema)["aside"], {**asked, "item": item}).fetchall()
        if len(rows) > limit:
            return AgendaPage(rows=tuple(map(attempt, rows[:limit])), next=f"{_ASIDE}{rows[limit - 1][0]}")
        if rows:
            return AgendaPage(rows=tuple(map(attempt, rows)), next=f"0:{asked['since']}:-1")
        after = None
    priority, visible_at, arrival = _place(after) or (0, asked["since"], -1)
    place = {"priority": priority, "visible_at": visible_at, "arrival": arrival}
    rows = connection.execute(load("agenda", schema)["in_order"], {**asked, **place}).fetchall()
    page = rows[:limit]
    # priority and visible_at stand where AttemptRow has them, the arrival behind them all
    next_ = f"{page[-1][5]}:{page[-1][6]}:{page[-1][-1]}" if len(rows) > limit else None
    return AgendaPage(rows=tuple(attempt(row[:-1]) for row in page), next=next_)


def of_items(connection: Connection[Any], schema: str, items: Sequence[AttemptKey]) -> list[AttemptRow]:
    asked = {"items": msgspec.json.encode(items).decode()}
    return [attempt(row) for row in connection.execute(load("agenda", schema)["of_items"], asked)]


def track(connection: Connection[Any], schema: str) -> None:
    sql = load("agenda", schema)
    if connection.execute(sql["is_tracked"]).fetchone() == (True,):
        return
    with connection.transaction():
        connection.execute(sql["lock_changes"])
        connection.execute(sql["track"])


def position(connection: Connection[Any], schema: str) -> int:
    (found,) = connection.execute(load("agenda", schema)["position"]).fetchone() or (0,)
    return int(found)


def changed(
    connection: Connection[Any], schema: str, queue: str, since: int, after: str | None, limit: int
) -> AgendaPage:
    writer, _, item = (after or f"{max(0, since - 1)}:\U0010ffff").partition(":")
    asked = {"queue": queue, "writer": writer, "item": item, "limit": limit + 1}
    rows = connection.execute(load("agenda", schema)["changed"], asked).fetchall()
    page = rows[:limit]
    next_ = f"{page[-1][-1]}:{page[-1][0]}" if len(rows) > limit else None
    return AgendaPage(rows=tuple(attempt(row[:-1]) for row in page), next=next_)


def put_token(connection: Connection[Any], schema: str, token: str, queues: Sequence[str]) -> None:
    sql = load("agenda", schema)
    with connection.transaction(), connection.pipeline():
        for queue in queues:
            connection.execute(sql["put_token"], {"queue": queue, "token": token})
            connection.execute(sql["forget_tokens"], {"queue": queue, "kept": TOKENS_KEPT})


def has_token(connection: Connection[Any], schema: str, token: str, queue: str) -> bool:
    asked = {"queue": queue, "token": token}
    (found,) = connection.execute(load("agenda", schema)["has_token"], asked).fetchone() or (False,)
    return bool(found)


def _or(moment: int | None, otherwise: int) -> int:
    return otherwise if moment is None else moment


def _place(after: str | None) -> tuple[int, ...] | None:
    if after is None:
        return None
    try:
        place = tuple(int(part) for part in after.split(":"))
    except ValueError:
        place = ()
    if len(place) != 3:
        raise InvalidInput(f"{after[:80]!r} is no cursor; allowed is the next of a page", field="after")
    return place
