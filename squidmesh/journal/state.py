"""What a thread's facts add up to: the state of one run (protocol 3.2).

A state is updated in place by its one owner (``fold.py``), so folding n facts costs n. It knows no definition: old
facts outlive code. Times are microseconds since 1970, durations microseconds.
"""

from __future__ import annotations

from collections import ChainMap
from typing import Any, Literal

import msgspec

from squidmesh.clock import Instant
from squidmesh.journal.facts import StepError

AttemptStatus = Literal["scheduled", "claimed", "completed", "failed", "dead"]
RunPhase = Literal["open", "completed", "failed"]
RunStatus = Literal["running", "retrying", "paused", "waiting", "completed", "failed"]
OPEN_ATTEMPT: frozenset[str] = frozenset({"scheduled", "claimed"})
ENDED_RUN: frozenset[str] = frozenset({"completed", "failed"})


class ClaimState(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded claim of an attempt. The claim id itself is never known here."""

    owner: str
    claim_hash: str
    lease: int
    at: int


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt is a dead letter. ``cause`` is a stable word; ``owner`` the last one to hold it."""

    at: int
    cause: str
    lapsed: int
    detail: str | None = None
    owner: str | None = None


class RunnableState(msgspec.Struct, kw_only=True):
    """One step of the run, at its newest attempt. ``generation`` and ``fence`` are the last recorded ones, over all
    attempts. ``lost`` counts recorded claims of this attempt and generation that ended without a word: superseded, or
    reported lost (``loss``: the last such report). ``snoozes`` counts those that were given back by the step.
    ``death`` is set while the attempt is a dead letter.
    """

    step: str
    attempt: int
    status: AttemptStatus
    queue: str
    priority: int
    visible_at: int
    cause: Literal["route", "wait", "retry"]
    generation: int = 0
    fence: int = 0
    claim: ClaimState | None = None
    lost: int = 0
    snoozes: int = 0
    error: StepError | None = None
    loss: str | None = None
    last_owner: str | None = None
    death: Death | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


class GateState(msgspec.Struct, kw_only=True):
    """An approval that was reached. ``decision`` is None while it is open."""

    step: str
    requested_at: int
    decision: Literal["approved", "rejected"] | None = None
    actor: str | None = None
    decided_at: int | None = None


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    on: str
    target: str
    edge: str
    recovery: str | None = None


class RunState(msgspec.Struct, kw_only=True):
    """``open_steps``: steps with an open attempt, ``open_gates``: approvals that wait, ``dead_steps``: steps whose
    attempt is a dead letter, so that nothing on the hot path walks over all steps. ``outputs``: what the accepted steps
    gave, key by key. ``keys``: the idempotency keys of commands, each with its ``decision step``.
    """

    run_id: str
    workflow: str
    version: str
    fingerprint: str
    trigger: str
    key: str | None
    payload: dict[str, Any]
    payload_fingerprint: str
    queue: str
    priority: int
    started_at: int
    updated_at: int
    revision: int = 0
    phase: RunPhase = "open"
    ended_at: int | None = None
    failure_code: str | None = None
    failure_step: str | None = None
    failure_message: str | None = None
    outputs: dict[str, Any] = msgspec.field(default_factory=dict)
    runnables: dict[str, RunnableState] = msgspec.field(default_factory=dict)
    gates: dict[str, GateState] = msgspec.field(default_factory=dict)
    routes: list[RouteState] = msgspec.field(default_factory=list)
    open_steps: list[str] = msgspec.field(default_factory=list)
    open_gates: list[str] = msgspec.field(default_factory=list)
    dead_steps: list[str] = msgspec.field(default_factory=list)
    keys: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.phase != "open"

    def context(self) -> ChainMap[str, Any]:
        """What steps bind from and conditions look at: the payload, and the outputs so far."""
        return ChainMap(self.outputs, self.payload)

    def dead_letters(self) -> list[RunnableState]:
        return [self.runnables[step] for step in self.dead_steps]

    def open_attempts(self) -> list[RunnableState]:
        return [self.runnables[step] for step in self.open_steps]

    def status(self, now: Instant) -> RunStatus:
        """Derived, in the order that protocol 3.2 gives: ended, running, retrying, paused, waiting."""
        if self.phase != "open":
            return self.phase
        attempts = self.open_attempts()
        if any(a.status == "claimed" or a.visible_at <= now for a in attempts):
            return "running"
        if any(a.cause == "retry" for a in attempts):
            return "retrying"
        return "paused" if self.open_gates else "waiting"

    def due_at(self) -> int | None:
        """When the first scheduled attempt becomes visible: from then on the run counts as running."""
        return min((a.visible_at for a in self.open_attempts()), default=None)

    def standing_at(self) -> str | None:
        """The step that the run stands at, for lists: an open attempt or gate, a dead letter, or where it failed."""
        for steps in (self.open_steps, self.open_gates, self.dead_steps):
            if steps:
                return steps[0]
        return self.failure_step
