"""The instrument that counts: what the runtime tells, as the metrics of :mod:`squidmesh.ports.metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from squidmesh.journal.facts import (
    AnyFact,
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ChildStarted,
    ClaimReleased,
    DeliveryLost,
    RouteTaken,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepError,
)
from squidmesh.journal.state import RunState
from squidmesh.observe.counts import Counts
from squidmesh.ports import metrics
from squidmesh.ports.instrument import Instrument, LeaseMoment, StepOutcome, StepSeen
from squidmesh.ports.metrics import Metric

_OUTCOMES: dict[type, str] = {
    AttemptCompleted: "completed",
    AttemptFailed: "failed",
    AttemptTimedOut: "timed_out",
    AttemptCancelled: "cancelled",
    DeliveryLost: "lost",
    AttemptDeadLettered: "dead",
}
_ENDS: dict[type, str] = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_NOTICED: dict[str, tuple[Metric, tuple[str, ...]]] = {
    "stale_write_refused": (metrics.STALE_WRITES, ()),
    "claim_refused": (metrics.CLAIMS_REFUSED, ()),
    "lease_lost": (metrics.LEASES_LOST, ()),
    "heartbeat_failed": (metrics.HEARTBEAT_FAILURES, ()),
    "journal_unavailable": (metrics.STORE_UNAVAILABLE, ("journal",)),
    "lease_backend_unavailable": (metrics.STORE_UNAVAILABLE, ("leases",)),
}
_BY_TRIGGER = {"cron_fired": metrics.CRON_FIRED, "cron_windows_skipped": metrics.CRON_SKIPPED}
_UNCOUNTED = frozenset({RouteTaken, AttemptClaimed})
"""Of every step, so they are passed over first."""


class Meter(Instrument):
    """Thread-safe. One a process, whatever it runs."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        for store in ("journal", "leases"):
            counts.add(metrics.STORE_UNAVAILABLE, store, by=0)  # what has not happened yet is 0, and can be watched

    def notice(self, event: str, /, **fields: object) -> None:
        add = self._counts.add
        add(metrics.NOTICES, event)
        if (noticed := _NOTICED.get(event)) is not None:
            add(noticed[0], *noticed[1])
        elif (by_trigger := _BY_TRIGGER.get(event)) is not None:
            add(by_trigger, str(fields.get("trigger")))

    def started(self, state: RunState) -> None:
        self._counts.add(metrics.RUNS_STARTED, state.workflow)

    def recorded(self, state: RunState, facts: Sequence[AnyFact]) -> None:
        for fact in facts:
            if type(fact) not in _UNCOUNTED:
                self._count(state, fact)

    def _count(self, state: RunState, fact: AnyFact) -> None:
        kind = type(fact)
        add, workflow = self._counts.add, state.workflow
        if (outcome := _OUTCOMES.get(kind)) is not None:
            add(metrics.ATTEMPTS, workflow, fact.step, outcome)  # type: ignore[union-attr]
            if kind is AttemptDeadLettered:
                add(metrics.DEAD_LETTERS, workflow, fact.step)  # type: ignore[union-attr]
        elif isinstance(fact, AttemptScheduled):
            if fact.cause == "retry":
                add(metrics.RETRIES, workflow, fact.step)
        elif isinstance(fact, ClaimReleased):
            given_back = "snoozed" if fact.reason == "snooze" else "released"
            add(metrics.ATTEMPTS, workflow, fact.step, given_back)
        elif (status := _ENDS.get(kind)) is not None:
            add(metrics.RUNS_ENDED, workflow, status)
            took = (fact.at - state.started_at) / 1e6
            self._counts.observe(metrics.RUN_DURATION, took, workflow, status, run_id=state.run_id)
        elif isinstance(fact, ChildStarted):
            add(metrics.RUNS_STARTED, fact.workflow)

    def committed(self, *, groups: int, conflicts: int, seconds: float) -> None:
        self._counts.observe(metrics.COMMIT_DURATION, seconds)
        self._counts.observe(metrics.COMMIT_GROUPS, groups)
        if conflicts:
            self._counts.add(metrics.COMMIT_CONFLICTS, by=conflicts)

    def lease_left(self, seconds: float, *, at: LeaseMoment) -> None:
        self._counts.observe(metrics.LEASE_MARGIN, seconds, at)

    def taken_over(self, *, queue: str) -> None:
        self._counts.add(metrics.LEASES_TAKEN_OVER, queue)

    def reconciled(self, *, offered: int, gone: int, dropped: int, seconds: float) -> None:
        self._counts.add(metrics.RECONCILE_PASSES)
        self._counts.observe(metrics.RECONCILE_DURATION, seconds)
        self._counts.add(metrics.RECONCILE_OFFERED, by=offered)
        self._counts.add(metrics.RECONCILE_DROPPED, by=dropped)

    def step_begins(self, step: StepSeen) -> None:
        self._counts.observe(metrics.SCHEDULE_TO_START, step.waited, step.queue, run_id=step.run_id)

    def step_ends(
        self, step: StepSeen, begun: object, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        labels = (step.workflow, step.step, outcome)
        self._counts.observe(metrics.STEP_DURATION, seconds, *labels, run_id=step.run_id)
