"""How a run fails: what is closed at once, what may still end, and what is compensated then (protocol 3.2, I15).

A terminal failure closes what nobody has claimed. While siblings are claimed the run is *failing*: they may still end,
or lapse and be delivered once more to find out. When none is left, completed steps are compensated in the reverse order
of their completion, one after the other, and then the run has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from squidmesh.ids import undo_of
from squidmesh.journal.facts import (
    AnyFact,
    AttemptCancelled,
    AttemptScheduled,
    CompensationStarted,
    GateClosed,
    RunFailed,
    RunFailing,
)
from squidmesh.journal.state import RunState
from squidmesh.workflow.definition import Definition, FunctionStep


def fails(
    definition: Definition,
    state: RunState,
    *,
    now: int,
    code: str,
    step: str,
    message: str,
    closed: frozenset[str] = frozenset(),
    completed: Sequence[str] = (),
    at_once: bool = False,
) -> list[AnyFact]:
    """What follows from a failure that nothing catches. ``closed``: the attempts and gates that ended before it, by
    facts of the same entry; ``completed``: steps that the entry has completed. ``at_once``: also what is claimed is
    closed, as by a deadline of the whole run.
    """
    facts = close_all(state, now=now, closed=closed, claimed_too=at_once)
    left = 0 if at_once else _claimed_besides(state, closed)
    if left:
        return [*facts, RunFailing(at=now, code=code, step=step, message=message)]
    to_undo = _to_undo(definition, state, completed)
    if not to_undo:
        return [*facts, RunFailed(at=now, code=code, step=step, message=message)]
    failing = RunFailing(at=now, code=code, step=step, message=message)
    return [*facts, failing, *_start(definition, state, to_undo, now)]


def close_all(state: RunState, *, now: int, closed: frozenset[str] = frozenset(), claimed_too: bool) -> list[AnyFact]:
    """Of what is open: attempts, dead letters and gates."""
    facts: list[AnyFact] = [
        AttemptCancelled(at=now, step=runnable.step, attempt=runnable.attempt)
        for runnable in [*state.open_attempts(), *state.dead_letters()]
        if runnable.step not in closed and (claimed_too or runnable.status != "claimed")
    ]
    facts += [GateClosed(at=now, step=step) for step in state.open_gates if step not in closed]
    return facts


def sibling_ended(
    definition: Definition, state: RunState, step: str, *, now: int, completed: bool = False
) -> list[AnyFact]:
    """Of a run that is failing: ``step`` was claimed and has ended. The last one begins the compensation, or the run
    has failed.
    """
    if any(other != step for other in state.open_steps):
        return []
    to_undo = _to_undo(definition, state, (step,) if completed else ())
    if to_undo:
        return _start(definition, state, to_undo, now)
    return [_failed(state, now)]


def abandon_siblings(definition: Definition, state: RunState, *, now: int) -> list[AnyFact]:
    """Of a run that is failing, whose siblings are waited for no longer."""
    facts = close_all(state, now=now, claimed_too=True)
    to_undo = _to_undo(definition, state, ())
    return [*facts, *(_start(definition, state, to_undo, now) if to_undo else [_failed(state, now)])]


def next_undo(definition: Definition, state: RunState, *, now: int) -> list[AnyFact]:
    """The present compensation is done with: the one after it, or the run has failed."""
    left = state.to_undo[1:]
    return [undo(definition, state, left[0], now)] if left else [_failed(state, now)]


def undo(definition: Definition, state: RunState, step: str, now: int) -> AttemptScheduled:
    """The first attempt of a compensation. It goes where the step itself went."""
    spec = definition.step(undo_of(step))
    assert isinstance(spec, FunctionStep)
    return AttemptScheduled(
        at=now,
        step=spec.name,
        attempt=1,
        queue=spec.queue or state.queue,
        priority=state.priority if spec.priority is None else spec.priority,
        visible_at=now,
        cause="undo",
    )


def _start(definition: Definition, state: RunState, to_undo: list[str], now: int) -> list[AnyFact]:
    return [CompensationStarted(at=now, steps=to_undo), undo(definition, state, to_undo[0], now)]


def _to_undo(definition: Definition, state: RunState, completed: Sequence[str]) -> list[str]:
    """Completed steps that have a compensation, the last one first."""
    done = [*state.completed, *(step for step in completed if step not in state.completed)]
    return [step for step in reversed(done) if undo_of(step) in definition.steps_by_name]


def _claimed_besides(state: RunState, closed: frozenset[str]) -> int:
    return state.claimed - sum(step in state.runnables and state.runnables[step].status == "claimed" for step in closed)


def _failed(state: RunState, now: int) -> RunFailed:
    return RunFailed(
        at=now,
        code=state.failure_code or "step_failed",
        step=state.failure_step or "",
        message=state.failure_message or "",
    )
