"""Reads a whole thread and holds it to the invariants: for any test that has let something run, or die."""

from collections import Counter
from functools import lru_cache
from itertools import pairwise

from squidmesh.ids import Fingerprint, ThreadId
from squidmesh.journal import facts
from squidmesh.journal.codec import decode_facts, decode_state, encode_state
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.fold import fold
from squidmesh.journal.rows import TimerRow
from squidmesh.journal.state import RunState
from squidmesh.planning.reindex import Parent, open_signals
from squidmesh.planning.rows import rebuild
from squidmesh.planning.timers import timers_of
from squidmesh.ports.journal_store import DeadLetterQuery, JournalStore, ThreadRead
from squidmesh.workflow.definition import Definition, FunctionStep


def audit(store: JournalStore, run_id: str, *, every_prefix: bool = True) -> RunState:
    """Asserts I1 to I5, I7 to I9 and I13 to I15 of one run; returns its state, folded from the start.

    ``every_prefix=False`` spares the part of I2 that costs the square of the thread's length.
    """
    (history,) = store.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    entries = [decode_facts(entry.body, thread=run_id, revision=entry.revision) for entry in history.tail]
    assert [entry.revision for entry in history.tail] == list(range(1, len(entries) + 1)), "I1: gapless"
    assert len({entry.entry_id for entry in history.tail}) == len(entries), "I1: one id an entry"
    state: RunState | None = None
    for entry in entries:
        assert state is None or not state.ended, "I9: nothing follows the end"
        state = fold(state, entry)
    assert state is not None
    history_of_facts = [fact for entry in entries for fact in entry]
    _judge(history_of_facts)
    _compensations_in_order(state, history_of_facts)
    _joins_complete(store, state, history_of_facts)
    _attempts_bounded(store, state, history_of_facts)
    _folds_alike(store, run_id, state, every_prefix)
    _rows_equal(store, state)
    return state


def _judge(history: list[AnyFact]) -> None:
    claims: dict[str, list[facts.AttemptClaimed | facts.AttemptDeadLettered]] = {}
    visible: dict[tuple[str, int], int] = {}
    results: Counter[tuple[str, int]] = Counter()
    successes: Counter[str] = Counter()
    for fact in history:
        match fact:
            case facts.AttemptScheduled():
                visible[fact.step, fact.attempt] = fact.visible_at
            case facts.ClaimReleased() | facts.DeliveryLost() | facts.DeadLetterReplayed():
                visible[fact.step, fact.attempt] = fact.visible_at
            case facts.AttemptClaimed() | facts.AttemptDeadLettered():
                claims.setdefault(fact.step, []).append(fact)
                assert fact.at >= visible[fact.step, fact.attempt], "I7: nothing is claimed early"
            case facts.AttemptCompleted() | facts.AttemptFailed() | facts.AttemptTimedOut():
                results[fact.step, fact.attempt] += 1
                successes[fact.step] += isinstance(fact, facts.AttemptCompleted)
                last = claims[fact.step][-1]
                assert (last.attempt, last.fence) == (fact.attempt, fact.fence), "I4: under the current claim only"
            case facts.AttemptCancelled():
                results[fact.step, fact.attempt] += 1
            case facts.DeadLetterDiscarded():
                results[fact.step, fact.attempt] += 1
                assert isinstance(claims[fact.step][-1], facts.AttemptDeadLettered), "I16: only what is dead"
            case _:
                pass
    for recorded in claims.values():
        for older, newer in pairwise(recorded):
            assert (newer.generation, newer.fence) > (older.generation, older.fence), "I3: fences grow"
    assert set(results.values()) <= {1}, "I5: one accepted result an attempt"
    assert set(successes.values()) <= {0, 1}, "I5: one accepted success a runnable"


def _compensations_in_order(state: RunState, history: list[AnyFact]) -> None:
    """I15: accepted once each, in reverse order of completion, of completed steps only, after no sibling is claimed."""
    completed = [fact.step for fact in history if isinstance(fact, facts.AttemptCompleted) and "!" not in fact.step]
    undone = [fact.step for fact in history if isinstance(fact, facts.AttemptCompleted) and "!" in fact.step]
    begun = [fact.step.removesuffix("!undo") for fact in history if isinstance(fact, facts.AttemptScheduled)]
    order = list(dict.fromkeys(step for step, fact in zip(begun, _scheduled(history), strict=True) if "!" in fact))
    assert len(set(undone)) == len(undone), "I15: once each"
    assert order == [step for step in reversed(completed) if step in order], "I15: in reverse order of completion"
    claimed: set[str] = set()
    for fact in history:
        if isinstance(fact, facts.AttemptClaimed):
            claimed.add(fact.step)
        elif isinstance(fact, facts.CompensationStarted):
            assert not claimed, f"I15: {claimed} is claimed as the compensation begins"
        elif getattr(fact, "step", None) in claimed and isinstance(fact, _ENDS_A_CLAIM):
            claimed.discard(fact.step)


_ENDS_A_CLAIM = (
    facts.AttemptCompleted,
    facts.AttemptFailed,
    facts.AttemptTimedOut,
    facts.AttemptCancelled,
    facts.AttemptDeadLettered,
    facts.ClaimReleased,
    facts.DeliveryLost,
)


def _scheduled(history: list[AnyFact]) -> list[str]:
    return [fact.step for fact in history if isinstance(fact, facts.AttemptScheduled)]


_SUCCEEDS = (facts.AttemptCompleted, facts.PauseResumed, facts.EventTaken, facts.ChildrenEnded)
_BEGINS = (
    facts.AttemptScheduled,
    facts.ApprovalRequested,
    facts.PauseReached,
    facts.EventAwaited,
    facts.ChildrenAwaited,
)


def _joins_complete(store: JournalStore, state: RunState, history: list[AnyFact]) -> None:
    """I14: in a graph, a step begins after all that it comes after have succeeded, once."""
    body = store.definition(Fingerprint(state.fingerprint))
    assert body is not None
    definition = _definition(body)
    if definition.topology != "graph":
        return
    done: set[str] = set()
    begun: Counter[str] = Counter()
    for fact in history:
        if isinstance(fact, _SUCCEEDS) or (isinstance(fact, facts.ApprovalDecided) and fact.decision == "approved"):
            done.add(fact.step)
        elif isinstance(fact, _BEGINS) and "!" not in fact.step and getattr(fact, "attempt", 1) == 1:
            begun[fact.step] += 1
            assert set(definition.step(fact.step).after) <= done, f"I14: {fact.step} begins too early"
    assert set(begun.values()) <= {1}, "I14: once"


def audit_timers(store: JournalStore, states: list[RunState]) -> None:
    """I13 for timers and signals, of all runs of a store: a signal is open while its sender has said it, and the one
    whom it is for has not heard it. What that one can do nothing about is dropped when somebody has tried to tell it.
    """
    by_id = {state.run_id: state for state in states}
    expected = {row.timer: row for state in states for row in timers_of(state)}
    for state in states:
        expected |= {row.timer: row for row in open_signals(state, _parent(store, state, by_id))}
    found = {row.timer: row for row in store.open_timers(limit=100_000)}
    refusable = {name for name, row in found.items() if row.sender and _refuses(by_id[row.run_id], row)}
    assert {name: row for name, row in found.items() if name not in refusable} == expected, "I13: timers and signals"


def _parent(store: JournalStore, state: RunState, by_id: dict[str, RunState]) -> Parent | None:
    if state.parent is None:
        return None
    parent = by_id.get(state.parent.run_id)
    cancels = parent is not None and parent.phase == "cancelled" and _cancels_children(store, parent)
    return Parent(state=parent, cancels=cancels)


def _cancels_children(store: JournalStore, state: RunState) -> bool:
    (history,) = store.read([ThreadRead(thread=ThreadId(state.run_id))], whole=True)
    last = decode_facts(history.tail[-1].body, thread=state.run_id, revision=state.revision)
    return any(isinstance(fact, facts.RunCancelled) and fact.children == "cancel" for fact in last)


def _refuses(hearer: RunState, signal: TimerRow) -> bool:
    """What has ended hears nothing any more, and what fails is not cancelled."""
    return hearer.ended or (signal.kind == "cancel" and hearer.phase != "open")


def _attempts_bounded(store: JournalStore, state: RunState, history: list[AnyFact]) -> None:
    """I8, as far as nobody intervenes: attempts are counted from 1 without a gap, up to what the policy allows."""
    body = store.definition(Fingerprint(state.fingerprint))
    assert body is not None
    definition = _definition(body)
    scheduled = Counter(fact.step for fact in history if isinstance(fact, facts.AttemptScheduled))
    for step, runnable in state.runnables.items():
        spec = definition.step(step)
        policy = spec.retry if isinstance(spec, FunctionStep) else None
        assert scheduled[step] == runnable.attempt, "I8: each attempt is scheduled once"
        allowed = (policy.max_attempts if policy else 1) + runnable.forgiven
        assert runnable.attempt <= allowed, "I8: never more than max_attempts"


@lru_cache
def _definition(body: bytes) -> Definition:
    return Definition.from_json(body)


def _folds_alike(store: JournalStore, run_id: str, whole: RunState, every_prefix: bool) -> None:
    """I2: with the newest checkpoint, and with one taken of every prefix, the state is the same."""
    (short,) = store.read([ThreadRead(thread=ThreadId(run_id))])
    (long,) = store.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    if short.checkpoint is not None:
        state = decode_state(short.checkpoint.body)
        assert state is not None
        for entry in short.tail:
            state = fold(state, decode_facts(entry.body, thread=run_id, revision=entry.revision))
        assert state == whole, "I2: with the stored checkpoint"
    if not every_prefix:
        return
    decoded = [decode_facts(entry.body, thread=run_id, revision=entry.revision) for entry in long.tail]
    for cut in range(1, len(decoded), max(1, len(decoded) // 8)):
        state = None
        for facts_of_one in decoded[:cut]:
            state = fold(state, facts_of_one)
        assert state is not None
        state = decode_state(encode_state(state))
        for facts_of_one in decoded[cut:]:
            state = fold(state, facts_of_one)
        assert state == whole, f"I2: with a checkpoint at {cut}"


def _rows_equal(store: JournalStore, state: RunState) -> None:
    rows = rebuild(state)
    assert store.run_row(state.run_id) == rows.run, "I13: the run row"
    assert store.open_attempts(run_id=state.run_id) == sorted(rows.put, key=lambda row: row.item), "I13: the agenda"
    letters = store.dead_letters(DeadLetterQuery(run_id=state.run_id, limit=1000)).rows
    assert sorted(letters, key=lambda row: row.item) == sorted(rows.bury, key=lambda row: row.item), "I13: dead letters"
