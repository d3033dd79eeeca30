"""Timers and signals as rows: which a run has open, and which an entry opens and closes (protocol 3.3).

Like every row they follow from threads alone. The rows of a run's own deadlines follow from its state; a signal is
opened by the sender's terminal entry, and closed by the entry of the one who hears it, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeGuard, get_args

from squidmesh.ids import RunId
from squidmesh.journal.facts import (
    AnyFact,
    ApprovalDecided,
    ApprovalRequested,
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ChildEnded,
    ClaimReleased,
    CompensationStarted,
    DeliveryLost,
    EventAwaited,
    EventTaken,
    GateClosed,
    GateTimedOut,
    RouteTaken,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from squidmesh.journal.rows import TimerRow
from squidmesh.journal.state import RunState

_OfAClaim = (
    AttemptCancelled
    | AttemptClaimed
    | AttemptCompleted
    | AttemptDeadLettered
    | AttemptFailed
    | AttemptTimedOut
    | ClaimReleased
    | DeliveryLost
)
_OF_A_CLAIM = frozenset(get_args(_OfAClaim))
_OPENS_GATE = (ApprovalRequested, EventAwaited)
_ENDS_GATE = (ApprovalDecided, EventTaken, GateTimedOut, GateClosed)
_ENDS_RUN = (RunCompleted, RunFailed, RunCancelled)
_SETS_NOTHING = frozenset({RouteTaken, AttemptScheduled})
"""Of every step, so they are passed over first."""


def timer_changes(facts: Iterable[AnyFact], after: RunState) -> tuple[tuple[TimerRow, ...], tuple[str, ...]]:
    """What an entry sets and what it drops. ``after`` is the state that includes it."""
    touched: dict[str, TimerRow | None] = {}
    for fact in facts:
        if type(fact) in _SETS_NOTHING:
            continue
        if _is_of_a_claim(fact):
            if after.runnables[fact.step].timed:
                touched[_step_name(after, fact.step)] = _step_timer(after, fact.step)
        elif isinstance(fact, _OPENS_GATE):
            if fact.deadline is not None:
                touched[_gate_name(after, fact.step)] = _gate_timer(after, fact.step)
        elif isinstance(fact, _ENDS_GATE):
            if after.gates[fact.step].deadline is not None:
                touched[_gate_name(after, fact.step)] = None
        elif isinstance(fact, RunStarted):
            if fact.deadline is not None:
                touched[_run_name(after)] = _run_timer(after)
        elif isinstance(fact, CompensationStarted):
            if after.deadline is not None:
                touched[_run_name(after)] = None
        elif isinstance(fact, ChildEnded):
            touched[fact.signal] = None
        elif isinstance(fact, _ENDS_RUN):
            if after.deadline is not None:
                touched[_run_name(after)] = None
            if isinstance(fact, RunCancelled) and fact.signal is not None:
                touched[fact.signal] = None
            for signal in signals_of(after, cancel=_cancels(fact)):
                touched[signal.timer] = signal
    if not touched:
        return (), ()
    return (
        tuple(row for row in touched.values() if row is not None),
        tuple(name for name, row in touched.items() if row is None),
    )


def _is_of_a_claim(fact: AnyFact) -> TypeGuard[_OfAClaim]:
    return type(fact) in _OF_A_CLAIM


def timers_of(state: RunState) -> Iterator[TimerRow]:
    """Every timer of the run itself, as if there were none yet."""
    if (row := _run_timer(state)) is not None:
        yield row
    for name in state.open_gates:
        if (row := _gate_timer(state, name)) is not None:
            yield row
    for name in state.open_steps:
        if (row := _step_timer(state, name)) is not None:
            yield row


def signals_of(state: RunState, *, cancel: bool) -> Iterator[TimerRow]:
    """What an ended run has to say: to its parent, and (``cancel``) to its open children. Whether that was heard, the
    other's thread tells.
    """
    if state.parent is not None:
        yield TimerRow(
            timer=_ended_name(state.run_id),
            run_id=RunId(state.parent.run_id),
            kind="child_ended",
            due_at=_ended_at(state),
            sender=state.run_id,
            detail=state.phase,
        )
    if cancel:
        yield from (cancel_signal(state, child) for child in state.open_children)


def cancel_signal(state: RunState, child: str) -> TimerRow:
    """What a cancelled run says to one of its children."""
    return TimerRow(
        timer=_cancel_name(child), run_id=RunId(child), kind="cancel", due_at=_ended_at(state), sender=state.run_id
    )


def _ended_at(state: RunState) -> int:
    assert state.ended_at is not None
    return state.ended_at


def names_for(state: RunState) -> tuple[str, ...]:
    """Every name that a timer of the run, or a signal to it, can have had: for whoever prunes it."""
    return (
        _run_name(state),
        _cancel_name(state.run_id),
        *(_gate_name(state, step) for step in state.gates),
        *(_step_name(state, step) for step in state.runnables),
        *(_ended_name(child) for child in state.children),
    )


def _cancels(fact: RunCompleted | RunFailed | RunCancelled) -> bool:
    return isinstance(fact, RunCancelled) and fact.children == "cancel"


def _ended_name(child: str) -> str:
    return f"{child}!ended"


def _cancel_name(child: str) -> str:
    return f"{child}!cancel"


def _run_name(state: RunState) -> str:
    return f"{state.run_id}!deadline"


def _gate_name(state: RunState, step: str) -> str:
    return f"{state.run_id}/{step}!deadline"


def _step_name(state: RunState, step: str) -> str:
    return f"{state.run_id}/{step}!timeout"


def _run_timer(state: RunState) -> TimerRow | None:
    if state.deadline is None or state.ended or state.phase == "compensating":
        return None
    return TimerRow(timer=_run_name(state), run_id=RunId(state.run_id), kind="run", due_at=state.deadline)


def _gate_timer(state: RunState, step: str) -> TimerRow | None:
    gate = state.gates[step]
    if gate.deadline is None or gate.status != "open":
        return None
    return TimerRow(
        timer=_gate_name(state, step), run_id=RunId(state.run_id), kind="gate", due_at=gate.deadline, subject=step
    )


def _step_timer(state: RunState, step: str) -> TimerRow | None:
    claim = state.runnables[step].claim
    if claim is None or claim.deadline is None:
        return None
    return TimerRow(
        timer=_step_name(state, step), run_id=RunId(state.run_id), kind="step", due_at=claim.deadline, subject=step
    )
