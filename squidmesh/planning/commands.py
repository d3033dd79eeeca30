"""What may be asked of a run: commands, as values. Time, ids and jitter come in with them (protocol 3.2).

``now`` is the journal's time in microseconds since 1970; ``jitter`` a number in [0, 1) that the shell drew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec

from squidmesh.journal.facts import StepError


class Command(msgspec.Struct, frozen=True, kw_only=True):
    now: int


class StartRun(Command, frozen=True, kw_only=True):
    """``payload`` is validated, with all defaults. ``delay``: the first attempt becomes visible that much later."""

    run_id: str
    trigger: str
    payload: dict[str, Any]
    payload_fingerprint: str
    queue: str
    priority: int
    key: str | None = None
    delay: timedelta = timedelta(0)


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


class DecideApproval(Command, frozen=True, kw_only=True):
    """An operator's word on a gate. ``step`` may be None where one gate is open. ``key``: the same key again is the
    same command, and changes nothing.
    """

    decision: Literal["approved", "rejected"]
    actor: str
    step: str | None = None
    comment: str = ""
    metadata: dict[str, Any] = {}
    key: str | None = None


AnyCommand = (
    RecordClaim
    | RecordCompletion
    | RecordFailure
    | RecordRelease
    | RecordLoss
    | DecideApproval
    | ReplayDeadLetter
    | DiscardDeadLetter
)
"""Every command to a run that has started."""
