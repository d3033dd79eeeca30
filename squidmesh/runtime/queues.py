"""Pausing and resuming queues: the fact first, then the lease backend is told (protocol 3.4); and what queues hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from squidmesh.clock import to_datetime
from squidmesh.errors import BackendError, CorruptHistory, JournalConflict, WrongPlane
from squidmesh.journal.queues import QUEUE_CODEC, QueueState, fold_queue, queue_thread
from squidmesh.planning.queues import QueueCommand, decide_queue, queue_changes
from squidmesh.ports.journal_store import Append, Committed, Group, Plane, ThreadRead
from squidmesh.ports.lease_backend import QueueStats
from squidmesh.reading.queues import Depth, Queue, QueueList, pause_of
from squidmesh.runtime import chance
from squidmesh.runtime.arguments import check_actor, check_comment, check_key, check_name
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.engine import Engine

_ROUNDS = 100
"""Others who speak of the same queue in the same moment, before this is a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What was said of a queue, checked."""

    queue: str
    said: Literal["paused", "resumed"]
    actor: str
    comment: str
    key: str | None


def check_word(
    queue: object, said: Literal["paused", "resumed"], *, actor: object, comment: object, key: object
) -> Word:
    return Word(
        queue=check_name(queue, field="queue"),
        said=said,
        actor=check_actor(actor),
        comment=check_comment(comment),
        key=None if key is None else check_key(key),
    )


def say(engine: Engine, word: Word) -> None:
    """Records it, and tells the lease backend. Where that can not be reached, the next reconciler's pass tells it."""
    patience = engine.caller_patience()
    appender = Appender(engine.store, patience)
    for _ in range(_ROUNDS):
        if _commit(engine, word, appender, patience):
            break
    else:
        raise JournalConflict(f"queue {word.queue} was spoken of {_ROUNDS} times in a row")
    engine.pauses.forget()
    try:
        engine.reconciler.tell_pauses([word.queue])
    except (BackendError, WrongPlane) as error:  # the fact is durable; whoever claims reads it from the journal
        engine.observer.notice("lease_backend_unavailable", error=str(error))
    engine.poke()


def _commit(engine: Engine, word: Word, appender: Appender, patience: Patience) -> bool:
    """False where somebody else has spoken of the queue meanwhile."""
    state = _load(engine, word.queue, patience)
    command = QueueCommand(now=engine.store.now(), said=word.said, actor=word.actor, comment=word.comment, key=word.key)
    facts = decide_queue(state, command)
    if not facts:
        return True
    append = Append(
        thread=queue_thread(word.queue),
        expected_revision=state.revision,
        entry_id=chance.new_entry_id(),
        body=QUEUE_CODEC.encode_facts(facts),
        rows=queue_changes(fold_queue(state, facts)),
    )
    return appender.commit([Group(appends=(append,))]) == [Committed()]


def _load(engine: Engine, queue: str, patience: Patience) -> QueueState:
    """Folded from its first entry: people speak of a queue now and then, and nothing that executes asks for this."""
    thread = queue_thread(queue)
    (history,) = patience.call(lambda: engine.store.read([ThreadRead(thread=thread)], whole=True))
    state = QueueState(queue=queue)
    for entry in history.tail:
        if entry.revision != state.revision + 1:  # I1
            raise CorruptHistory(f"entry {state.revision + 1} is missing", thread=thread, revision=entry.revision)
        fold_queue(state, QUEUE_CODEC.decode_facts(entry.body, thread=thread, revision=entry.revision))
    return state


# --------------------------------------------------------------------------------------------------------- looking


def look_at(engine: Engine, names: Sequence[str]) -> QueueList:
    """These queues, with what the lease backend holds of them, where it can be asked."""
    rows = {row.queue: row for row in engine.store.paused_queues()}
    plane = engine.store.plane()
    stats, trouble = stats_of(engine, names, plane)
    depths = {one.queue: _depth(one) for one in stats}
    queues = (Queue(name=name, paused=pause_of(rows.get(name)), depth=depths.get(name)) for name in names)
    return QueueList(
        queues=tuple(queues),
        leases=plane.name if plane else engine.leases.name,
        trouble=trouble,
        as_of=to_datetime(engine.store.now()),
    )


def known(engine: Engine, registered: Iterable[str]) -> list[str]:
    """The names of all queues that somebody may ask for."""
    paused = (row.queue for row in engine.store.paused_queues())
    return sorted({*registered, *engine.store.agenda_queues(), *paused})


def stats_of(engine: Engine, names: Sequence[str], plane: Plane | None) -> tuple[tuple[QueueStats, ...], str | None]:
    """What the lease backend holds of these; or nothing, and why. Only the plane's own backend counts what is
    leased.
    """
    if plane is not None and plane.kind != engine.leases.kind:
        why = f"delivered by {plane.kind}; this mesh was opened with {engine.leases.name}: allowed is leases="
        return (), why
    try:
        return tuple(engine.leases.stats(names)), None
    except BackendError as error:
        return (), str(error)


def _depth(stats: QueueStats) -> Depth:
    return Depth(ready=stats.ready, delayed=stats.delayed, leased=stats.leased, oldest_ready=stats.oldest_ready)
