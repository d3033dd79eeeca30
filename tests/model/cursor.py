"""Two writers whose transactions commit in another order than they drew their numbers, and the cursor that a reconciler
keeps (protocol 3.8): how far it has read, so that the next pass need not read everything.

Every writer dies between its commit and its offer, and nobody sweeps: what the cursor passes by is lost for ever. A
page is one row, and each page sees what is committed when it is read.
"""

from collections.abc import Iterator
from typing import NamedTuple

LOST = "lost: no pass will ever read a row that was written"


class Rules(NamedTuple):
    waits_for_open_writers: bool = True
    """3.8: the mark is the snapshot's xmin, under which no transaction is open. (Without: a sequence's, one above
    all that was committed.)
    """
    marks_before_pages: bool = True
    """3.8: it is taken with the first page, not with the last."""
    serial_writers: bool = False
    """No rule but a kinder world, SQLite's: one transaction at a time."""


class Row(NamedTuple):
    """Written last under which number (0: never), and whether the backend was told of that."""

    number: int = 0
    told: bool = True


class Pass(NamedTuple):
    """Reads rows at or above ``since`` in the order of (number, row), from behind ``after``. ``page``: the row as it
    was read, until it is offered; None once that is done.
    """

    since: int
    mark: int
    after: tuple[int, int]
    page: tuple[int, int] | None


class State(NamedTuple):
    """``open``: each writer's number, 0 while it has no transaction; ``left``: how many it will still begin."""

    number: int = 1
    open: tuple[int, int] = (0, 0)
    left: tuple[int, int] = (2, 2)
    rows: tuple[Row, Row] = (Row(), Row())
    cursor: int = 1
    passing: Pass | None = None
    faults: int = 1


Step = tuple[str, State]


def steps(state: State, rules: Rules) -> Iterator[Step]:
    for who in (0, 1):
        yield from _writer(state, who, rules)
    if state.passing is None:
        yield from _begins(state, rules)
    elif state.passing.page is not None:
        yield _offers(state, state.passing, state.passing.page)
    else:
        yield _goes_on(state, state.passing, rules)
    if state.faults and state.passing is not None:
        yield "fault: the reconciler dies", state._replace(passing=None, faults=state.faults - 1)


def wrong(state: State) -> str:
    return ""


def done(state: State) -> bool:
    return not any(state.open) and not any(state.left) and all(row.told for row in state.rows)


def calm(name: str) -> bool:
    return not name.startswith("fault: ")


def _writer(state: State, who: int, rules: Rules) -> Iterator[Step]:
    number = state.open[who]
    if number:
        ended = state._replace(open=_at(state.open, who, 0))
        rows = (Row(number, told=False), state.rows[1]) if who == 0 else (state.rows[0], Row(number, told=False))
        yield f"writer {who}: commits number {number}", ended._replace(rows=rows)
        yield f"writer {who}: rolls number {number} back", ended
    elif state.left[who] and not (rules.serial_writers and any(state.open)):
        begun = state._replace(number=state.number + 1, left=_at(state.left, who, state.left[who] - 1))
        yield f"writer {who}: draws number {state.number}", begun._replace(open=_at(state.open, who, state.number))


def _begins(state: State, rules: Rules) -> Iterator[Step]:
    mark = _mark(state, rules)
    page = _page(state, state.cursor, (0, 0))
    if page is not None or mark != state.cursor:
        yield (
            f"reconciler: reads from {state.cursor} on",
            state._replace(passing=Pass(state.cursor, mark, (0, 0), page)),
        )


def _offers(state: State, now: Pass, page: tuple[int, int]) -> Step:
    number, which = page
    first, second = state.rows
    if state.rows[which].number == number:  # else it was written again since, and nobody was told of that
        first, second = (Row(number), second) if which == 0 else (first, Row(number))
    return f"reconciler: offers row {which}", state._replace(
        rows=(first, second), passing=now._replace(after=page, page=None)
    )


def _goes_on(state: State, now: Pass, rules: Rules) -> Step:
    page = _page(state, now.since, now.after)
    if page is not None:
        return "reconciler: reads the next page", state._replace(passing=now._replace(page=page))
    mark = now.mark if rules.marks_before_pages else _mark(state, rules)
    return f"reconciler: set_cursor {mark}", state._replace(cursor=mark, passing=None)


def _mark(state: State, rules: Rules) -> int:
    if rules.waits_for_open_writers:
        return min([state.number, *(number for number in state.open if number)])
    return 1 + max(row.number for row in state.rows)


def _page(state: State, since: int, after: tuple[int, int]) -> tuple[int, int] | None:
    above = [(row.number, which) for which, row in enumerate(state.rows) if row.number >= since]
    return min((place for place in above if place > after), default=None)


def _at(pair: tuple[int, int], who: int, value: int) -> tuple[int, int]:
    return (value, pair[1]) if who == 0 else (pair[0], value)
