"""The rows that a thread implies, and what it takes to turn those that stand into them (protocol 3.3, I13).

All rows under a run's name follow from its own thread, but for signals. One of those is between a child and its parent,
and stands under the child's name: so a child's rows follow from its thread and its parent's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from squidmesh.ids import RunId, ThreadId
from squidmesh.journal.queues import QueueState
from squidmesh.journal.rows import RowChanges, ThreadRows, TimerRow
from squidmesh.journal.state import RunState
from squidmesh.planning.rows import rebuild
from squidmesh.planning.timers import cancel_signal, signals_of

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Of a child run. ``state`` is None where its thread is not there any more. ``cancels``: it was cancelled, and its
    children were to be cancelled with it. ``readable``: False where nobody can say what it has said and heard.
    """

    state: RunState | None
    cancels: bool = False
    readable: bool = True


def rows_of_run(state: RunState, parent: Parent | None, standing: ThreadRows) -> ThreadRows:
    """``parent`` is None where the run is no child. What is ``standing`` of signals stays where the parent can not be
    read.
    """
    rows = rebuild(state)
    signals: Iterable[TimerRow] = open_signals(state, parent)
    if parent is not None and not parent.readable:
        signals = [timer for timer in standing.timers if timer.sender is not None]
    return ThreadRows(
        thread=ThreadId(state.run_id),
        run=rows.run,
        attempts=rows.put,
        dead_letters=rows.bury,
        timers=(*rows.set_timers, *signals),
    )


def rows_of_queue(state: QueueState, thread: ThreadId) -> ThreadRows:
    return ThreadRows(thread=thread, paused=state.paused)


def open_signals(state: RunState, parent: Parent | None) -> Iterator[TimerRow]:
    """What is said between a child and its parent, and the other one can still hear. What has ended hears nothing any
    more, and what fails is not cancelled.
    """
    if parent is None or parent.state is None:
        return
    child = parent.state.children.get(state.run_id)
    if child is None or child.status is not None:
        return
    if state.ended and not parent.state.ended:
        yield from signals_of(state, cancel=False)
    elif state.phase == "open" and parent.state.ended and parent.cancels:
        yield cancel_signal(parent.state, state.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What it takes. ``put``, ``removed`` and ``changed``: how many rows were not there, should not be there, or say
    something else. ``drop_run``: a run row that stands for no run.
    """

    rows: RowChanges
    drop_run: RunId | None = None
    put: int = 0
    removed: int = 0
    changed: int = 0

    def __bool__(self) -> bool:
        return bool(self.put or self.removed or self.changed)


def difference(standing: ThreadRows, wanted: ThreadRows) -> Difference:
    """Both of one thread."""
    runs = _compare(_some(standing.run), _some(wanted.run), lambda row: row.run_id)
    attempts = _compare(standing.attempts, wanted.attempts, lambda row: row.item)
    letters = _compare(standing.dead_letters, wanted.dead_letters, lambda row: row.item)
    timers = _compare(standing.timers, wanted.timers, lambda row: row.timer)
    pauses = _compare(_some(standing.paused), _some(wanted.paused), lambda row: row.queue)
    every: tuple[_Compared[Any], ...] = (runs, attempts, letters, timers, pauses)
    return Difference(
        rows=RowChanges(
            run=next(iter(runs.set), None),
            put=attempts.set,
            remove=attempts.drop,
            bury=letters.set,
            unbury=letters.drop,
            set_timers=timers.set,
            drop_timers=timers.drop,
            pause=pauses.set,
            resume=pauses.drop,
        ),
        drop_run=next(iter(runs.drop), None),
        put=sum(one.put for one in every),
        removed=sum(len(one.drop) for one in every),
        changed=sum(len(one.set) - one.put for one in every),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared(Generic[R]):
    """``put``: how many of ``set`` were not there."""

    set: tuple[R, ...]
    drop: tuple[Any, ...]
    put: int


def _compare(standing: Iterable[R], wanted: Iterable[R], name: Callable[[R], str]) -> _Compared[R]:
    there = {name(row): row for row in standing}
    right = {name(row): row for row in wanted}
    set_ = tuple(row for key, row in right.items() if there.get(key) != row)
    return _Compared(
        set=set_,
        drop=tuple(key for key in there if key not in right),
        put=sum(name(row) not in there for row in set_),
    )


def _some(row: R | None) -> tuple[R, ...]:
    return () if row is None else (row,)
