"""The alerts: each says what is wrong for a person who was woken, and where the rest is told (docs/runbooks.md).

None rests on the name of a scrape job: fleets are told apart by ``job``, whatever it is. A text names labels and no
value, since a text that changes is a new message to whoever is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from generators.monitoring.promql import Queries, check
from generators.monitoring.recording import FAILING, MARGIN, NAMES, QUEUE_AGE, QUEUE_ITEMS, QUEUE_PAUSED, WAITED
from squidmesh.ports import metrics

RUNBOOKS = "docs/runbooks.md"
_Q = Queries()
_READY = f'{QUEUE_ITEMS.name}{{state="ready"}}'
_NOT_PAUSED = f"unless on (job, queue) {QUEUE_PAUSED.name} == 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """``wait``: how long it has to be so. ``critical`` wakes somebody, ``warning`` is for the day, ``info`` is told."""

    name: str
    severity: Literal["critical", "warning", "info"]
    expression: str
    wait: str
    summary: str
    description: str

    def __post_init__(self) -> None:
        check(self.expression, NAMES)

    @property
    def runbook(self) -> str:
        return f"{RUNBOOKS}#{self.name.lower()}"


def _had(metric: metrics.Metric, window: str, **wanted: str) -> str:
    return f"sum by (job) (max_over_time({_Q.series(metric, **wanted)}[{window}]))"


_SLOTS = metrics.SLOTS_CAPACITY
_CRON = {"role": "cron"}

ALERTS: tuple[Alert, ...] = (
    Alert(
        name="SquidMeshNoWorker",
        severity="critical",
        expression=f"({_had(_SLOTS, '1h')} > 0 unless on (job) {_Q.own(_SLOTS, 'job')} > 0)"
        f" or (absent({_Q.series(_SLOTS)}) unless on () max({_had(_SLOTS, '1h')}))",
        wait="2m",
        summary="No worker of {{ $labels.job }} is up",
        description="Nothing of this fleet is scraped that has a slot: no step runs, and what is started waits.",
    ),
    Alert(
        name="SquidMeshFleetNotReady",
        severity="critical",
        expression=f"{_Q.own(metrics.READY, 'job', how='max')} == 0",
        wait="5m",
        summary="No process of {{ $labels.job }} is ready",
        description="They are up, and not one can count on its stores, or all are leaving.",
    ),
    Alert(
        name="SquidMeshTargetDown",
        severity="warning",
        expression="up == 0 and on (job, instance) "
        f"max by (job, instance) (max_over_time({_Q.series(metrics.BUILD_INFO)}[1h]))",
        wait="5m",
        summary="{{ $labels.instance }} of {{ $labels.job }} does not answer",
        description="It was scraped within the last hour, is still meant to be there, and does not answer.",
    ),
    Alert(
        name="SquidMeshPumpNotLive",
        severity="critical",
        expression=f"{_Q.series(metrics.LIVE)} == 0",
        wait="2m",
        summary="The pump of {{ $labels.instance }} does not turn",
        description="The process is there and does nothing: it claims nothing, and records nothing that it holds.",
    ),
    Alert(
        name="SquidMeshStoreAway",
        severity="critical",
        expression=f"{_Q.stored(metrics.STORES_UP, 'job', 'store', how='min')} == 0",
        wait="1m",
        summary="The {{ $labels.store }} of {{ $labels.job }} do not answer",
        description="At least one process can not read them. Without the journal nothing goes on; without the leases, "
        "nothing new is claimed.",
    ),
    Alert(
        name="SquidMeshQueueTooOld",
        severity="warning",
        expression=f"{QUEUE_AGE.name} > 300 {_NOT_PAUSED}",
        wait="5m",
        summary="Queue {{ $labels.queue }}: work is ready and nobody takes it",
        description="Its oldest item has been ready for more than 5 minutes, and the queue is not paused.",
    ),
    Alert(
        name="SquidMeshQueueGrows",
        severity="warning",
        expression=f"({_READY} > 1000 and deriv({_READY}[30m]) * 3600 > 100) {_NOT_PAUSED}",
        wait="15m",
        summary="Queue {{ $labels.queue }} grows",
        description="More than 1,000 items are ready, and there are 100 more with each hour.",
    ),
    Alert(
        name="SquidMeshQueuePaused",
        severity="info",
        expression=f"{QUEUE_PAUSED.name} == 1",
        wait="6h",
        summary="Queue {{ $labels.queue }} has been paused for 6 hours",
        description="Somebody paused it; nothing of it is claimed until somebody resumes it.",
    ),
    Alert(
        name="SquidMeshScheduleToStartSlow",
        severity="warning",
        expression=f"{WAITED.name} > 60",
        wait="10m",
        summary="Queue {{ $labels.queue }}: one step in a hundred begins a minute late",
        description="The 99th percentile of the time from ready to started is above 60 s.",
    ),
    Alert(
        name="SquidMeshDeadLetters",
        severity="warning",
        expression=f"{_Q.stored(metrics.DEAD_LETTERS_OPEN, 'job')} > 0",
        wait="1m",
        summary="Dead letters of {{ $labels.job }} wait for a person",
        description="Attempts were given up after too many lost deliveries. Their runs wait until somebody decides.",
    ),
    Alert(
        name="SquidMeshRunsFail",
        severity="warning",
        expression=f"{FAILING.name} > 0.05",
        wait="15m",
        summary="Workflow {{ $labels.workflow }}: more than one run in twenty fails",
        description="Of the runs that ended in the last 15 minutes, more than 5 % failed.",
    ),
    Alert(
        name="SquidMeshStaleWrites",
        severity="warning",
        expression=f"{_Q.gained(metrics.STALE_WRITES, 'job', window='15m')} > 3",
        wait="0s",
        summary="Workers of {{ $labels.job }} write after their leases",
        description="Several outcomes came under an old claim and were refused. Nothing is lost; work is done twice.",
    ),
    Alert(
        name="SquidMeshLeasesLost",
        severity="warning",
        expression=f"{_Q.gained(metrics.LEASES_LOST, 'job', window='15m')} > 3",
        wait="0s",
        summary="Workers of {{ $labels.job }} lose leases while their steps run",
        description="Their heartbeats do not arrive in time: workers stall, or the lease backend does.",
    ),
    Alert(
        name="SquidMeshLeasesTakenOver",
        severity="warning",
        expression=f"{_Q.gained(metrics.LEASES_TAKEN_OVER, 'job', 'queue', window='15m')} > 3",
        wait="0s",
        summary="Queue {{ $labels.queue }}: workers die with work in hand",
        description="Attempts were claimed again whose lease before had ended without a word.",
    ),
    Alert(
        name="SquidMeshLeaseMarginLow",
        severity="warning",
        expression=f"{MARGIN.name} < 5",
        wait="10m",
        summary="Leases of {{ $labels.job }} are nearly over when they are extended",
        description="One heartbeat in a hundred was acknowledged with less than 5 s of its lease left.",
    ),
    Alert(
        name="SquidMeshReconcilerQuiet",
        severity="warning",
        expression=f"sum by (job) (increase({_Q.series(metrics.RECONCILE_PASSES)}[10m])) == 0"
        f" and on (job) {_had(metrics.RECONCILE_PASSES, '1d')} > 0",
        wait="5m",
        summary="Nobody reconciles {{ $labels.job }}",
        description="There was no pass for 10 minutes, and there were some before. What the lease backend has "
        "forgotten, nobody offers again.",
    ),
    Alert(
        name="SquidMeshRoleDown",
        severity="warning",
        expression=f"{_Q.series(metrics.ROLE_UP)} == 0",
        wait="5m",
        summary="{{ $labels.role }} on {{ $labels.instance }} does not do its work",
        description="This role of the process fails again and again; the rest of the process goes on.",
    ),
    Alert(
        name="SquidMeshCronNotFiring",
        severity="critical",
        expression=f"{_had(metrics.ROLE_UP, '1d', **_CRON)} > 0"
        f" unless on (job) {_Q.own(metrics.ROLE_UP, 'job', how='max', **_CRON)} == 1",
        wait="5m",
        summary="Nobody looks after the cron triggers of {{ $labels.job }}",
        description="There was a cron loop within the last day, and now none works: no window is fired.",
    ),
    Alert(
        name="SquidMeshCronSkipped",
        severity="warning",
        expression=f"{_Q.gained(metrics.CRON_SKIPPED, 'job', 'trigger', window='1h')} > 0",
        wait="0s",
        summary="Windows of {{ $labels.trigger }} were passed over",
        description="Nobody looked at the clock in time, and the trigger's own rule says that such windows get no run.",
    ),
    Alert(
        name="SquidMeshVersionsMixed",
        severity="info",
        expression=f"count by (job) (count by (job, version) ({_Q.series(metrics.BUILD_INFO)})) > 1",
        wait="1h",
        summary="{{ $labels.job }} has run several versions for an hour",
        description="Two versions work beside each other while a deploy goes on. This one has not ended.",
    ),
)
"""In the order in which they stand in the file and on the page of runbooks."""
