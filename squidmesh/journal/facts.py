"""The facts of a run's thread: one thing that happened each (protocol 2). Past tense, frozen, never changed.

``at`` and every other moment are microseconds since 1970 (:data:`squidmesh.clock.Instant`); ``lease`` is a duration in
microseconds. A fact's type name is its tag in the stored JSON; a field may be added with a default, never renamed,
retyped or removed (``tests/unit/journal/test_codec.py`` holds entries of each schema version to that).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="fact", tag=True, omit_defaults=True):
    at: int


class StepError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an attempt failed. ``code`` is stable and safe to show; ``message`` and ``details`` may hold user data."""

    code: str
    type: str
    message: str
    details: str = ""


# ------------------------------------------------------------------------------------------------------- the run


class RunStarted(Fact, frozen=True, kw_only=True):
    """Always revision 1, entry's first. ``fingerprint`` pins the definition; ``payload`` holds all defaults."""

    run_id: str
    workflow: str
    version: str
    fingerprint: str
    trigger: str
    payload: dict[str, Any]
    payload_fingerprint: str
    queue: str
    priority: int
    key: str | None = None


class RouteTaken(Fact, frozen=True, kw_only=True):
    """``source`` ended with ``on``; ``edge`` is the stable id of the route; ``target`` is a step or ``complete``."""

    source: str
    on: Literal["ok", "error", "reject"]
    target: str
    edge: str
    recovery: str | None = None


class RunCompleted(Fact, frozen=True, kw_only=True):
    pass


class RunFailed(Fact, frozen=True, kw_only=True):
    """``code``: ``step_failed``, ``rejected`` or ``no_matching_transition``."""

    code: str
    step: str
    message: str


# --------------------------------------------------------------------------------------------------- the attempts


class AttemptScheduled(Fact, frozen=True, kw_only=True):
    """Attempt ``attempt`` (1, 2, …) of ``step`` may be claimed from ``visible_at`` on, while fewer than
    ``concurrency_limit`` leases of its queue and ``concurrency_key`` live.
    """

    step: str
    attempt: int
    queue: str
    priority: int
    visible_at: int
    cause: Literal["route", "wait", "retry"]
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


class AttemptClaimed(Fact, frozen=True, kw_only=True):
    step: str
    attempt: int
    generation: int
    fence: int
    owner: str
    claim_hash: str
    lease: int


class ClaimReleased(Fact, frozen=True, kw_only=True):
    """A recorded claim given back unspent: the attempt is visible again from ``visible_at`` on."""

    step: str
    attempt: int
    fence: int
    visible_at: int
    reason: Literal["drain", "snooze", "unstarted"]


class AttemptCompleted(Fact, frozen=True, kw_only=True):
    """``output``: what the step adds to the context, key by key (an ``output=`` name is applied already)."""

    step: str
    attempt: int
    fence: int
    output: dict[str, Any]


class AttemptFailed(Fact, frozen=True, kw_only=True):
    """``final``: no further attempt follows; the error route is taken, or the run fails."""

    step: str
    attempt: int
    fence: int
    error: StepError
    final: bool


# -------------------------------------------------------------------------------------------------- dead letters


class DeliveryLost(Fact, frozen=True, kw_only=True):
    """The recorded claim ended without a word from its step, and its live worker knows why: the child process that ran
    it died. The attempt is visible again from ``visible_at`` on.
    """

    step: str
    attempt: int
    fence: int
    visible_at: int
    cause: str


class AttemptDeadLettered(Fact, frozen=True, kw_only=True):
    """Given up after ``lost`` lost deliveries of this generation, in place of a claim: under the fence of a grant.
    ``lapsed``: how many grants in a row the lease backend saw end without a word, recorded or not. ``cause``:
    ``lost_deliveries`` or ``lost_before_recording``; ``detail``: what is known of the last loss. ``owner``: the last
    one to hold it.
    """

    step: str
    attempt: int
    generation: int
    fence: int
    lost: int
    lapsed: int
    cause: Literal["lost_deliveries", "lost_before_recording"]
    detail: str | None = None
    owner: str | None = None


class DeadLetterReplayed(Fact, frozen=True, kw_only=True):
    """Back to work, as generation ``generation`` of the same attempt (I16)."""

    step: str
    attempt: int
    generation: int
    visible_at: int
    actor: str
    comment: str
    key: str | None = None


class DeadLetterDiscarded(Fact, frozen=True, kw_only=True):
    """The attempt has failed for good: its error route is taken, or the run fails."""

    step: str
    attempt: int
    error: StepError
    actor: str
    reason: str
    key: str | None = None


# ------------------------------------------------------------------------------------------------------ the gates


class ApprovalRequested(Fact, frozen=True, kw_only=True):
    step: str


class ApprovalDecided(Fact, frozen=True, kw_only=True):
    """``key`` is the command's idempotency key, if it had one; ``output`` as in :class:`AttemptCompleted`."""

    step: str
    decision: Literal["approved", "rejected"]
    actor: str
    comment: str
    metadata: dict[str, Any]
    output: dict[str, Any]
    key: str | None = None


AnyFact = (
    RunStarted
    | RouteTaken
    | RunCompleted
    | RunFailed
    | AttemptScheduled
    | AttemptClaimed
    | ClaimReleased
    | AttemptCompleted
    | AttemptFailed
    | DeliveryLost
    | AttemptDeadLettered
    | DeadLetterReplayed
    | DeadLetterDiscarded
    | ApprovalRequested
    | ApprovalDecided
)
