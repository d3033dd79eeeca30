"""Derived rows as values (protocol 3.3): an index of what the threads say, computed by ``planning/rows.py``.

Stores write these as they are and never derive one themselves; ``reindex`` rebuilds them all from the threads (I13).
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from squidmesh.ids import AttemptKey, RunId, ThreadId

_END_OF_THREAD = re.compile("[!/]")


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """For lists, counts and search. ``status`` is the run's status at its last entry; a run that is then ``waiting`` or
    ``retrying`` counts as ``running`` from ``due_at`` on. ``step`` is where it stands; ``error`` a stable code.
    ``parent``: the run that started this one as its child. ``active_at``: about when its newest entry was written,
    never before its start or its end, and else rounded down (:func:`squidmesh.planning.rows.active_at`): microseconds.
    """

    run_id: RunId
    workflow: str
    version: str
    trigger: str
    key: str | None
    queue: str
    status: str
    step: str | None
    error: str | None
    started_at: int
    due_at: int | None
    ended_at: int | None
    parent: RunId | None = None
    active_at: int = 0


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One open attempt on the agenda. ``owner``, ``claim_hash`` and ``lease`` (microseconds) tell the recorded claim,
    if there is one; ``fence`` is the last recorded fence of the runnable, the floor of the next.
    """

    item: AttemptKey
    run_id: RunId
    step: str
    attempt: int
    queue: str
    priority: int
    visible_at: int
    generation: int
    fence: int
    owner: str | None = None
    claim_hash: str | None = None
    lease: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that waits for an operator. ``lost``: deliveries of this generation; ``lapsed``: grants in a row that
    the lease backend saw end without a word. ``detail`` tells of the last loss, where a worker could.
    """

    item: AttemptKey
    run_id: RunId
    workflow: str
    step: str
    attempt: int
    queue: str
    generation: int
    fence: int
    cause: str
    lost: int
    lapsed: int
    detail: str | None
    owner: str | None
    died_at: int


class TimerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run has to hear, from ``due_at`` on (protocol 3.3): no backend sees it, and nobody claims it.

    A *timer* is a moment of the run's own: ``run``, ``gate`` or ``step`` deadline, of ``subject``. A *signal* is a word
    of another run, ``sender``: ``child_ended`` (``detail``: how) or ``cancel``. It is opened by an entry of the sender
    and closed by one of ``run_id``; ``timer`` is its name, by which both know it.
    """

    timer: str
    run_id: RunId
    kind: Literal["run", "gate", "step", "child_ended", "cancel"]
    due_at: int
    subject: str = ""
    sender: str | None = None
    detail: str = ""


class PausedQueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """One queue of which nothing is claimed: since when, and in whose words."""

    queue: str
    actor: str
    comment: str
    paused_at: int


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What stays of a pruned run whose id is derived (protocol 3.7), for ever. ``revision``: that of its last entry."""

    run_id: RunId
    workflow: str
    status: str
    ended_at: int
    revision: int


class RowChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What one entry changes: the run row if it differs, attempts to put (insert or replace), attempts to remove; and
    of dead letters, timers and paused queues the same.
    """

    run: RunRow | None = None
    put: tuple[AttemptRow, ...] = ()
    remove: tuple[AttemptKey, ...] = ()
    bury: tuple[DeadLetterRow, ...] = ()
    unbury: tuple[AttemptKey, ...] = ()
    set_timers: tuple[TimerRow, ...] = ()
    drop_timers: tuple[str, ...] = ()
    pause: tuple[PausedQueueRow, ...] = ()
    resume: tuple[str, ...] = ()


class ThreadRows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows under the name of one thread (:func:`thread_of`), each kind in order of its own names. A signal stands
    under its child's name, whoever says it.
    """

    thread: ThreadId
    run: RunRow | None = None
    attempts: tuple[AttemptRow, ...] = ()
    dead_letters: tuple[DeadLetterRow, ...] = ()
    timers: tuple[TimerRow, ...] = ()
    paused: PausedQueueRow | None = None


def thread_of(name: str) -> ThreadId:
    """The thread under whose name a row stands: the item of an attempt or of a dead letter, or a timer, begins with it.
    A name that is none of these stands for itself. (A run row has its thread's own name; a paused queue's name is
    another matter: :func:`squidmesh.journal.queues.queue_thread`.)
    """
    return ThreadId(_END_OF_THREAD.split(name, maxsplit=1)[0])
