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
    """Attempt ``attempt`` (1, 2, …) of ``step`` may be claimed from ``visible_at`` on."""

    step: str
    attempt: int
    queue: str
    priority: int
    visible_at: int
    cause: Literal["route", "wait", "retry"]


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
    | ApprovalRequested
    | ApprovalDecided
)
