"""The rows of threads, as reindex reads and replaces them (protocol 3.3)."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import TypeVar

import msgspec

from squidmesh.clock import Instant
from squidmesh.errors import InvalidInput
from squidmesh.ids import ThreadId
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, RunRow, ThreadRows, TimerRow, thread_of
from squidmesh.ports.journal_store import Replacement, ThreadAt, ThreadPage
from squidmesh_sqlite import leases, lists, timers
from squidmesh_sqlite.agenda import ROWS_OF_AN_ENTRY
from squidmesh_sqlite.statements import load

_SQL = load("reindex")
_WRITES = load("journal")
R = TypeVar("R", AttemptRow, DeadLetterRow, RunRow, TimerRow)

_THREADS = "threads"
_OF_ROWS: dict[str, Callable[[str], ThreadId]] = {
    "names_of_runs": ThreadId,
    "names_of_agenda": thread_of,
    "names_of_dead_letters": thread_of,
    "names_of_timers": thread_of,
    "names_of_pauses": queue_thread,
}
"""The statements that list the rows' names, and how each names the thread of a row."""
_PLACES = (_THREADS, *_OF_ROWS)
"""In the order in which they are walked; a cursor is such a place and the last name there."""


def threads(connection: sqlite3.Connection, after: str | None, limit: int) -> ThreadPage:
    place, separator, name = (f"{_THREADS}:" if after is None else after).partition(":")
    if place not in _PLACES or not separator:
        raise InvalidInput(f"{str(after)[:80]!r} is no cursor; allowed is the next of a page", field="after")
    asked = {"after": name, "limit": limit}
    if place == _THREADS:
        found = connection.execute(_SQL["threads"], asked).fetchall()
        return _page(place, [thread for thread, _ in found], _at(found), limit)
    names = [name for (name,) in connection.execute(_SQL[place], asked)]
    under = {_OF_ROWS[place](name): None for name in names}
    return _page(place, names, [at for at in revisions(connection, under) if at.revision == 0], limit)


def _page(place: str, names: Sequence[str], found: Sequence[ThreadAt], limit: int) -> ThreadPage:
    next_ = f"{place}:{names[-1]}" if len(names) == limit else None
    following = _PLACES[_PLACES.index(place) + 1 :]
    if next_ is None and following:
        next_ = f"{following[0]}:"
    return ThreadPage(threads=tuple(found), next=next_)


def revisions(connection: sqlite3.Connection, names: Iterable[str]) -> list[ThreadAt]:
    return _at(connection.execute(_SQL["last_revisions"], (msgspec.json.encode(list(names)).decode(),)))


def _at(rows: Iterable[tuple[str, int | None]]) -> list[ThreadAt]:
    return [ThreadAt(thread=ThreadId(thread), revision=revision or 0) for thread, revision in rows]


def rows_of(connection: sqlite3.Connection, names: Sequence[ThreadId]) -> list[ThreadRows]:
    ranges = _ranges(names)
    runs: dict[str, RunRow] = {
        run.run_id: run for run in _rows(connection, "runs_of", RunRow, msgspec.json.encode(names).decode())
    }
    attempts = _by_thread(_rows(connection, "attempts_under", AttemptRow, ranges), lambda row: row.item)
    letters = _by_thread(_rows(connection, "dead_letters_under", DeadLetterRow, ranges), lambda row: row.item)
    open_timers = _by_thread(_rows(connection, "timers_under", TimerRow, ranges), lambda row: row.timer)
    paused = {queue_thread(row.queue): row for row in lists.paused_queues(connection)}
    return [
        ThreadRows(
            thread=thread,
            run=runs.get(thread),
            attempts=tuple(attempts[thread]),
            dead_letters=tuple(letters[thread]),
            timers=tuple(open_timers[thread]),
            paused=paused.get(thread),
        )
        for thread in names
    ]


def _ranges(names: Iterable[str]) -> str:
    """Where the rows of these threads are: under the very name, or behind it and one of the two marks that end it."""
    marks = (("", "\1"), ("!", '"'), ("/", "0"))
    return msgspec.json.encode([(name + first, name + below) for name in names for first, below in marks]).decode()


def _rows(connection: sqlite3.Connection, statement: str, kind: type[R], asked: str) -> Iterator[R]:
    fields = kind.__struct_fields__
    for row in connection.execute(_SQL[statement], (asked,)):
        yield kind(**dict(zip(fields, row, strict=True)))


def _by_thread(rows: Iterable[R], name: Callable[[R], str]) -> defaultdict[str, list[R]]:
    found: defaultdict[str, list[R]] = defaultdict(list)
    for row in sorted(rows, key=name):
        found[thread_of(name(row))].append(row)
    return found


# ------------------------------------------------------------------------------------------------------- replacing


def replace(connection: sqlite3.Connection, replacements: Sequence[Replacement], now: Instant) -> list[bool]:
    """In the caller's transaction."""
    named = {at.thread for replacement in replacements for at in replacement.at}
    found = {at.thread: at.revision for at in revisions(connection, named)}
    answers = [all(found[at.thread] == at.revision for at in replacement.at) for replacement in replacements]
    accepted = [replacement for replacement, good in zip(replacements, answers, strict=True) if good]
    if any(replacement.rows.put for replacement in accepted):
        (writer,) = connection.execute(_WRITES["next_position"]).fetchone() or (None,)
    else:
        writer = None
    for replacement in accepted:
        _replace_attempts(connection, replacement, writer, now)
        _replace_others(connection, replacement)
    return answers


def _replace_attempts(
    connection: sqlite3.Connection, replacement: Replacement, writer: int | None, now: Instant
) -> None:
    """A row that says something else is taken out and put in again, at its old place: so what waits for the concurrency
    key that it seemed to have is told, as always when one leaves.
    """
    put, removed = replacement.rows.put, [(item,) for item in replacement.rows.remove]
    if not put and not removed:
        return
    own = replacement.at[0]
    standing = dict(connection.execute(_SQL["arrivals_under"], (_ranges([own.thread]),)).fetchall())
    connection.executemany(_WRITES["remove_attempt"], removed + [(row.item,) for row in put if row.item in standing])
    if removed:
        leases.apply(connection, (), now, ended=removed)
    free = _free_places(connection, own, set(standing.values())) if put else iter(())
    rows = [
        (*msgspec.structs.astuple(row), standing[row.item] if row.item in standing else next(free), writer)
        for row in put
    ]
    connection.executemany(_WRITES["put_attempt"], rows)


def _free_places(connection: sqlite3.Connection, own: ThreadAt, taken: set[int]) -> Iterator[int]:
    """Arrival numbers of the thread's last entry that none of its rows has."""
    (entry,) = connection.execute(_SQL["place_of_entry"], (own.thread, own.revision)).fetchone()
    return (number for number in count(entry * ROWS_OF_AN_ENTRY) if number not in taken)


def _replace_others(connection: sqlite3.Connection, replacement: Replacement) -> None:
    many, rows = connection.executemany, replacement.rows
    if replacement.drop_run is not None:
        connection.execute(_SQL["drop_run"], (replacement.drop_run,))
    if rows.run is not None:
        connection.execute(_SQL["drop_run"], (rows.run.run_id,))
        connection.execute(_SQL["replace_run"], msgspec.structs.astuple(rows.run))
    many(_WRITES["unbury"], [(item,) for item in rows.unbury])
    many(_WRITES["bury"], [msgspec.structs.astuple(row) for row in rows.bury])
    timers.write(connection, rows.set_timers, rows.drop_timers)
    many(_WRITES["resume_queue"], [(queue,) for queue in rows.resume])
    many(_WRITES["pause_queue"], [msgspec.structs.astuple(row) for row in rows.pause])


def recount(connection: sqlite3.Connection) -> None:
    """In the caller's transaction: the tallies of ended runs, from the rows."""
    for statement in ("no_tallies", "count_again"):
        connection.execute(_SQL[statement])
