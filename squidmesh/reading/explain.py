"""``explain_run``: why a run stands where it stands. One reason, its evidence, and what may safely be done next (I10).

Where several things are open at once, the reason is the one that the run's status is derived from.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from squidmesh.clock import Instant, duration, to_datetime
from squidmesh.errors import CorruptHistory
from squidmesh.ids import undo_of
from squidmesh.journal.facts import StepError
from squidmesh.journal.rows import PausedQueueRow
from squidmesh.journal.state import MANUAL_GATE, ClaimState, GateState, RunnableState, RunState
from squidmesh.planning.control import not_to_be_repeated
from squidmesh.reading.plain import to_plain
from squidmesh.workflow.definition import Definition, FunctionStep, WaitStep

_MOST_NAMED = 20
"""Child runs that an explanation names."""

Reason = Literal[
    "waiting_for_worker",
    "queue_paused",
    "missing_step",
    "disabled_action",
    "running",
    "retry",
    "wait",
    "delayed_start",
    "snoozed",
    "redelivery",
    "approval",
    "pause",
    "event",
    "children",
    "dead_letter",
    "failing",
    "compensation_failed",
    "completed",
    "step_failed",
    "rejected",
    "timed_out",
    "deadline_exceeded",
    "no_matching_transition",
    "cancelled",
    "corrupt_history",
]


NOTHING_PAUSED: Mapping[str, PausedQueueRow] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """``reason`` is for programs, ``summary`` one sentence for people. ``evidence`` holds what it rests on: names,
    numbers, codes, moments; no payload and no error's text. ``next_actions`` are calls and commands that do no harm.
    ``as_of`` is the journal's time, None where the history could not be read.
    """

    run_id: str
    reason: Reason
    summary: str
    evidence: dict[str, Any]
    next_actions: tuple[str, ...]
    as_of: datetime | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601, durations in seconds."""
        found: dict[str, Any] = to_plain(self)
        return found


def explain(
    definition: Definition,
    state: RunState,
    *,
    now: Instant,
    known_steps: Container[str] | None,
    disabled: Container[str] = (),
    paused: Mapping[str, PausedQueueRow] = NOTHING_PAUSED,
) -> Explanation:
    """``known_steps``: the steps of this workflow whose function is registered with the mesh that asks; None where it
    has no workflows at all, so that nothing can be said about functions. ``disabled``: of those, the ones whose action
    its host has disabled. ``paused``: the paused queues, by name.
    """
    if state.ended:
        return _ended(definition, state, now)
    attempts = state.open_attempts()
    claimed = next((runnable for runnable in attempts if runnable.claim is not None), None)
    if claimed is not None and claimed.claim is not None:
        return _running(definition, state, claimed, claimed.claim, now)
    visible = next((runnable for runnable in attempts if runnable.visible_at <= now), None)
    if visible is not None and visible.queue in paused:
        return _queue_paused(definition, state, visible, paused[visible.queue], now)
    if visible is not None:
        if (absent := _absent(definition, state, visible, now, known_steps, disabled)) is not None:
            return absent
        return _visible(definition, state, visible, now)
    scheduled = sorted(attempts, key=lambda runnable: (runnable.cause != "retry", runnable.visible_at))
    manual = [gate for gate in _open_gates(state) if gate.kind in MANUAL_GATE]
    if scheduled and (scheduled[0].cause == "retry" or not manual):
        return _scheduled(definition, state, scheduled[0], now)
    if manual:
        return _manual(state, manual, now)
    if state.dead_steps:
        return _dead_letter(definition, state, now)
    if state.open_gates:
        return _outside(state, _open_gates(state), now)
    if state.phase == "compensating":
        return _compensation_failed(state, now)
    return _corrupt(
        state.run_id, "it has not ended, and no attempt, approval or dead letter is open", {"revision": state.revision}
    )


def explain_corrupt(run_id: str, error: CorruptHistory) -> Explanation:
    """For a run whose history can not be read, or not beyond an entry: it is held there."""
    return _corrupt(run_id, str(error), {"thread": error.thread, "revision": error.revision})


# -------------------------------------------------------------------------------------------------- open attempts


def _running(
    definition: Definition, state: RunState, runnable: RunnableState, claim: ClaimState, now: Instant
) -> Explanation:
    attempt, since = _attempt(definition, runnable), _length(now - claim.at)
    summary = f"{runnable.step} is running: {claim.owner} claimed {attempt} {since} ago"
    failing = state.phase == "failing"
    if failing:
        summary += f"; {_why_failing(state)}, and the run waits for what is still claimed"
    if runnable.lost:
        summary += f", after {_lost(runnable)}; it runs alone in its process, once what runs beside it has ended"
    return Explanation(
        run_id=state.run_id,
        reason="failing" if failing else "running",
        summary=summary + ".",
        evidence=_evidence(definition, runnable)
        | _failure(state)
        | {
            "owner": claim.owner,
            "since": to_datetime(claim.at),
            "lease": duration(claim.lease),
            "takeover": "its worker extends the lease while it lives; when a lease ends, another worker takes over",
        },
        next_actions=(_wait_for(state),),
        as_of=to_datetime(now),
    )


def _queue_paused(
    definition: Definition, state: RunState, runnable: RunnableState, pause: PausedQueueRow, now: Instant
) -> Explanation:
    return Explanation(
        run_id=state.run_id,
        reason="queue_paused",
        summary=(
            f"{_attempt(definition, runnable)} of {runnable.step} is ready, but {pause.actor} paused queue "
            f"{pause.queue!r} {_length(now - pause.paused_at)} ago; nothing of it is claimed until it is resumed."
        ),
        evidence=_evidence(definition, runnable)
        | {"paused_by": pause.actor, "paused_at": to_datetime(pause.paused_at)},
        next_actions=(f"squidmesh queues resume {pause.queue} --actor NAME",),
        as_of=to_datetime(now),
    )


def _absent(
    definition: Definition,
    state: RunState,
    runnable: RunnableState,
    now: Instant,
    known_steps: Container[str] | None,
    disabled: Container[str],
) -> Explanation | None:
    """Of an attempt that this process could not carry out; None where it could, or nothing can be said."""
    step = definition.steps_by_name.get(runnable.step)
    if known_steps is None or not isinstance(step, FunctionStep):
        return None
    if runnable.step in known_steps and runnable.step not in disabled:
        return None
    reason: Reason = "disabled_action" if runnable.step in disabled else "missing_step"
    if reason == "disabled_action":
        why, do = f"its action {step.action!r} is disabled in this process", f"actions.enable({step.action!r})"
    elif step.action is not None:
        why, do = f"this process has no action {step.action!r}", f"actions.add({step.action!r}, FUNCTION)"
    else:
        why = "no function of that step is registered in this process"
        do = f"register {state.workflow} with a step {runnable.step!r} in Mesh.connect(workflows=[…])"
    return Explanation(
        run_id=state.run_id,
        reason=reason,
        summary=f"{_ready(definition, runnable, now)}, but {why}.",
        evidence=_evidence(definition, runnable)
        | {"workflow": state.workflow, "version": state.version}
        | ({"action": step.action} if step.action is not None else {}),
        next_actions=(do, f"{_start_worker(runnable)}  (with an app that has it)"),
        as_of=to_datetime(now),
    )


def _ready(definition: Definition, runnable: RunnableState, now: Instant) -> str:
    since = _length(now - runnable.visible_at)
    return f"{_attempt(definition, runnable)} of {runnable.step} has been ready for {since}"


def _start_worker(runnable: RunnableState) -> str:
    return f"squidmesh --app MODULE:MESH worker --queue {runnable.queue}"


def _visible(definition: Definition, state: RunState, runnable: RunnableState, now: Instant) -> Explanation:
    lost = f", after {_lost(runnable)}" if runnable.lost else ""
    place = ""
    if runnable.concurrency_key is not None:
        place = f", and for a place: at most {runnable.concurrency_limit} of {runnable.concurrency_key} run at once"
    return Explanation(
        run_id=state.run_id,
        reason="waiting_for_worker",
        summary=f"{_ready(definition, runnable, now)}{lost}; it waits for a worker on queue {runnable.queue!r}{place}.",
        evidence=_evidence(definition, runnable),
        next_actions=(_start_worker(runnable), f"mesh.execute_next(queues=[{runnable.queue!r}])"),
        as_of=to_datetime(now),
    )


def _scheduled(definition: Definition, state: RunState, runnable: RunnableState, now: Instant) -> Explanation:
    step = definition.steps_by_name.get(runnable.step)
    due = f"in {_length(runnable.visible_at - now)}"
    reason: Reason
    if runnable.snoozes:
        reason = "snoozed"
        summary = f"{runnable.step} asked to be delivered later; it becomes visible again {due}."
    elif runnable.cause == "retry":
        reason = "retry"
        error = f" with {_name(runnable.error)}" if runnable.error else ""
        summary = (
            f"attempt {runnable.attempt - 1} of {runnable.step} failed{error}; "
            f"{_attempt(definition, runnable)} becomes visible {due}."
        )
    elif runnable.last_owner is not None:
        reason = "redelivery"
        why = f"was delivered and came to nothing ({_lost(runnable)})" if runnable.lost else "was given back unspent"
        summary = f"{runnable.step} {why}; it becomes visible again {due}."
    elif isinstance(step, WaitStep):
        reason = "wait"
        summary = f"{runnable.step} is a wait of {_words(step.duration)}; it is over {due}."
    else:
        reason = "delayed_start"
        summary = f"the run was started with a delay; {runnable.step} becomes visible {due}."
    return Explanation(
        run_id=state.run_id,
        reason=reason,
        summary=summary,
        evidence=_evidence(definition, runnable) | {"remaining": duration(runnable.visible_at - now)},
        next_actions=(_wait_for(state),),
        as_of=to_datetime(now),
    )


# ------------------------------------------------------------------------------------------------ gates, and ends


def _open_gates(state: RunState) -> list[GateState]:
    return [state.gates[step] for step in state.open_gates]


def _deadline(gate: GateState, now: Instant) -> str:
    return "" if gate.deadline is None else f"; its time is up in {_length(gate.deadline - now)}"


def _manual(state: RunState, gates: list[GateState], now: Instant) -> Explanation:
    """Approvals and pauses."""
    first = gates[0]
    several = len(gates) > 1
    waits = _length(now - first.requested_at)
    reason: Reason = "approval" if first.kind == "approval" else "pause"
    deed = "approve or reject it" if first.kind == "approval" else "resume it"
    return Explanation(
        run_id=state.run_id,
        reason=reason,
        summary=f"{first.step} has waited {waits} for a person to {deed}{_deadline(first, now)}.",
        evidence=_gate_evidence(first) | ({"open": tuple(gate.step for gate in gates)} if several else {}),
        next_actions=tuple(
            f"squidmesh runs {verb} {state.run_id} --actor NAME" + (f" --step {gate.step}" if several else "")
            for gate in gates
            for verb in (("approve", "reject") if gate.kind == "approval" else ("resume",))
        ),
        as_of=to_datetime(now),
    )


def _outside(state: RunState, gates: list[GateState], now: Instant) -> Explanation:
    """Events and the ends of child runs."""
    first = next((gate for gate in gates if gate.kind == "event"), gates[0])
    waits = _length(now - first.requested_at)
    if first.kind == "event":
        return Explanation(
            run_id=state.run_id,
            reason="event",
            summary=f"{first.step} has waited {waits} for the event {first.event!r}{_deadline(first, now)}.",
            evidence=_gate_evidence(first) | {"event": first.event},
            next_actions=(f"squidmesh runs send-event {state.run_id} {first.event} --data JSON",),
            as_of=to_datetime(now),
        )
    left = len(state.open_children)
    runs = "1 child run" if left == 1 else f"{left} child runs"
    return Explanation(
        run_id=state.run_id,
        reason="children",
        summary=f"{first.step} has waited {waits} for {runs} to end.",
        evidence=_gate_evidence(first) | {"open_children": tuple(state.open_children[:_MOST_NAMED]), "left": left},
        next_actions=tuple(f"squidmesh runs explain {child}" for child in state.open_children[:3]),
        as_of=to_datetime(now),
    )


def _gate_evidence(gate: GateState) -> dict[str, Any]:
    evidence: dict[str, Any] = {"step": gate.step, "requested_at": to_datetime(gate.requested_at)}
    return evidence | ({} if gate.deadline is None else {"deadline": to_datetime(gate.deadline)})


def _compensation_failed(state: RunState, now: Instant) -> Explanation:
    step = state.to_undo[0]
    runnable = state.runnables[undo_of(step)]
    attempts = "1 attempt" if runnable.attempt == 1 else f"{runnable.attempt} attempts"
    name = f" with {_name(runnable.error)}" if runnable.error else ""
    left = f"; {', '.join(state.to_undo[1:])} still to be compensated after it" if len(state.to_undo) > 1 else ""
    return Explanation(
        run_id=state.run_id,
        reason="compensation_failed",
        summary=f"the compensation of {step} failed{name} after {attempts}, and waits for an operator{left}.",
        evidence={"step": step, "attempts": runnable.attempt, "to_undo": tuple(state.to_undo)}
        | _error(runnable.error)
        | _failure(state),
        next_actions=(
            f"squidmesh runs retry-compensation {state.run_id} --actor NAME  (once the cause is mended)",
            f"squidmesh runs waive-compensation {state.run_id} --actor NAME  (goes on without it)",
        ),
        as_of=to_datetime(now),
    )


def _failure(state: RunState) -> dict[str, Any]:
    """Of a run that fails, or compensates: why."""
    if state.phase not in ("failing", "compensating"):
        return {}
    return {"failure": state.failure_code, "failed_step": state.failure_step}


def _why_failing(state: RunState) -> str:
    if not state.failure_step:
        return f"the run fails ({state.failure_code})"
    return f"{state.failure_step} has failed for good ({state.failure_code})"


_CAUSES = {
    "lost_deliveries": "each time, whoever ran it was gone without a word",
    "lost_before_recording": "each time, whoever claimed it was gone before that was recorded",
}


def _dead_letter(definition: Definition, state: RunState, now: Instant) -> Explanation:
    runnable = state.dead_letters()[0]
    death = runnable.death
    assert death is not None
    item = f"{state.run_id}/{runnable.step}#{runnable.attempt}"
    why = _CAUSES.get(death.cause, death.cause)
    detail = f" (the last time: {death.detail})" if death.detail else ""
    count = _lost(runnable) if runnable.lost else f"{death.lapsed} lost claims"
    act = f"--actor NAME {item!r}"
    return Explanation(
        run_id=state.run_id,
        reason="dead_letter",
        summary=(
            f"{runnable.step} was given up {_length(now - death.at)} ago after {count}: {why}{detail}. "
            "It waits for an operator."
        ),
        evidence=_evidence(definition, runnable)
        | {
            "item": item,
            "cause": death.cause,
            "died_at": to_datetime(death.at),
            "last_owner": death.owner,
            "generation": runnable.generation,
            "lapsed": death.lapsed,
        }
        | ({"detail": death.detail} if death.detail else {})
        | ({"dead": tuple(state.dead_steps)} if len(state.dead_steps) > 1 else {}),
        next_actions=(
            f"squidmesh dead-letters replay {act}  (once the cause is mended)",
            f"squidmesh dead-letters discard {act} --reason TEXT  (takes the error route, or fails the run)",
        ),
        as_of=to_datetime(now),
    )


def _on_the_way(state: RunState) -> dict[str, Any]:
    """What an ended run had to get over: error routes that were taken, and deliveries that were lost."""
    found: dict[str, Any] = {}
    for route in state.routes:
        failed = state.runnables.get(route.source)
        if route.on == "error" and failed is not None:
            by = f" ({route.recovery})" if route.recovery else ""
            error = f" with {_name(failed.error)}" if failed.error else ""
            found["recovered"] = (
                f"{route.source} failed{error} on attempt {failed.attempt}; {route.target} followed{by}"
            )
    lost = sum(runnable.lost for runnable in state.runnables.values())
    return found | ({"lost_deliveries": lost} if lost else {})


def _recovered(state: RunState) -> str:
    routes = [route for route in state.routes if route.on == "error"]
    return f", by way of {routes[-1].target}: {routes[-1].source} had failed for good" if routes else ""


_FAILED: dict[str | None, Reason] = {
    "rejected": "rejected",
    "no_matching_transition": "no_matching_transition",
    "timed_out": "timed_out",
    "deadline_exceeded": "deadline_exceeded",
}


def _ended(definition: Definition, state: RunState, now: Instant) -> Explanation:
    ended_at = state.ended_at if state.ended_at is not None else state.updated_at
    evidence: dict[str, Any] = {"ended_at": to_datetime(ended_at), "took": duration(ended_at - state.started_at)}
    evidence |= _on_the_way(state)
    show = f"squidmesh runs show {state.run_id} --history"
    ago, took = _length(now - ended_at), _length(ended_at - state.started_at)
    if state.phase == "completed":
        return Explanation(
            run_id=state.run_id,
            reason="completed",
            summary=f"the run completed {ago} ago, {took} after its start{_recovered(state)}.",
            evidence=evidence,
            next_actions=(show,),
            as_of=to_datetime(now),
        )
    if state.phase == "cancelled":
        return _cancelled(state, evidence, now)
    reason = _FAILED.get(state.failure_code, "step_failed")
    step = state.failure_step or "?"
    if state.failure_step:
        evidence["step"] = step
    if state.undone:
        evidence["compensated"] = tuple(state.undone)
    runnable, gate = state.runnables.get(step), state.gates.get(step)
    if reason == "rejected":
        by = f" by {gate.actor}" if gate and gate.actor else ""
        why = f"{step} was rejected{by}, and no route leads on from a rejection"
        evidence["actor"] = gate.actor if gate else None
    elif reason == "timed_out":
        why = f"{step} was not answered in time, and no time-out route leads on"
    elif reason == "deadline_exceeded":
        why = "it had not ended at its deadline"
    elif reason == "no_matching_transition":
        why = f"{step} ended well, but the condition of none of its routes holds, and it has no other"
    else:
        error = runnable.error if runnable else None
        attempts = runnable.attempt if runnable else 0
        after = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        name = f" with {_name(error)}" if error else ""
        why = f"{step} failed{name} after {after}, and no error route leads on"
        evidence |= {"attempts": attempts} | _error(error)
    return Explanation(
        run_id=state.run_id,
        reason=reason,
        summary=f"the run failed {ago} ago, {took} after its start: {why}.",
        evidence=evidence,
        next_actions=(show, f"squidmesh runs graph {state.run_id}", *_again(definition, state)),
        as_of=to_datetime(now),
    )


def _again(definition: Definition, state: RunState) -> tuple[str, ...]:
    """A replay, where nothing would be done twice that must not be."""
    replay = f"squidmesh runs replay {state.run_id} --actor NAME"
    return () if not_to_be_repeated(definition, state) else (f"{replay}  (a new run of the same payload)",)


def _cancelled(state: RunState, evidence: dict[str, Any], now: Instant) -> Explanation:
    """By a person, or by the cancel of its parent."""
    word = next(command for command in reversed(state.commands) if command.verb == "cancel")
    ended_at = word.at
    ago, took = _length(now - ended_at), _length(ended_at - state.started_at)
    return Explanation(
        run_id=state.run_id,
        reason="cancelled",
        summary=f"the run was cancelled {ago} ago by {word.actor}, {took} after its start.",
        evidence=evidence | {"actor": word.actor},
        next_actions=(
            f"squidmesh runs show {state.run_id} --history",
            f"squidmesh runs replay {state.run_id} --actor NAME  (starts it anew)",
        ),
        as_of=to_datetime(now),
    )


def _corrupt(run_id: str, why: str, evidence: dict[str, Any]) -> Explanation:
    return Explanation(
        run_id=run_id,
        reason="corrupt_history",
        summary=f"the history of this run can not be read to its end, so the run is held: {why}.",
        evidence=evidence | {"problem": why},
        next_actions=(
            "squidmesh --version  (an entry of a later version is read by that version)",
            "restore the journal from a backup, if the entry is damaged",
        ),
    )


# --------------------------------------------------------------------------------------------------------- words


def _evidence(definition: Definition, runnable: RunnableState) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "step": runnable.step,
        "attempt": runnable.attempt,
        "max_attempts": _max_attempts(definition, runnable.step),
        "queue": runnable.queue,
        "visible_at": to_datetime(runnable.visible_at),
    }
    evidence |= _error(runnable.error)
    if runnable.lost:
        evidence["lost_deliveries"] = runnable.lost
    if runnable.snoozes:
        evidence["snoozes"] = runnable.snoozes
    if runnable.concurrency_key is not None:
        evidence |= {"concurrency_key": runnable.concurrency_key, "concurrency_limit": runnable.concurrency_limit}
    return evidence


def _max_attempts(definition: Definition, name: str) -> int:
    step = definition.steps_by_name.get(name)
    return step.retry.max_attempts if isinstance(step, FunctionStep) and step.retry else 1


def _attempt(definition: Definition, runnable: RunnableState) -> str:
    most = _max_attempts(definition, runnable.step)
    return f"attempt {runnable.attempt} of {most}" if most > 1 else f"attempt {runnable.attempt}"


def _lost(runnable: RunnableState) -> str:
    return "1 lost delivery" if runnable.lost == 1 else f"{runnable.lost} lost deliveries"


def _error(error: StepError | None) -> dict[str, Any]:
    return {"error": error.code, "error_type": error.type} if error is not None else {}


def _name(error: StepError) -> str:
    """The code, or the class where the code says only that something was raised."""
    return error.type if error.code == "step_raised" else error.code


def _wait_for(state: RunState) -> str:
    return f"mesh.wait_for({state.run_id!r}, timeout=60)"


def _length(microseconds: int) -> str:
    return _words(duration(max(0, microseconds)))


def _words(length: timedelta) -> str:
    """A duration in its two largest units: ``0.25 s``, ``3 min 4 s``, ``2 d 5 h``."""
    total = length.total_seconds()
    if total < 10:
        return f"{total:.2f}".rstrip("0").rstrip(".") + " s"
    left, parts = int(total), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])
