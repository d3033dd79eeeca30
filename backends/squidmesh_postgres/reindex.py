"""The rows of threads, as reindex reads and replaces them (protocol 3.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from psycopg import Connection

from squidmesh.errors import InvalidInput
from squidmesh.ids import ThreadId
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, RunRow, ThreadRows, TimerRow, thread_of
from squidmesh.ports.journal_store import Replacement, ThreadAt, ThreadPage
from squidmesh_postgres import lists
from squidmesh_postgres.statements import load
from squidmesh_postgres.writes import Rows

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


def threads(connection: Connection[Any], schema: str, after: str | None, limit: int) -> ThreadPage:
    place, separator, name = (f"{_THREADS}:" if after is None else after).partition(":")
    if place not in _PLACES or not separator:
        raise InvalidInput(f"{str(after)[:80]!r} is no cursor; allowed is the next of a page", field="after")
    rows = connection.execute(load("reindex", schema)[place], {"after": name, "limit": limit}).fetchall()
    names = [row[0] for row in rows]
    if place == _THREADS:
        found = [ThreadAt(thread=thread, revision=revision) for thread, revision in rows if revision > 0]
    else:
        under = {_OF_ROWS[place](one): None for one in names}
        found = [at for at in _revisions(connection, schema, under) if at.revision == 0]
    next_ = f"{place}:{names[-1]}" if len(names) == limit else None
    following = _PLACES[_PLACES.index(place) + 1 :]
    if next_ is None and following:
        next_ = f"{following[0]}:"
    return ThreadPage(threads=tuple(found), next=next_)


def _revisions(connection: Connection[Any], schema: str, names: Iterable[str]) -> list[ThreadAt]:
    rows = connection.execute(load("reindex", schema)["last_revisions"], {"threads": _json(list(names))})
    return [ThreadAt(thread=ThreadId(thread), revision=revision) for thread, revision in rows]


def rows_of(connection: Connection[Any], schema: str, names: Sequence[ThreadId]) -> list[ThreadRows]:
    def rows(statement: str, kind: type[R], **asked: str) -> Iterator[R]:
        fields = kind.__struct_fields__
        for row in connection.execute(load("reindex", schema)[statement], asked):
            yield kind(**dict(zip(fields, row, strict=True)))

    ranges = _ranges(names)
    runs: dict[str, RunRow] = {run.run_id: run for run in rows("runs_of", RunRow, threads=_json(names))}
    attempts = _by_thread(rows("attempts_under", AttemptRow, ranges=ranges), lambda row: row.item)
    letters = _by_thread(rows("dead_letters_under", DeadLetterRow, ranges=ranges), lambda row: row.item)
    open_timers = _by_thread(rows("timers_under", TimerRow, ranges=ranges), lambda row: row.timer)
    paused = {queue_thread(row.queue): row for row in lists.paused_queues(connection, schema)}
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
    return _json([{"first": name + first, "below": name + below} for name in names for first, below in marks])


def _by_thread(rows: Iterable[R], name: Callable[[R], str]) -> defaultdict[str, list[R]]:
    found: defaultdict[str, list[R]] = defaultdict(list)
    for row in sorted(rows, key=name):
        found[thread_of(name(row))].append(row)
    return found


# ------------------------------------------------------------------------------------------------------- replacing


def replace(connection: Connection[Any], schema: str, replacements: Sequence[Replacement]) -> list[bool]:
    """In the caller's transaction. A thread that has no entry yet is held by a row of its own, so that it can not begin
    meanwhile.
    """
    named = sorted({at.thread for one in replacements for at in one.at})
    begun = sorted({at.thread for one in replacements for at in one.at if at.revision == 0})
    if begun:
        connection.execute(load("commit", schema)["found"], {"new": _json(begun)})
    found = dict(connection.execute(load("reindex", schema)["hold"], {"threads": _json(named)}).fetchall())
    answers = [all(found.get(at.thread, 0) == at.revision for at in one.at) for one in replacements]
    accepted = [one for one, good in zip(replacements, answers, strict=True) if good]
    rows = Rows()
    for one in accepted:
        rows.add(0, one.rows)
    gone = [one.drop_run for one in accepted if one.drop_run is not None]
    gone += [one.rows.run.run_id for one in accepted if one.rows.run is not None]
    if gone:
        connection.execute(load("reindex", schema)["drop_runs"], {"runs": _json(gone)})
    if not rows.is_empty:
        rows.by_themselves(schema).execute(connection, rows.parameters())
    return answers


def recount(connection: Connection[Any], schema: str) -> None:
    """Where they are wrong, nobody else writes a run until they are right. ``connection``: in autocommit."""
    sql = load("reindex", schema)
    with connection.transaction():
        connection.execute(sql["take_time"])
        if connection.execute(sql["is_miscounted"]).fetchone() == (False,):
            return
    with connection.transaction():
        for statement in ("take_time", "stop_tallies", "no_tallies", "count_again"):
            connection.execute(sql[statement])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
