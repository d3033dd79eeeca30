"""What runs have to do with each other, and with the rows derived from them: I12 and I13."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import cast

from chaos.evidence import Journal, ThreadDump
from chaos.invariants.case import Read, RunCase, Tally, fold_whole, read_thread
from squidmesh.ids import (
    RunId,
    ThreadId,
    child_run_id,
    is_random,
    keyed_run_id,
    signal_run_id,
    trigger_thread,
    window_run_id,
)
from squidmesh.journal.facts import AnyFact, ChildStarted, RunCancelled
from squidmesh.journal.queues import AnyQueueFact, QueueState, fold_queue, queue_thread
from squidmesh.journal.rows import ThreadRows, TimerRow
from squidmesh.journal.state import RunState
from squidmesh.journal.triggers import TriggerRegistered, WindowActivated
from squidmesh.planning.reindex import Parent, difference, rows_of_queue, rows_of_run
from squidmesh.ports.journal_store import Entry

_KEPT = 256
"""Parents that are kept: their children are met one after the other."""
_LOOKS = 5
"""What differs is read again so often: others may be at work between a look at the one and at the other."""


def i12(case: RunCase, journal: Journal, tally: Tally) -> None:
    """One key, one run, for ever, even after pruning. One child key, one child.

    A run with a key has the id that follows from workflow and key, so two of one key would be one thread; the same
    holds for children, and for what a trigger has started. What was pruned has left a tombstone, and no new thread.
    """
    started = case.started
    if started is None:
        return
    wanted: list[tuple[str, str]] = []
    if started.parent is not None:
        parent = started.parent
        wanted.append((child_run_id(parent.run_id, parent.step, parent.key), f"child key {parent.key!r}"))
    elif started.activation is not None:
        moment, signal = started.activation.window, started.activation.signal_id
        if signal is not None:
            wanted.append((signal_run_id(started.workflow, started.trigger, signal), f"signal {signal!r}"))
        else:
            wanted.append((window_run_id(started.workflow, started.trigger, moment), f"window {moment}"))
    elif started.key is not None:
        wanted.append((keyed_run_id(started.workflow, started.key), f"key {started.key!r}"))
    tally.saw(len(wanted))
    for run_id, what in wanted:
        if run_id != case.name or started.run_id != case.name:
            tally.breach(f"{case.name}@1", f"{what} of {started.workflow} stands for run {run_id}")
    if not is_random(case.name) and journal.tombstone(RunId(case.name)) is not None:
        tally.breach(f"{case.name}@1", "it was pruned, and has begun again")
    children: dict[tuple[str, str], str] = {}
    for said in case.facts:
        fact = said.fact
        if isinstance(fact, ChildStarted):
            tally.saw()
            if children.setdefault((fact.step, fact.key), said.place) != said.place:
                tally.breach(said.place, f"{fact.step} starts the child {fact.key!r} twice")
            if fact.run_id != child_run_id(case.name, fact.step, fact.key):
                tally.breach(said.place, f"the child {fact.key!r} of {fact.step} has the id {fact.run_id}")


def i12_of_trigger(dump: ThreadDump, read: Read, tally: Tally) -> None:
    """Of a cron trigger's thread: each window, and each signal of a host, has had its run once."""
    seen: dict[tuple[int, str | None], str] = {}
    for entry, facts in read.entries:
        for fact in facts:
            place = f"{dump.thread}@{entry.revision}"
            if isinstance(fact, TriggerRegistered) and dump.thread != trigger_thread(fact.workflow, fact.trigger):
                tally.breach(place, f"the trigger {fact.workflow}.{fact.trigger} has another thread")
            if isinstance(fact, WindowActivated) and not fact.by_host:
                tally.saw()
                before = seen.setdefault((fact.window, fact.signal_id), place)
                if before != place:
                    tally.breach(place, f"the window {fact.window} is activated twice: also in {before}")


def started_elsewhere(case: RunCase) -> Iterator[tuple[str, str]]:
    """The runs that a thread says it has started, and where."""
    for said in case.facts:
        if isinstance(said.fact, ChildStarted):
            yield said.fact.run_id, said.place


def windows_started(dump: ThreadDump, read: Read) -> Iterator[tuple[str, str]]:
    """The same of a trigger's thread."""
    for entry, facts in read.entries:
        for fact in facts:
            if isinstance(fact, WindowActivated):
                yield fact.run_id, f"{dump.thread}@{entry.revision}"


# ------------------------------------------------------------------------------------------------------ derived rows


class Parents:
    """What is known of the parents of child runs."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: OrderedDict[str, Parent] = OrderedDict()

    def of(self, state: RunState, *, anew: bool = False) -> Parent | None:
        """None where the run is no child. ``anew``: as it is now."""
        if state.parent is None:
            return None
        name = state.parent.run_id
        if anew or name not in self._kept:
            self._kept[name] = self._look(name)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[name]

    def _look(self, name: str) -> Parent:
        dump = self._journal.thread(ThreadId(name))
        if dump is None or not dump.entries:
            return Parent(state=None)
        read = read_thread(dump)
        entries = run_entries(read)
        state = fold_whole(entries).state
        if not read.whole or state is None:
            return Parent(state=None, readable=False)
        last = entries[-1][1]
        cancels = any(isinstance(fact, RunCancelled) and fact.children == "cancel" for fact in last)
        return Parent(state=state, cancels=cancels)


def run_entries(read: Read) -> list[tuple[Entry, list[AnyFact]]]:
    """Of a run's thread."""
    return cast("list[tuple[Entry, list[AnyFact]]]", read.entries)


def i13(dump: ThreadDump, read: Read, state: RunState | None, parents: Parents, journal: Journal, tally: Tally) -> None:
    """The derived rows equal the rows which are rebuilt from the threads, apart from the writer's id and the time of
    writing.

    Of all that stands under one thread's name: the run row, open attempts, dead letters, timers, signals, the row of a
    paused queue. A signal that its hearer can only refuse may stand until somebody has tried to tell it.
    """
    if not read.whole or (read.kind == "run" and state is None):
        return  # nobody can say what should stand there
    tally.saw()
    for look in range(_LOOKS):
        wanted = _wanted(dump, read, state, parents, anew=look > 0)
        found = _without_refusable(dump.rows, wanted, state, parents)
        its = difference(found, wanted)
        if not its:
            return
        again = journal.thread(dump.thread)
        if again is None:
            return  # it was pruned meanwhile
        dump, read = again, read_thread(again)
        state = fold_whole(run_entries(read)).state if read.kind == "run" else None
    for what in _differences(found, wanted):
        tally.breach(dump.thread, what)


def _wanted(dump: ThreadDump, read: Read, state: RunState | None, parents: Parents, *, anew: bool) -> ThreadRows:
    if state is not None:
        return rows_of_run(state, parents.of(state, anew=anew), dump.rows)
    if read.kind == "queue":
        return rows_of_queue(_queue(read), dump.thread)
    return ThreadRows(thread=dump.thread)


def _queue(read: Read) -> QueueState:
    entries = cast("list[tuple[Entry, list[AnyQueueFact]]]", read.entries)
    state = QueueState(queue=entries[0][1][0].queue)
    for _, facts in entries:
        fold_queue(state, facts)
    assert queue_thread(state.queue) == entries[0][0].thread
    return state


def _without_refusable(rows: ThreadRows, wanted: ThreadRows, state: RunState | None, parents: Parents) -> ThreadRows:
    named = {timer.timer for timer in wanted.timers}
    left = tuple(row for row in rows.timers if row.timer in named or not _refusable(row, state, parents))
    return ThreadRows(
        thread=rows.thread,
        run=rows.run,
        attempts=rows.attempts,
        dead_letters=rows.dead_letters,
        timers=left,
        paused=rows.paused,
    )


def _refusable(row: TimerRow, state: RunState | None, parents: Parents) -> bool:
    """A word of another run, to one that has ended or that fails, or that is not there any more."""
    if row.sender is None:
        return False
    if state is None:
        return True  # of a run that was pruned
    if row.kind == "cancel":
        return state.phase != "open"
    parent = parents.of(state)
    return parent is None or parent.state is None or parent.state.ended


def _differences(standing: ThreadRows, wanted: ThreadRows) -> Iterator[str]:
    """In words: what stands there, and what should."""
    pairs: Sequence[tuple[str, dict[str, object], dict[str, object]]] = (
        ("run row", _named(standing.run), _named(wanted.run)),
        ("attempt", {r.item: r for r in standing.attempts}, {r.item: r for r in wanted.attempts}),
        ("dead letter", {r.item: r for r in standing.dead_letters}, {r.item: r for r in wanted.dead_letters}),
        ("timer", {r.timer: r for r in standing.timers}, {r.timer: r for r in wanted.timers}),
        ("paused queue", _named(standing.paused), _named(wanted.paused)),
    )
    for what, there, right in pairs:
        for name in sorted(there.keys() | right.keys()):
            if name not in there:
                yield f"the {what} {name} is missing: {right[name]}"
            elif name not in right:
                yield f"the {what} {name} stands for nothing: {there[name]}"
            elif there[name] != right[name]:
                yield f"the {what} {name} says {there[name]}; the thread says {right[name]}"


def _named(row: object) -> dict[str, object]:
    return {} if row is None else {str(getattr(row, "run_id", None) or getattr(row, "queue", "")): row}
