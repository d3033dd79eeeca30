"""What may be asked of a run: commands, as values. Time, ids and jitter come in with them (protocol 3.2).

``now`` is the journal's time in microseconds since 1970; ``jitter`` a number in [0, 1) that the shell drew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec

from squidmesh.journal.facts import Activation, ParentRun, StepError


class Command(msgspec.Struct, frozen=True, kw_only=True):
    now: int


class StartRun(Command, frozen=True, kw_only=True):
    """``payload`` is validated, with all defaults. ``delay``: the first attempts become visible that much later.
    ``activation``: a cron trigger fired.
    """

    run_id: str
    trigger: str
    payload: dict[str, Any]
    payload_fingerprint: str
    queue: str
    priority: int
    key: str | None = None
    delay: timedelta = timedelta(0)
    parent: ParentRun | None = None
    metadata: dict[str, Any] = {}
    replay_of: str | None = None
    activation: Activation | None = None
    traceparent: str | None = None


class _OfAttempt(Command, frozen=True, kw_only=True):
    step: str
    attempt: int
    claim_hash: str
    fence: int


class RecordClaim(_OfAttempt, frozen=True, kw_only=True):
    """A grant of the lease backend, to be recorded (protocol 3.5.2), or to become a dead letter (3.5.5). ``lapsed``:
    how many grants before it the backend saw end without a word, in a row.
    """

    generation: int
    owner: str
    lease: timedelta
    max_deliveries: int
    lapsed: int = 0


class NextClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish to go on with the next step at once: under which claim, and which steps it has functions for."""

    owner: str
    claim_hash: str
    lease: timedelta
    steps: frozenset[str]


class RecordCompletion(_OfAttempt, frozen=True, kw_only=True):
    """``output``: what the step adds to the context, key by key. ``then``: see ``planning/continuation.py``."""

    output: dict[str, Any]
    then: NextClaim | None = None


class RecordFailure(_OfAttempt, frozen=True, kw_only=True):
    """``retryable``: a policy, if the step has one, may schedule another attempt. ``retry_after`` overrides the
    policy's delay once.
    """

    error: StepError
    retryable: bool
    jitter: float = 0.0
    retry_after: timedelta | None = None


class RecordRelease(_OfAttempt, frozen=True, kw_only=True):
    """Gives a recorded claim back, to be visible again after ``delay``. A snooze above ``max_snoozes`` fails the
    attempt instead.
    """

    reason: Literal["drain", "snooze", "unstarted"]
    delay: timedelta = timedelta(0)
    max_snoozes: int | None = None


class RecordLoss(_OfAttempt, frozen=True, kw_only=True):
    """The step's own process died, and its worker lives (protocol 3.5.5). Visible again after ``delay``."""

    cause: str
    delay: timedelta


class _OnDeadLetter(Command, frozen=True, kw_only=True):
    """``key``: the same key again is the same command, and changes nothing."""

    step: str
    attempt: int
    actor: str
    key: str | None = None


class ReplayDeadLetter(_OnDeadLetter, frozen=True, kw_only=True):
    comment: str = ""


class DiscardDeadLetter(_OnDeadLetter, frozen=True, kw_only=True):
    reason: str = ""


class _OfPerson(Command, frozen=True, kw_only=True):
    """``key``: the same key again is the same command, and changes nothing but a count."""

    actor: str
    comment: str = ""
    key: str | None = None


class DecideApproval(_OfPerson, frozen=True, kw_only=True):
    """An operator's word on an approval. ``step`` may be None where one is open."""

    decision: Literal["approved", "rejected"]
    step: str | None = None
    metadata: dict[str, Any] = {}


class ResumeRun(_OfPerson, frozen=True, kw_only=True):
    """An operator's word on a pause. ``step`` may be None where one is open."""

    step: str | None = None
    metadata: dict[str, Any] = {}


class CancelRun(_OfPerson, frozen=True, kw_only=True):
    """``signal``: the word of a cancelled parent that this follows, if it does."""

    metadata: dict[str, Any] = {}
    children: Literal["cancel", "leave"] = "cancel"
    signal: str | None = None


class RetryCompensation(_OfPerson, frozen=True, kw_only=True):
    """``step``: the one that is to be undone; may be None, as one compensation at most waits for an operator."""

    step: str | None = None


class WaiveCompensation(RetryCompensation, frozen=True, kw_only=True):
    pass


class SendEvent(Command, frozen=True, kw_only=True):
    """``data`` is a JSON value. Two events of one key are one."""

    event: str
    data: Any
    actor: str
    key: str | None = None


class StartChild(_OfAttempt, frozen=True, kw_only=True):
    """Under the parent's claim. ``run_id`` is derived from parent run, step and ``key``."""

    key: str
    run_id: str
    workflow: str


# -------------------------------------------------------------------------------------------- timers and signals


class PassRunDeadline(Command, frozen=True, kw_only=True):
    pass


class PassGateDeadline(Command, frozen=True, kw_only=True):
    step: str


class PassStepDeadline(Command, frozen=True, kw_only=True):
    """Of the attempt that is claimed now, if it is. ``jitter`` as in :class:`RecordFailure`."""

    step: str
    jitter: float = 0.0


class RecordChildEnd(Command, frozen=True, kw_only=True):
    run_id: str
    status: Literal["completed", "failed", "cancelled"]
    signal: str


AnyCommand = (
    RecordClaim
    | RecordCompletion
    | RecordFailure
    | RecordRelease
    | RecordLoss
    | DecideApproval
    | ResumeRun
    | CancelRun
    | SendEvent
    | StartChild
    | RetryCompensation
    | WaiveCompensation
    | ReplayDeadLetter
    | DiscardDeadLetter
    | PassRunDeadline
    | PassGateDeadline
    | PassStepDeadline
    | RecordChildEnd
)
"""Every command to a run that has started."""
