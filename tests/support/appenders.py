"""Processes that append to one PostgreSQL journal at once: what their stores answered is what they tell."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from squidmesh_postgres import PostgresBackend

from squidmesh.ids import EntryId, attempt_key, derived_id
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Append, Committed, Conflict, Group, ThreadRead
from squidmesh.testing.journal_suite import attempt_row, run_row, thread_id

PROCESSES = 8


@contextmanager
def processes() -> Iterator[Callable[..., list[Any]]]:
    """``at_once(work, url, *args)`` calls ``work(url, number, *args)`` in that many processes at once; what each
    returned, or raised.
    """
    with get_context("spawn").Pool(PROCESSES) as pool:

        def at_once(work: Any, url: str, *args: object) -> list[Any]:
            return pool.starmap(work, [(url, number, *args) for number in range(PROCESSES)], chunksize=1)

        yield at_once


def entry_of(number: int, name: str, expected: int) -> Group:
    """One entry as a step's outcome has it: its run row, an attempt that goes and one that comes."""
    rows = RowChanges(
        run=run_row(name),
        put=(attempt_row(name, expected + 1),),
        remove=(attempt_key(thread_id(name), "pack", expected),) if expected else (),
    )
    entry_id = EntryId(derived_id("entry", name, str(expected), str(number)))
    append = Append(thread=thread_id(name), expected_revision=expected, entry_id=entry_id, body=b"{}" * 100, rows=rows)
    return Group(appends=(append,))


def append_to_own(url: str, number: int, batches: int, size: int) -> int:
    """How many appends to runs of its own conflicted."""
    store = PostgresBackend(url).journal()
    conflicts = 0
    for batch in range(batches):
        answers = store.commit([entry_of(number, f"{number}-{run}", batch) for run in range(size)])
        conflicts += sum(answer != Committed() for answer in answers)
    store.close()
    return conflicts


def append_to_shared(url: str, number: int, batches: int, size: int) -> tuple[int, int]:
    """Appends to the same runs as everybody, in an order of its own. How many succeeded and conflicted."""
    store, chance = PostgresBackend(url).journal(), random.Random(number)
    names = [f"shared-{run}" for run in range(size)]
    revisions = dict.fromkeys(names, 0)
    done = conflicts = 0
    for _ in range(batches):
        chance.shuffle(names)
        answers = store.commit([entry_of(number, name, revisions[name]) for name in names])
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Conflict):
                conflicts += 1
                revisions[name] = answer.revision
            else:
                done += 1
                revisions[name] += 1
    store.close()
    return done, conflicts


def append_to_one(url: str, number: int, times: int) -> int:
    """That many entries of one run, each decided again until it is the next one. How often that was needed."""
    store, revision, again = PostgresBackend(url).journal(), 0, 0
    for _ in range(times):
        while True:
            (answer,) = store.commit([entry_of(number, "fought-over", revision)])
            if answer == Committed():
                revision += 1
                break
            again += 1
            (found,) = store.read([ThreadRead(thread=thread_id("fought-over"), after=revision)])
            revision = found.tail[-1].revision if found.tail else revision
    store.close()
    return again
