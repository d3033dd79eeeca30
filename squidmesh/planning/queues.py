"""Pausing a queue, and letting it go on: what an operator's word makes true of its thread (protocol 3.3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from squidmesh.clock import Instant, to_datetime
from squidmesh.errors import KeyReused, NotWaiting
from squidmesh.journal.queues import AnyQueueFact, QueuePaused, QueueResumed, QueueState
from squidmesh.journal.rows import RowChanges


class QueueCommand(msgspec.Struct, frozen=True, kw_only=True):
    """``now`` is the journal's time. ``key``: the same key again is the same command, and changes nothing."""

    now: Instant
    said: Literal["paused", "resumed"]
    actor: str
    comment: str = ""
    key: str | None = None


def decide_queue(state: QueueState, command: QueueCommand) -> list[AnyQueueFact]:
    """One fact; none where the command repeats an older one, by its key.

    A queue that is paused is not paused a second time (``NotWaiting``): there is one pause, with one name and one
    reason. Whoever had a reason of his own would else believe that his pause stands, and see it lifted by the first.
    """
    if command.key is not None and command.key in state.keys:
        if state.keys[command.key] != command.said:
            done = state.keys[command.key]
            raise KeyReused(
                f"{command.key!r} was the key of another command: the queue was {done} with it", field="key"
            )
        return []
    if command.said == "paused" and state.paused is not None:
        since = to_datetime(state.paused.paused_at).isoformat(timespec="seconds")
        raise NotWaiting(
            f"{state.queue} is paused already, by {state.paused.actor}, since {since}; allowed is to resume it",
            field="queue",
        )
    if command.said == "resumed" and state.paused is None:
        raise NotWaiting(f"{state.queue} is not paused; allowed is a queue that is", field="queue")
    fact = QueuePaused if command.said == "paused" else QueueResumed
    return [fact(at=command.now, queue=state.queue, actor=command.actor, comment=command.comment, key=command.key)]


def queue_changes(state: QueueState) -> RowChanges:
    """The row of a queue as of its last entry: also all there is to it, for ``reindex``."""
    if state.paused is None:
        return RowChanges(resume=(state.queue,))
    return RowChanges(pause=(state.paused,))
