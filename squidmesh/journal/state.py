"""What a thread's facts add up to: the state of one run (protocol 3.2).

A state is updated in place by its one owner (``fold.py``), so folding n facts costs n. It knows no definition: old
facts outlive code. Times are microseconds since 1970, durations microseconds.
"""

from __future__ import annotations

from collections import ChainMap
from typing import Any, Literal

import msgspec

from squidmesh.clock import Instant
from squidmesh.journal.facts import Activation, ParentRun, StepError

AttemptStatus = Literal["scheduled", "claimed", "completed", "failed", "dead", "cancelled"]
RunPhase = Literal["open", "failing", "compensating", "completed", "failed", "cancelled"]
RunStatus = Literal[
    "running", "retrying", "paused", "waiting", "failing", "compensating", "completed", "failed", "cancelled"
]
GateKind = Literal["approval", "pause", "event", "children"]
GateStatus = Literal["open", "approved", "rejected", "resumed", "taken", "ended", "timed_out", "closed"]
OPEN_ATTEMPT: frozenset[str] = frozenset({"scheduled", "claimed"})
ENDED_RUN: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
MANUAL_GATE: frozenset[str] = frozenset({"approval", "pause"})
"""Kinds of gate that wait for a person."""


class ClaimState(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded claim of an attempt. The claim id itself is never known here."""

    owner: str
    claim_hash: str
    lease: int
    at: int
    deadline: int | None = None


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt is a dead letter. ``cause`` is a stable word; ``owner`` the last one to hold it."""

    at: int
    cause: str
    lapsed: int
    detail: str | None = None
    owner: str | None = None


class RunnableState(msgspec.Struct, kw_only=True):
    """One step of the run, or its compensation, at its newest attempt. ``generation`` and ``fence`` are the last
    recorded ones, over all attempts, as is ``timed``: some claim had a deadline. ``lost`` counts recorded claims of
    this attempt and generation that ended without a word: superseded, or reported lost; ``reported`` counts the latter
    (``loss``: the last such report). ``snoozes`` counts those that were given back by the step. ``death`` is set while
    the attempt is a dead letter, and stays if it is cancelled as one. ``forgiven``: how many of its attempts were spent
    before an operator retried it; the retry policy counts from there.
    """

    step: str
    attempt: int
    status: AttemptStatus
    queue: str
    priority: int
    visible_at: int
    cause: Literal["route", "wait", "retry", "undo"]
    generation: int = 0
    fence: int = 0
    claim: ClaimState | None = None
    lost: int = 0
    reported: int = 0
    snoozes: int = 0
    error: StepError | None = None
    loss: str | None = None
    last_owner: str | None = None
    death: Death | None = None
    timed: bool = False
    forgiven: int = 0
    concurrency_key: str | None = None
    concurrency_limit: int | None = None


class GateState(msgspec.Struct, kw_only=True):
    """A step that waits without an attempt, and was reached: an approval, a pause, an event, or the end of all child
    runs. ``actor`` is who decided, where a person did. ``event``: the name of the event that it waits for.
    """

    step: str
    kind: GateKind
    requested_at: int
    status: GateStatus = "open"
    actor: str | None = None
    decided_at: int | None = None
    deadline: int | None = None
    event: str | None = None

    @property
    def decision(self) -> Literal["approved", "rejected"] | None:
        """What a person said of an approval."""
        return self.status if self.status in ("approved", "rejected") else None


class ChildState(msgspec.Struct, kw_only=True):
    """A child run, by its id. ``status`` is None while it is open, as far as this run has heard."""

    run_id: str
    step: str
    key: str
    workflow: str
    status: Literal["completed", "failed", "cancelled"] | None = None


class KeptEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that nobody has taken yet."""

    event: str
    data: Any


class CommandState(msgspec.Struct, kw_only=True):
    """A command of somebody outside that was carried out. ``repeats``: how often it came again under its key."""

    verb: str
    subject: str
    actor: str
    at: int
    key: str | None = None
    repeats: int = 0


class OverwrittenOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What ``step`` gave under ``key``, before another step gave that key too."""

    step: str
    key: str
    value: Any


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    on: str
    target: str
    edge: str
    recovery: str | None = None


class Layers(ChainMap[str, Any]):
    """The first of the maps that has a key gives its value. What :class:`ChainMap` is, with a quick ``get``."""

    def get(self, key: str, default: Any = None) -> Any:
        for layer in self.maps:
            if key in layer:
                return layer[key]
        return default


class RunState(msgspec.Struct, kw_only=True):
    """``open_steps``: runnables with an open attempt, ``open_gates``: gates that wait, ``dead_steps``: steps whose
    attempt is a dead letter, so that nothing on the hot path walks over all steps. ``claimed``: how many open attempts
    are claimed. ``completed``: the steps that are done, in order of completion, and when. ``outputs``: what the
    accepted steps gave, key by key; ``writers``: which step gave which key; ``overwritten``: what they gave before, in
    that order. ``to_undo``: steps that are still to be
    compensated, the present one first; ``undone``: what the compensations gave. ``commands``: what came from outside;
    ``keys``: the place there of each idempotency key.
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
    parent: ParentRun | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    replay_of: str | None = None
    deadline: int | None = None
    activation: Activation | None = None
    traceparent: str | None = None
    revision: int = 0
    phase: RunPhase = "open"
    ended_at: int | None = None
    failure_code: str | None = None
    failure_step: str | None = None
    failure_message: str | None = None
    outputs: dict[str, Any] = msgspec.field(default_factory=dict)
    writers: dict[str, str] = msgspec.field(default_factory=dict)
    overwritten: list[OverwrittenOutput] = msgspec.field(default_factory=list)
    runnables: dict[str, RunnableState] = msgspec.field(default_factory=dict)
    gates: dict[str, GateState] = msgspec.field(default_factory=dict)
    routes: list[RouteState] = msgspec.field(default_factory=list)
    completed: dict[str, int] = msgspec.field(default_factory=dict)
    open_steps: list[str] = msgspec.field(default_factory=list)
    open_gates: list[str] = msgspec.field(default_factory=list)
    dead_steps: list[str] = msgspec.field(default_factory=list)
    claimed: int = 0
    to_undo: list[str] = msgspec.field(default_factory=list)
    undone: dict[str, Any] = msgspec.field(default_factory=dict)
    children: dict[str, ChildState] = msgspec.field(default_factory=dict)
    open_children: list[str] = msgspec.field(default_factory=list)
    events: list[KeptEvent] = msgspec.field(default_factory=list)
    commands: list[CommandState] = msgspec.field(default_factory=list)
    keys: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.phase in ENDED_RUN

    def context(self) -> Layers:
        """What steps bind from and conditions look at: the payload, and the outputs so far."""
        return Layers(self.outputs, self.payload)

    def dead_letters(self) -> list[RunnableState]:
        return [self.runnables[step] for step in self.dead_steps]

    def open_attempts(self) -> list[RunnableState]:
        return [self.runnables[step] for step in self.open_steps]

    def status(self, now: Instant) -> RunStatus:
        """Derived, in the order that protocol 3.2 gives: ended, compensating, failing, running, retrying, paused,
        waiting.
        """
        if self.phase != "open":
            return self.phase
        if self.claimed:
            return "running"
        attempts = self.open_attempts()
        if any(a.visible_at <= now for a in attempts):
            return "running"
        if any(a.cause == "retry" for a in attempts):
            return "retrying"
        manual = any(self.gates[step].kind in MANUAL_GATE for step in self.open_gates)
        return "paused" if manual else "waiting"

    def due_at(self) -> int | None:
        """When the first scheduled attempt becomes visible: from then on the run counts as running."""
        return min((a.visible_at for a in self.open_attempts()), default=None)

    def standing_at(self) -> str | None:
        """The step that the run stands at, for lists: an open attempt or gate, a dead letter, or where it failed."""
        for steps in (self.open_steps, self.open_gates, self.dead_steps, self.to_undo):
            if steps:
                return steps[0]
        return self.failure_step or None
