"""``inspect_run``: the snapshot of one run, as values for people.

By default it holds no payload, no output and no error's text: codes only (I19). Those come with the history, which has
to be asked for. Claim ids are never known here, and their hashes are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from squidmesh.clock import Instant, duration, to_datetime
from squidmesh.ids import undo_of, undone_by
from squidmesh.journal.facts import (
    Activation,
    AnyFact,
    ApprovalDecided,
    CompensationRetried,
    CompensationWaived,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    EventReceived,
    ParentRun,
    PauseResumed,
    RunCancelled,
    RunStarted,
    StepError,
)
from squidmesh.journal.rows import RunRow
from squidmesh.journal.state import ChildState, CommandState, GateState, RunnableState, RunState
from squidmesh.reading.hiding import redaction_of, undo_secrets
from squidmesh.reading.listing import summarize
from squidmesh.reading.plain import to_plain
from squidmesh.reading.schedule import Schedule, schedule_of
from squidmesh.redaction import HIDDEN, Redaction
from squidmesh.workflow.definition import Definition, FunctionStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The newest attempt of one step. ``owner``, ``claimed_at`` and ``lease`` tell who works on it now. ``lost`` counts
    deliveries that ended without a word, ``snoozes`` those that the step gave back. ``last_error`` is the code of the
    step's newest failure, of this attempt or of an earlier one, and ``last_error_type`` the name of the exception's
    class; its text comes with the history only.
    """

    step: str
    attempt: int
    status: str
    queue: str
    priority: int
    visible_at: datetime
    owner: str | None
    claimed_at: datetime | None
    lease: timedelta | None
    fence: int
    generation: int
    lost: int
    snoozes: int
    last_error: str | None
    last_error_type: str | None
    last_error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A step that waits without an attempt, and that the run has reached: ``kind`` is approval, pause, event or
    children. ``status``: open, or how it was left: approved, rejected, resumed, taken (an event), ended (all child
    runs), timed_out, closed (the run failed or was cancelled). ``decision`` is that of an approval. ``actor``: who
    decided, where a person did.
    """

    step: str
    kind: str
    status: str
    requested_at: datetime
    decision: str | None
    actor: str | None
    decided_at: datetime | None
    deadline: datetime | None
    event: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLink:
    """Of a child run: which step of which run started it, under which key."""

    run_id: str
    step: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLink:
    """A child run. ``status`` is None while it is open, as far as this run has heard."""

    run_id: str
    workflow: str
    step: str
    key: str
    status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationState:
    """What undoes a completed step of a failed run. ``status``: waiting (for those before it), scheduled, claimed,
    completed, failed (it waits for an operator), dead, or waived. ``result`` comes with the history only.
    """

    step: str
    status: str
    attempts: int
    last_error: str | None
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEvent:
    """A command from outside that was carried out. ``subject``: the step, or the event, that it was about. ``repeats``:
    how often it came again under its ``key``, while the run had not ended.
    """

    verb: str
    subject: str
    actor: str
    at: datetime
    key: str | None
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the run failed. ``error`` and ``error_type`` are those of the step, where its failure was the reason;
    ``message`` comes with the history only.
    """

    code: str
    step: str | None
    error: str | None
    error_type: str | None
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What a person decided. ``comment`` and ``metadata`` come with the history only."""

    action: str
    step: str
    actor: str
    at: datetime
    comment: str | None
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One fact. Those of one entry share its ``revision``: they became true together. ``step`` is the step that it is
    about, if it is about one; ``details`` holds the fact's fields by name.
    """

    revision: int
    at: datetime
    kind: str
    step: str | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stood at ``as_of``, by the journal's clock. ``current_steps``: where it works or waits now.
    ``audit``: what people decided; ``command_history``: each command from outside, and how often it came.
    ``schedule``: the cron window that it stands for, if a cron trigger started it.

    ``payload``, ``metadata`` and ``history`` are None unless the history was asked for, ``output`` unless that or the
    output was. ``anomaly`` says what can not be read of its history: the run is held, and this snapshot ends before
    that entry. Where not even the first entry can be read, this is what its row knows: ``revision`` is 0, ``priority``
    None.
    """

    run_id: str
    workflow: str
    version: str
    trigger: str
    schedule: Schedule | None
    key: str | None
    queue: str
    priority: int | None
    status: str
    revision: int
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    current_steps: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    gates: tuple[Gate, ...]
    failure: Failure | None
    compensations: tuple[CompensationState, ...]
    parent_run: ParentLink | None
    children: tuple[ChildLink, ...]
    replay_of: str | None
    deadline: datetime | None
    audit: tuple[AuditEvent, ...]
    command_history: tuple[CommandEvent, ...]
    metadata: dict[str, Any] | None
    payload: dict[str, Any] | None
    output: dict[str, Any] | None
    history: tuple[HistoryEvent, ...] | None
    anomaly: str | None
    as_of: datetime = field(compare=False)

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601, durations in seconds."""
        found: dict[str, Any] = to_plain(self)
        return found


def inspect(
    state: RunState,
    *,
    now: Instant,
    definition: Definition | None = None,
    history: Sequence[tuple[int, Sequence[AnyFact]]] | None = None,
    with_output: bool = False,
    anomaly: str | None = None,
) -> Run:
    """The snapshot of ``state`` at ``now``. ``history``: its entries, revision and facts each, in order; with it come
    payload, output and messages. ``definition``: the one that the run started with, without which none of these can be
    shown, since nobody would know what is secret. ``anomaly``: why an entry after ``state`` can not be read.
    """
    if definition is None and (with_output or history is not None):
        raise ValueError("payload, output and history are shown with the run's definition only")
    shown = None if definition is None else _Shown(definition, redaction_of(definition, state))
    whole = shown if history is not None else None
    return Run(
        run_id=state.run_id,
        workflow=state.workflow,
        version=state.version,
        trigger=state.trigger,
        schedule=schedule_of(state.trigger, state.activation),
        key=state.key,
        queue=state.queue,
        priority=state.priority,
        status=state.status(now),
        revision=state.revision,
        started_at=to_datetime(state.started_at),
        updated_at=to_datetime(state.updated_at),
        ended_at=_moment(state.ended_at),
        current_steps=() if state.ended else (*state.open_steps, *state.open_gates, *state.dead_steps),
        attempts=tuple(_attempt(runnable, whole) for runnable in state.runnables.values()),
        gates=tuple(_gate(gate) for gate in state.gates.values()),
        failure=_failure(state, whole),
        compensations=tuple(_compensations(state, whole)),
        parent_run=_parent(state),
        children=tuple(_child(child) for child in state.children.values()),
        replay_of=state.replay_of,
        deadline=_moment(state.deadline),
        audit=_audit(state) if history is None or whole is None else _audit_of(history, whole.redaction),
        command_history=tuple(_command(command) for command in state.commands),
        metadata=whole.redaction.value(state.metadata) if whole else None,
        payload=whole.payload(state.trigger, state.payload) if whole else None,
        output=shown.output(state.outputs) if shown and (whole or with_output) else None,
        history=None if history is None or whole is None else tuple(_events(history, whole)),
        anomaly=anomaly,
        as_of=to_datetime(now),
    )


def inspect_row(row: RunRow, *, now: Instant, anomaly: str) -> Run:
    """What is known of a run whose very first entry can not be read: ``anomaly`` says why."""
    known = summarize(row, now=now)
    return Run(
        run_id=known.run_id,
        workflow=known.workflow,
        version=known.version,
        trigger=known.trigger,
        schedule=None,
        key=known.key,
        queue=known.queue,
        priority=None,
        status=known.status,
        revision=0,
        started_at=known.started_at,
        updated_at=known.ended_at or known.started_at,
        ended_at=known.ended_at,
        current_steps=() if known.step is None or known.ended_at is not None else (known.step,),
        attempts=(),
        gates=(),
        failure=None,
        compensations=(),
        parent_run=None,
        children=(),
        replay_of=None,
        deadline=None,
        audit=(),
        command_history=(),
        metadata=None,
        payload=None,
        output=None,
        history=None,
        anomaly=anomaly,
        as_of=to_datetime(now),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """What it takes to show all that is known of a run, but no secret."""

    definition: Definition
    redaction: Redaction

    def payload(self, trigger: str, payload: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = self.redaction.value(payload, self.definition.payload_secrets(trigger))
        return shown

    def output(self, outputs: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = self.redaction.value(outputs, self.definition.output_secrets)
        return shown

    def undone(self, step: str, result: Any) -> Any:
        return self.redaction.value(result, undo_secrets(self.definition, step))

    def text(self, text: str | None) -> str | None:
        return None if text is None else self.redaction.text(text)

    def field(self, fact: AnyFact, name: str) -> Any:
        """One field of a fact, as it is shown."""
        value = getattr(fact, name)
        if name in _INSTANTS:
            return _moment(value)
        if name in _DURATIONS:
            return duration(value)
        if isinstance(fact, RunStarted) and name == "payload":
            return self.payload(fact.trigger, value)
        if isinstance(fact, RunStarted) and name == "payload_fingerprint":  # who guesses a secret could try it on this
            return HIDDEN if self.definition.payload_secrets(fact.trigger) else value
        if isinstance(value, StepError):
            return {part: self.redaction.text(getattr(value, part)) for part in value.__struct_fields__}
        if isinstance(value, Activation):
            return {"window": to_datetime(value.window), "timezone": value.timezone, "signal_id": value.signal_id}
        if isinstance(value, ParentRun):
            return {part: getattr(value, part) for part in value.__struct_fields__}
        if name in _NAMES or not isinstance(value, str | dict | list):
            return value
        return self.redaction.value(value, self._paths(fact) if name == "output" else ())

    def _paths(self, fact: AnyFact) -> tuple[str, ...]:
        step = self.definition.steps_by_name.get(getattr(fact, "step", ""))
        return step.secrets if isinstance(step, FunctionStep) else ()


def _attempt(runnable: RunnableState, whole: _Shown | None) -> Attempt:
    claim, error = runnable.claim, runnable.error
    return Attempt(
        step=runnable.step,
        attempt=runnable.attempt,
        status=runnable.status,
        queue=runnable.queue,
        priority=runnable.priority,
        visible_at=to_datetime(runnable.visible_at),
        owner=claim.owner if claim else None,
        claimed_at=to_datetime(claim.at) if claim else None,
        lease=duration(claim.lease) if claim else None,
        fence=runnable.fence,
        generation=runnable.generation,
        lost=runnable.lost,
        snoozes=runnable.snoozes,
        last_error=error.code if error else None,
        last_error_type=error.type if error else None,
        last_error_message=whole.text(error.message) if error and whole else None,
    )


def _gate(gate: GateState) -> Gate:
    return Gate(
        step=gate.step,
        kind=gate.kind,
        status=gate.status,
        requested_at=to_datetime(gate.requested_at),
        decision=gate.decision,
        actor=gate.actor,
        decided_at=_moment(gate.decided_at),
        deadline=_moment(gate.deadline),
        event=gate.event,
    )


def _parent(state: RunState) -> ParentLink | None:
    parent = state.parent
    return None if parent is None else ParentLink(run_id=parent.run_id, step=parent.step, key=parent.key)


def _child(child: ChildState) -> ChildLink:
    return ChildLink(run_id=child.run_id, workflow=child.workflow, step=child.step, key=child.key, status=child.status)


def _command(command: CommandState) -> CommandEvent:
    return CommandEvent(
        verb=command.verb,
        subject=command.subject,
        actor=command.actor,
        at=to_datetime(command.at),
        key=command.key,
        repeats=command.repeats,
    )


def _compensations(state: RunState, whole: _Shown | None) -> Iterable[CompensationState]:
    """In the order in which they are carried out: those that have begun, and those that are still to come."""
    begun = [step for name in state.runnables if (step := undone_by(name)) is not None]
    for step in dict.fromkeys([*begun, *state.to_undo]):
        runnable = state.runnables.get(undo_of(step))
        error = runnable.error if runnable else None
        waived = step in begun and step not in state.to_undo and step not in state.undone
        yield CompensationState(
            step=step,
            status="waived" if waived else runnable.status if runnable else "waiting",
            attempts=runnable.attempt if runnable else 0,
            last_error=error.code if error else None,
            result=whole.undone(step, state.undone.get(step)) if whole else None,
        )


def _failure(state: RunState, whole: _Shown | None) -> Failure | None:
    if state.failure_code is None:
        return None
    runnable = state.runnables.get(state.failure_step or "")
    error = runnable.error if runnable is not None and runnable.status == "failed" else None
    return Failure(
        code=state.failure_code,
        step=state.failure_step,
        error=error.code if error else None,
        error_type=error.type if error else None,
        message=whole.text(state.failure_message) if whole else None,
    )


_ACTIONS = {
    "approve": "approved",
    "reject": "rejected",
    "resume": "resumed",
    "cancel": "cancelled",
    "send_event": "sent",
    "replay_dead_letter": "replayed",
    "discard_dead_letter": "discarded",
    "retry_compensation": "retried",
    "waive_compensation": "waived",
}


def _audit(state: RunState) -> tuple[AuditEvent, ...]:
    return tuple(
        AuditEvent(
            action=_ACTIONS.get(command.verb, command.verb),
            step=command.subject,
            actor=command.actor,
            at=to_datetime(command.at),
            comment=None,
            metadata=None,
        )
        for command in state.commands
    )


def _audit_of(history: Iterable[tuple[int, Sequence[AnyFact]]], redaction: Redaction) -> tuple[AuditEvent, ...]:
    return tuple(
        AuditEvent(
            action=action,
            step=str(getattr(fact, "step", None) or getattr(fact, "event", "")),
            actor=getattr(fact, "actor", ""),
            at=to_datetime(fact.at),
            comment=redaction.value(getattr(fact, "comment", getattr(fact, "reason", None))),
            metadata=redaction.value(getattr(fact, "metadata", None)),
        )
        for _, facts in history
        for fact in facts
        if (action := _action(fact)) is not None
    )


def _action(fact: AnyFact) -> str | None:
    """What somebody outside did; None for every other fact."""
    match fact:
        case ApprovalDecided():
            return fact.decision
        case PauseResumed():
            return "resumed"
        case RunCancelled():
            return "cancelled"
        case EventReceived():
            return "sent"
        case DeadLetterReplayed():
            return "replayed"
        case DeadLetterDiscarded():
            return "discarded"
        case CompensationRetried():
            return "retried"
        case CompensationWaived():
            return "waived"
        case _:
            return None


_NOT_DETAILS = frozenset({"at", "claim_hash"})
_INSTANTS = frozenset({"visible_at", "deadline"})
_DURATIONS = frozenset({"lease"})
_NAMES = frozenset(
    {"run_id", "workflow", "version", "fingerprint", "trigger", "key", "queue", "step", "source", "target", "edge"}
)
"""Fields that hold no words of a step's or of a person's."""


def _events(history: Iterable[tuple[int, Sequence[AnyFact]]], whole: _Shown) -> Iterable[HistoryEvent]:
    for revision, facts in history:
        for fact in facts:
            yield HistoryEvent(
                revision=revision,
                at=to_datetime(fact.at),
                kind=type(fact).__name__,
                step=getattr(fact, "step", None) or getattr(fact, "source", None),
                details={name: whole.field(fact, name) for name in fact.__struct_fields__ if name not in _NOT_DETAILS},
            )


def _moment(instant: int | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)
