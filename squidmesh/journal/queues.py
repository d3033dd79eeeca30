"""The thread of a queue: who stopped it and let it go on again, and the state that follows (protocol 3.3).

A queue has a thread as soon as somebody pauses it for the first time. Its entries are as a run's are; its facts are
others, so that neither kind of thread can be read as the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from squidmesh.ids import ThreadId, derived_id
from squidmesh.journal.facts import Fact
from squidmesh.journal.rows import PausedQueueRow
from squidmesh.journal.thread_codec import ThreadCodec


class _Word(Fact, frozen=True, kw_only=True):
    """What an operator said of the queue. ``key``: the idempotency key of that, if it had one."""

    queue: str
    actor: str
    comment: str = ""
    key: str | None = None


class QueuePaused(_Word, frozen=True, kw_only=True):
    """Nothing of the queue is claimed from here on. What is claimed goes on."""


class QueueResumed(_Word, frozen=True, kw_only=True):
    """The queue is handed out again."""


AnyQueueFact = QueuePaused | QueueResumed


class QueueState(msgspec.Struct, kw_only=True):
    """``paused`` is None while the queue is handed out. ``keys``: idempotency keys, each with what was said with it."""

    queue: str
    revision: int = 0
    paused: PausedQueueRow | None = None
    keys: dict[str, str] = msgspec.field(default_factory=dict)


def queue_thread(queue: str) -> ThreadId:
    return ThreadId(derived_id("queue", queue))


def fold_queue(state: QueueState, entry: Iterable[AnyQueueFact]) -> QueueState:
    """The state after one entry, changed in place. Its revision is one higher."""
    for fact in entry:
        match fact:
            case QueuePaused():
                state.paused = PausedQueueRow(
                    queue=fact.queue, actor=fact.actor, comment=fact.comment, paused_at=fact.at
                )
            case QueueResumed():
                state.paused = None
            case _:
                assert_never(fact)
        if fact.key is not None:
            state.keys[fact.key] = said(fact)
    state.revision += 1
    return state


def said(fact: AnyQueueFact) -> str:
    """What the fact did, in a word."""
    return "paused" if isinstance(fact, QueuePaused) else "resumed"


QUEUE_CODEC: ThreadCodec[AnyQueueFact, QueueState] = ThreadCodec(
    AnyQueueFact, QueueState, facts_version=1, state_version=1
)
