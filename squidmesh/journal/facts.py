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


class ParentRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who started a child run: which step of which run, under which key of its own."""

    run_id: str
    step: str
    key: str


class Activation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a cron trigger started a run. ``window``: the moment that it stands for, to be read in ``timezone``.
    ``signal_id``: the name that a host's own scheduler gave to this firing.
    """

    window: int
    timezone: str
    signal_id: str | None = None


class RunStarted(Fact, frozen=True, kw_only=True):
    """Always revision 1, entry's first. ``fingerprint`` pins the definition; ``payload`` holds all defaults.
    ``deadline``: the moment at which the run fails if it has not ended. ``replay_of``: the run whose payload this is.
    ``activation`` is there if a cron trigger fired. ``traceparent``: where in a trace it was started, in the words of
    W3C Trace Context.
    """

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
    parent: ParentRun | None = None
    metadata: dict[str, Any] = {}
    replay_of: str | None = None
    deadline: int | None = None
    activation: Activation | None = None
    traceparent: str | None = None


class RouteTaken(Fact, frozen=True, kw_only=True):
    """``source`` ended with ``on``; ``edge`` is the stable id of the route; ``target`` is a step or ``complete``."""

    source: str
    on: Literal["ok", "error", "reject", "timeout"]
    target: str
    edge: str
    recovery: str | None = None


class RunCompleted(Fact, frozen=True, kw_only=True):
    pass


class RunFailing(Fact, frozen=True, kw_only=True):
    """That the run fails is decided, and why; it has not ended: siblings are still claimed, or completed steps are to
    be compensated. ``code`` as in :class:`RunFailed`.
    """

    code: str
    step: str
    message: str


class CompensationStarted(Fact, frozen=True, kw_only=True):
    """No sibling is claimed any more. ``steps``: what is compensated, one after the other, in this order (I15)."""

    steps: list[str]


class CompensationRetried(Fact, frozen=True, kw_only=True):
    """An operator's word on a compensation whose attempts are used up: another attempt follows."""

    step: str
    actor: str
    comment: str
    key: str | None = None


class CompensationWaived(Fact, frozen=True, kw_only=True):
    """An operator's word: this compensation is not needed any more, and the next one follows."""

    step: str
    actor: str
    comment: str
    key: str | None = None


class RunFailed(Fact, frozen=True, kw_only=True):
    """``code``: ``step_failed``, ``rejected``, ``timed_out``, ``deadline_exceeded`` or ``no_matching_transition``.
    ``step`` is empty where the run as a whole is meant.
    """

    code: str
    step: str
    message: str


class RunCancelled(Fact, frozen=True, kw_only=True):
    """``children``: whether the open child runs are cancelled too. ``signal``: the word of a cancelled parent that this
    follows, if it does.
    """

    actor: str
    comment: str
    metadata: dict[str, Any]
    children: Literal["cancel", "leave"]
    key: str | None = None
    signal: str | None = None


class CommandRepeated(Fact, frozen=True, kw_only=True):
    """The command of that key came again. It changed nothing but this count."""

    key: str


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
    cause: Literal["route", "wait", "retry", "undo"]
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


class AttemptClaimed(Fact, frozen=True, kw_only=True):
    """``deadline``: the moment at which this claim's work fails if it has not ended (the step's ``timeout``)."""

    step: str
    attempt: int
    generation: int
    fence: int
    owner: str
    claim_hash: str
    lease: int
    deadline: int | None = None


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


class AttemptTimedOut(Fact, frozen=True, kw_only=True):
    """The deadline of its claim has passed: failed by a fact of its own, whoever holds it (I4). ``final`` as above."""

    step: str
    attempt: int
    fence: int
    error: StepError
    final: bool


class AttemptCancelled(Fact, frozen=True, kw_only=True):
    """Closed because its run fails or was cancelled, whoever holds it (I4)."""

    step: str
    attempt: int


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
    """``deadline``: the moment at which nobody is waited for any more."""

    step: str
    deadline: int | None = None


class ApprovalDecided(Fact, frozen=True, kw_only=True):
    """``key`` is the command's idempotency key, if it had one; ``output`` as in :class:`AttemptCompleted`."""

    step: str
    decision: Literal["approved", "rejected"]
    actor: str
    comment: str
    metadata: dict[str, Any]
    output: dict[str, Any]
    key: str | None = None


class PauseReached(Fact, frozen=True, kw_only=True):
    step: str


class PauseResumed(Fact, frozen=True, kw_only=True):
    step: str
    actor: str
    comment: str
    metadata: dict[str, Any]
    key: str | None = None


class EventAwaited(Fact, frozen=True, kw_only=True):
    """The run waits for an event of that name. ``deadline`` as in :class:`ApprovalRequested`."""

    step: str
    event: str
    deadline: int | None = None


class EventReceived(Fact, frozen=True, kw_only=True):
    """An event from outside, kept until a step takes it; ``key`` makes a second one of the same key no event."""

    event: str
    data: Any
    actor: str
    key: str | None = None


class EventTaken(Fact, frozen=True, kw_only=True):
    """The step took the first event of its name that nobody had taken. ``output`` as in :class:`AttemptCompleted`."""

    step: str
    event: str
    output: dict[str, Any]


class ChildrenAwaited(Fact, frozen=True, kw_only=True):
    step: str


class ChildrenEnded(Fact, frozen=True, kw_only=True):
    """No child run is open. ``output`` as in :class:`AttemptCompleted`."""

    step: str
    output: dict[str, Any]


class GateTimedOut(Fact, frozen=True, kw_only=True):
    """The deadline of an approval or an event has passed."""

    step: str


class GateClosed(Fact, frozen=True, kw_only=True):
    """Closed because its run fails or was cancelled."""

    step: str


# -------------------------------------------------------------------------------------------------- the child runs


class ChildStarted(Fact, frozen=True, kw_only=True):
    """In the same transaction as revision 1 of that run. ``fence``: of the attempt that started it."""

    step: str
    attempt: int
    fence: int
    key: str
    run_id: str
    workflow: str


class ChildEnded(Fact, frozen=True, kw_only=True):
    """``signal``: the word of the child that this follows, which is heard once."""

    run_id: str
    status: Literal["completed", "failed", "cancelled"]
    signal: str


AnyFact = (
    RunStarted
    | RouteTaken
    | RunCompleted
    | RunFailing
    | CompensationStarted
    | CompensationRetried
    | CompensationWaived
    | RunFailed
    | RunCancelled
    | CommandRepeated
    | AttemptScheduled
    | AttemptClaimed
    | ClaimReleased
    | AttemptCompleted
    | AttemptFailed
    | AttemptTimedOut
    | AttemptCancelled
    | DeliveryLost
    | AttemptDeadLettered
    | DeadLetterReplayed
    | DeadLetterDiscarded
    | ApprovalRequested
    | ApprovalDecided
    | PauseReached
    | PauseResumed
    | EventAwaited
    | EventReceived
    | EventTaken
    | ChildrenAwaited
    | ChildrenEnded
    | GateTimedOut
    | GateClosed
    | ChildStarted
    | ChildEnded
)
