"""Pages of runs: what may be asked for, and the cursor that leads to the next one. The same for every store."""

from __future__ import annotations

import re
from collections.abc import Sequence

from squidmesh.errors import InvalidInput
from squidmesh.journal.rows import DeadLetterRow, RunRow
from squidmesh.ports.journal_store import DeadLetterPage, DeadLetterQuery, RunPage, RunQuery

STATUSES = (
    "running",
    "waiting",
    "retrying",
    "paused",
    "failing",
    "compensating",
    "completed",
    "failed",
    "cancelled",
)
"""All that a run can have (protocol 2)."""
MAX_LIMIT = 1000

_CURSOR = re.compile(r"([0-9]{1,19}):([A-Za-z0-9._/#!-]{1,400})")
_ACTIVE = re.compile(f"active:{_CURSOR.pattern}")
"""A cursor of the one order is none of the other."""
_LAST_MOMENT = 2**63 - 1
ORDERS = ("started", "active")
LOOKED_AT = 1000
"""Runs that are looked at for a page of the latest active ones that match something: there is no index for each."""

Place = tuple[int, str]
"""(started_at, run_id): where a run stands among all runs. The newest is the greatest."""
ABOVE_ALL: Place = (_LAST_MOMENT, "\x7f")
"""Above every run that there can be."""


def check_query(query: RunQuery) -> Place:
    """The place below which the page begins. ``InvalidInput`` names the field that can not be asked for."""
    check_text(query.workflow, field="workflow")
    check_text(query.queue, field="queue")
    check_text(query.text, field="text")
    if query.status is not None and query.status not in STATUSES:
        raise InvalidInput(f"{query.status!r} is refused; allowed are {', '.join(STATUSES)}", field="status")
    if type(query.limit) is not int or not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidInput(f"{query.limit!r} is refused; allowed is 1 to {MAX_LIMIT}", field="limit")
    if query.by not in ORDERS:
        raise InvalidInput(f"{query.by!r} is refused; allowed are {', '.join(ORDERS)}", field="by")
    if query.after is None:
        return ABOVE_ALL
    return _from_cursor(query.after, _ACTIVE if query.by == "active" else _CURSOR)


def check_text(value: object, *, field: str) -> None:
    """A filter is a text that could stand in a row, or None."""
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidInput(f"a {type(value).__name__} is refused; allowed is a text", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{value!r} is refused: it holds a lone surrogate", field=field) from None


def check_dead_letters(query: DeadLetterQuery) -> Place:
    """The place above which the page begins."""
    for field in ("run_id", "workflow", "step", "queue", "cause"):
        check_text(getattr(query, field), field=field)
    if type(query.limit) is not int or not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidInput(f"{query.limit!r} is refused; allowed is 1 to {MAX_LIMIT}", field="limit")
    return (-1, "") if query.after is None else _from_cursor(query.after)


def dead_page(query: DeadLetterQuery, found: Sequence[DeadLetterRow]) -> DeadLetterPage:
    """As :func:`page`."""
    rows = tuple(found[: query.limit])
    last = f"{rows[-1].died_at}:{rows[-1].item}" if len(found) > len(rows) else None
    return DeadLetterPage(rows=rows, next=last)


def dead_place(row: DeadLetterRow) -> Place:
    return row.died_at, row.item


def page(query: RunQuery, found: Sequence[RunRow]) -> RunPage:
    """``found``: the rows from the page's place on, one more than its limit if there are as many."""
    rows = tuple(found[: query.limit])
    return RunPage(rows=rows, next=_to_cursor(rows[-1]) if len(found) > len(rows) else None)


def looked_at(query: RunQuery) -> int:
    """How many runs of the latest active a store looks at for a page. It reads one more, if there is one."""
    asked = (query.workflow, query.status, query.queue, query.text, query.since, query.until)
    return query.limit if all(one is None for one in asked) else max(query.limit, LOOKED_AT)


def active_page(query: RunQuery, found: Sequence[RunRow], now: int) -> RunPage:
    """``found``: the latest active from the page's place on, one more than :func:`looked_at` if there are as many."""
    seen = found[: looked_at(query)]
    matching = [row for row in seen if matches(row, query, now)]
    rows = tuple(matching[: query.limit])
    if len(matching) > len(rows):
        return RunPage(rows=rows, next=_to_active_cursor(rows[-1]))
    return RunPage(rows=rows, next=_to_active_cursor(seen[-1]) if len(found) > len(seen) else None)


def matches(row: RunRow, query: RunQuery, now: int) -> bool:
    return (
        query.workflow in (None, row.workflow)
        and query.queue in (None, row.queue)
        and (query.since is None or row.started_at >= query.since)
        and (query.until is None or row.started_at < query.until)
        and query.status in (None, status(row, now))
        and begins(row, query.text)
    )


def begins(row: RunRow, text: str | None) -> bool:
    """Whether its id or its key begins with the text."""
    return not text or row.run_id.startswith(text) or (row.key or "").startswith(text)


def status(row: RunRow, now: int) -> str:
    """As of now: what waits only for a time that has come is running."""
    due = row.status in ("waiting", "retrying") and row.due_at is not None and row.due_at <= now
    return "running" if due else row.status


def place(row: RunRow) -> Place:
    return row.started_at, row.run_id


def active_place(row: RunRow) -> Place:
    return row.active_at, row.run_id


def _to_active_cursor(row: RunRow) -> str:
    return f"active:{row.active_at}:{row.run_id}"


def _to_cursor(row: RunRow) -> str:
    return f"{row.started_at}:{row.run_id}"


def _from_cursor(cursor: object, form: re.Pattern[str] = _CURSOR) -> Place:
    match = form.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None or int(match[1]) > _LAST_MOMENT:
        shown = repr(cursor)
        raise InvalidInput(
            f"{shown if len(shown) < 80 else shown[:80] + '…'} is no cursor; allowed is the next of a page",
            field="after",
        )
    return int(match[1]), match[2]
