"""Every metric that there is, as data: ``docs/metrics.md`` and the exposition are made from this table.

Base units, names that end in ``_total`` for counters, and labels whose values are few: queues, workflows, steps and
triggers up to a limit, and words of this page. Never a run id (that is an exemplar), never a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
OTHER = "other"
"""The value of a label beyond the limit of values."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)
_MARGIN = (-60, -10, -1, 0, 0.1, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 600)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """``unit``: as it stands in the name, empty for a count. ``buckets``: upper bounds, of a histogram. ``stores``: it
    is read from the stores at each scrape, so every worker of a fleet tells the same; others count what their own
    process does.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    stores: bool = False


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"squidmesh_{name}_total", kind="counter", help=help, labels=labels)


def _gauge(name: str, help: str, *labels: str, unit: str = "", stores: bool = False) -> Metric:
    return Metric(name=f"squidmesh_{name}", kind="gauge", help=help, labels=labels, unit=unit, stores=stores)


def _histogram(name: str, help: str, *labels: str, buckets: tuple[float, ...], unit: str = "") -> Metric:
    return Metric(name=f"squidmesh_{name}", kind="histogram", help=help, labels=labels, buckets=buckets, unit=unit)


RUNS_STARTED = _counter("runs_started", "Runs that this process started.", "workflow")
RUNS_ENDED = _counter("runs_ended", "Runs that this process brought to their end.", "workflow", "status")
RUN_DURATION = _histogram(
    "run_duration_seconds", "From a run's start to its end.", "workflow", "status", buckets=_LONG, unit="seconds"
)
ATTEMPTS = _counter(
    "attempts",
    "What became of attempts, as recorded: completed, failed, timed_out, cancelled, lost, dead, or given back unspent: "
    "snoozed, released.",
    "workflow",
    "step",
    "outcome",
)
STEP_DURATION = _histogram(
    "step_duration_seconds",
    "How long the code of a step ran: completed, failed, snoozed, unstarted or lost.",
    "workflow",
    "step",
    "outcome",
    buckets=_SECONDS,
    unit="seconds",
)
SCHEDULE_TO_START = _histogram(
    "schedule_to_start_seconds",
    "From the moment that an attempt could be claimed to the start of its step.",
    "queue",
    buckets=_SECONDS,
    unit="seconds",
)
RETRIES = _counter("retries", "Attempts that were scheduled because one before them failed.", "workflow", "step")
DEAD_LETTERS = _counter("dead_letters", "Attempts that were given up as dead letters.", "workflow", "step")
STALE_WRITES = _counter("stale_writes_refused", "Outcomes that came under an old claim, and changed nothing.")
CLAIMS_REFUSED = _counter("claims_refused", "Grants that the journal refused to record.")
LEASES_LOST = _counter("leases_lost", "Leases of this process that ended while their step still ran.")
LEASES_TAKEN_OVER = _counter(
    "leases_taken_over", "Claims on attempts whose lease before had ended without a word.", "queue"
)
LEASE_MARGIN = _histogram(
    "lease_margin_seconds",
    "What was left of a lease when a heartbeat was acknowledged or an outcome was recorded; under 0, it was too late.",
    "moment",
    buckets=_MARGIN,
    unit="seconds",
)
HEARTBEAT_FAILURES = _counter("heartbeat_failures", "Rounds of heartbeats that got no answer.")
COMMIT_DURATION = _histogram(
    "commit_duration_seconds", "One batch of the journal's, waiting included.", buckets=_SECONDS, unit="seconds"
)
COMMIT_GROUPS = _histogram("commit_groups", "Groups in a batch: mostly one a run.", buckets=_BATCH)
COMMIT_CONFLICTS = _counter("commit_conflicts", "Groups that had to be decided again, since another writer was first.")
STORE_UNAVAILABLE = _counter("store_unavailable", "Calls that found the journal or the leases away.", "store")
RECONCILE_PASSES = _counter("reconcile_passes", "Passes of the reconciler. None on leases in the journal.")
RECONCILE_DURATION = _histogram(
    "reconcile_duration_seconds", "One pass of the reconciler.", buckets=_SECONDS, unit="seconds"
)
RECONCILE_OFFERED = _counter("reconcile_offered", "Items that passes offered; the backend knew most of them.")
RECONCILE_DROPPED = _counter("reconcile_dropped", "Items that passes removed, since the journal has closed them.")
CRON_FIRED = _counter("cron_fired", "Runs that cron triggers started.", "trigger")
CRON_SKIPPED = _counter("cron_skipped", "Times that windows were passed over, by the trigger's own rule.", "trigger")
NOTICES = _counter("notices", "What the runtime had to say, by the word that the log has too.", "event")
SLOTS_BUSY = _gauge("slots_busy", "Slots of this process that have a step.")
SLOTS_CAPACITY = _gauge("slots_capacity", "Slots of this process.")
LEASES_HELD = _gauge("leases_held", "Leases that this process holds.")
LEASES_ACTIVE = _gauge("leases_active", "Leases that live, of the whole fleet.", stores=True)
QUEUE_ITEMS = _gauge("queue_items", "Items of a queue: ready, delayed or leased.", "queue", "state", stores=True)
OLDEST_READY = _gauge(
    "queue_oldest_ready_age_seconds",
    "How long the oldest item of a queue has been ready and not leased; 0 where there is none.",
    "queue",
    unit="seconds",
    stores=True,
)
QUEUE_PAUSED = _gauge("queue_paused", "1 where somebody has paused the queue.", "queue", stores=True)
RUNS = _gauge("runs", "Runs by status.", "status", stores=True)
DEAD_LETTERS_OPEN = _gauge("dead_letters_open", "Dead letters that wait for a person.", stores=True)
STORES_UP = _gauge("stores_up", "1 where this scrape could read the journal, and the leases.", "store", stores=True)
LOOK_DURATION = _gauge("stores_look_seconds", "How long the last look at the stores took.", unit="seconds", stores=True)
LIVE = _gauge("live", "1 while /livez says so.")
READY = _gauge("ready", "1 while /readyz says so.")
ROLE_UP = _gauge("role_up", "1 while a role of this process, cron or reconcile, does its work.", "role")
BUILD_INFO = _gauge("build_info", "Always 1: which version runs here.", "version", "python")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""In the order of this page."""
