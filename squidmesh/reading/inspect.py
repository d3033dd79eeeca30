"""``inspect_run``: the snapshot of one run, as values for people.

By default it holds no payload, no output and no error's text: codes only (I19). Those come with the history, which has
to be asked for. Claim ids are never known here, and their hashes are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from squidmesh.clock import Instant, duration, to_datetime
from squidmesh.journal.facts import AnyFact, ApprovalDecided, StepError
from squidmesh.journal.state import GateState, RunnableState, RunState
from squidmesh.reading.plain import to_plain


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
    """An approval that the run has reached; ``decision`` is None while it is open."""

    step: str
    requested_at: datetime
    decision: str | None
    actor: str | None
    decided_at: datetime | None


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

    ``payload`` and ``history`` are None unless the history was asked for, ``output`` unless that or the output was.
    ``anomaly`` says what can not be read of its history: the run is held, and this snapshot ends before that entry.
    """

    run_id: str
    workflow: str
    version: str
    trigger: str
    key: str | None
    queue: str
    priority: int
    status: str
    revision: int
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    current_steps: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    gates: tuple[Gate, ...]
    failure: Failure | None
    audit: tuple[AuditEvent, ...]
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
    history: Sequence[tuple[int, Sequence[AnyFact]]] | None = None,
    with_output: bool = False,
    anomaly: str | None = None,
) -> Run:
    """The snapshot of ``state`` at ``now``. ``history``: its entries, revision and facts each, in order; with it come
    payload, output and messages. ``anomaly``: why an entry after ``state`` can not be read.
    """
    whole = history is not None
    return Run(
        run_id=state.run_id,
        workflow=state.workflow,
        version=state.version,
        trigger=state.trigger,
        key=state.key,
        queue=state.queue,
        priority=state.priority,
        status=state.status(now),
        revision=state.revision,
        started_at=to_datetime(state.started_at),
        updated_at=to_datetime(state.updated_at),
        ended_at=_moment(state.ended_at),
        current_steps=() if state.ended else (*state.open_steps, *state.open_gates),
        attempts=tuple(_attempt(runnable, whole) for runnable in state.runnables.values()),
        gates=tuple(_gate(gate) for gate in state.gates.values()),
        failure=_failure(state, whole),
        audit=_audit(state) if history is None else _audit_of(history),
        payload=deepcopy(state.payload) if whole else None,
        output=deepcopy(state.outputs) if whole or with_output else None,
        history=None if history is None else tuple(_events(history)),
        anomaly=anomaly,
        as_of=to_datetime(now),
    )


def _attempt(runnable: RunnableState, whole: bool) -> Attempt:
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
        last_error_message=error.message if error and whole else None,
    )


def _gate(gate: GateState) -> Gate:
    return Gate(
        step=gate.step,
        requested_at=to_datetime(gate.requested_at),
        decision=gate.decision,
        actor=gate.actor,
        decided_at=_moment(gate.decided_at),
    )


def _failure(state: RunState, whole: bool) -> Failure | None:
    if state.failure_code is None:
        return None
    runnable = state.runnables.get(state.failure_step or "")
    error = runnable.error if runnable is not None and runnable.status == "failed" else None
    return Failure(
        code=state.failure_code,
        step=state.failure_step,
        error=error.code if error else None,
        error_type=error.type if error else None,
        message=state.failure_message if whole else None,
    )


def _audit(state: RunState) -> tuple[AuditEvent, ...]:
    return tuple(
        AuditEvent(
            action=gate.decision,
            step=gate.step,
            actor=gate.actor or "",
            at=to_datetime(gate.decided_at or gate.requested_at),
            comment=None,
            metadata=None,
        )
        for gate in state.gates.values()
        if gate.decision is not None
    )


def _audit_of(history: Iterable[tuple[int, Sequence[AnyFact]]]) -> tuple[AuditEvent, ...]:
    return tuple(
        AuditEvent(
            action=fact.decision,
            step=fact.step,
            actor=fact.actor,
            at=to_datetime(fact.at),
            comment=fact.comment,
            metadata=deepcopy(fact.metadata),
        )
        for _, facts in history
        for fact in facts
        if isinstance(fact, ApprovalDecided)
    )


_NOT_DETAILS = frozenset({"at", "claim_hash"})
_INSTANTS = frozenset({"visible_at"})
_DURATIONS = frozenset({"lease"})


def _events(history: Iterable[tuple[int, Sequence[AnyFact]]]) -> Iterable[HistoryEvent]:
    for revision, facts in history:
        for fact in facts:
            yield HistoryEvent(
                revision=revision,
                at=to_datetime(fact.at),
                kind=type(fact).__name__,
                step=getattr(fact, "step", None) or getattr(fact, "source", None),
                details={
                    name: _shown(name, getattr(fact, name))
                    for name in fact.__struct_fields__
                    if name not in _NOT_DETAILS
                },
            )


def _shown(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return to_datetime(value)
    if name in _DURATIONS:
        return duration(value)
    if isinstance(value, StepError):
        return {part: getattr(value, part) for part in value.__struct_fields__}
    return deepcopy(value)


def _moment(instant: int | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)
