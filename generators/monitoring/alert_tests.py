"""``deploy/prometheus/tests/alerts.yml``: for each alert, what makes it fire and what must not.

``promtool test rules`` reads it. Series are written in promtool's own notation, a value a minute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generators.monitoring.alerts import ALERTS, Alert
from generators.monitoring.rule_files import dumped
from squidmesh.ports import metrics
from squidmesh.ports.metrics import Metric

_FLEET = {"job": "orders", "instance": "mill-1:9464"}
_OTHER = {"job": "orders", "instance": "mill-2:9464"}
Series = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``at``: minutes. ``fires``: the labels of what fires then; None where nothing must. ``why`` names the case."""

    alert: str
    why: str
    series: Series
    at: int
    fires: Mapping[str, str] | None = None


def _of(metric: Metric | str, values: str, labels: Mapping[str, str] = _FLEET, part: str = "", **more: str) -> Series:
    """One series. Raises ``ValueError`` for a label that the metric has not."""
    name = metric if isinstance(metric, str) else metric.name + part
    if not isinstance(metric, str) and not set(more) <= {*metric.labels, "le"}:
        raise ValueError(f"{name} has the labels {metric.labels}, not {sorted(more)}")
    told = ", ".join(f'{label}="{value}"' for label, value in {**labels, **more}.items())
    return {f"{name}{{{told}}}": values}


def _buckets(metric: Metric, values: Mapping[str, str], **more: str) -> Series:
    """Cumulative, by upper bound."""
    found: Series = {}
    for bound, one in values.items():
        found |= _of(metric, one, _FLEET, "_bucket", le=bound, **more)
    return found


_JOB = {"job": "orders"}
_QUEUE = {"job": "orders", "queue": "bulk"}
_WORKER = _of(metrics.SLOTS_CAPACITY, "8+0x200")
_OLD = _of(metrics.OLDEST_READY, "0+60x60", queue="bulk")
_STEADY = {"30.0": "0+0x60", "60.0": "0+60x60", "+Inf": "0+60x60"}


def _ended(failed: str, completed: str) -> Series:
    return {
        **_of(metrics.RUNS_ENDED, failed, workflow="Order", status="failed"),
        **_of(metrics.RUNS_ENDED, completed, workflow="Order", status="completed"),
    }


CASES: tuple[Case, ...] = (
    Case(
        alert="SquidMeshNoWorker",
        why="the workers are gone, and others of the job are there",
        series={
            **_of(metrics.SLOTS_CAPACITY, "8+0x5 stale"),
            **_of(metrics.SLOTS_CAPACITY, "0+0x60", _OTHER),
        },
        at=10,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshNoWorker",
        why="nobody was ever there",
        series=_of("up", "0+0x60", {"job": "orders", "instance": "mill-1:9464"}),
        at=10,
        fires={},
    ),
    Case(alert="SquidMeshNoWorker", why="one of two workers is left", series=_WORKER, at=10),
    Case(
        alert="SquidMeshNoWorker",
        why="another fleet has workers, and this one never had",
        series={**_WORKER, **_of(metrics.SLOTS_CAPACITY, "0+0x60", {"job": "only-cron", "instance": "mill-3:9464"})},
        at=10,
    ),
    Case(
        alert="SquidMeshFleetNotReady",
        why="nobody is ready",
        series={**_of(metrics.READY, "1+0x3 0+0x20"), **_of(metrics.READY, "0+0x30", _OTHER)},
        at=10,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshFleetNotReady",
        why="one is ready",
        series={**_of(metrics.READY, "0+0x30"), **_of(metrics.READY, "1+0x30", _OTHER)},
        at=20,
    ),
    Case(
        alert="SquidMeshTargetDown",
        why="it was there, and does not answer",
        series={**_of(metrics.BUILD_INFO, "1+0x5 stale", version="1", python="3.11"), **_of("up", "1+0x5 0+0x30")},
        at=15,
        fires=_FLEET,
    ),
    Case(
        alert="SquidMeshTargetDown",
        why="it is no process of ours",
        series=_of("up", "0+0x30", {"job": "node", "instance": "mill-1:9100"}),
        at=15,
    ),
    Case(alert="SquidMeshPumpNotLive", why="it hangs", series=_of(metrics.LIVE, "1+0x3 0+0x9"), at=8, fires=_FLEET),
    Case(alert="SquidMeshPumpNotLive", why="it hung for a moment", series=_of(metrics.LIVE, "1 0 1+0x9"), at=8),
    Case(
        alert="SquidMeshStoreAway",
        why="one process of two can not read the leases",
        series={
            **_of(metrics.STORES_UP, "0+0x9", store="leases"),
            **_of(metrics.STORES_UP, "1+0x9", _OTHER, store="leases"),
        },
        at=5,
        fires={"job": "orders", "store": "leases"},
    ),
    Case(alert="SquidMeshStoreAway", why="all is read", series=_of(metrics.STORES_UP, "1+0x9", store="journal"), at=5),
    Case(alert="SquidMeshQueueTooOld", why="nobody takes it", series=_OLD, at=20, fires=_QUEUE),
    Case(
        alert="SquidMeshQueueTooOld",
        why="the queue is paused",
        series={**_OLD, **_of(metrics.QUEUE_PAUSED, "1+0x60", queue="bulk")},
        at=20,
    ),
    Case(
        alert="SquidMeshQueueTooOld",
        why="it waited for four minutes, and was taken",
        series=_of(metrics.OLDEST_READY, "0+60x4 0+0x60", queue="bulk"),
        at=20,
    ),
    Case(
        alert="SquidMeshQueueGrows",
        why="ten more with each minute",
        series=_of(metrics.QUEUE_ITEMS, "1000+10x90", queue="bulk", state="ready"),
        at=60,
        fires={**_QUEUE, "state": "ready"},
    ),
    Case(
        alert="SquidMeshQueueGrows",
        why="many, and they become fewer",
        series=_of(metrics.QUEUE_ITEMS, "5000-10x90", queue="bulk", state="ready"),
        at=60,
    ),
    Case(
        alert="SquidMeshQueueGrows",
        why="they wait for their time",
        series=_of(metrics.QUEUE_ITEMS, "1000+10x90", queue="bulk", state="delayed"),
        at=60,
    ),
    Case(
        alert="SquidMeshQueueGrows",
        why="few",
        series=_of(metrics.QUEUE_ITEMS, "0+10x90", queue="bulk", state="ready"),
        at=60,
    ),
    Case(
        alert="SquidMeshQueuePaused",
        why="for seven hours",
        series=_of(metrics.QUEUE_PAUSED, "1+0x500", queue="bulk"),
        at=420,
        fires=_QUEUE,
    ),
    Case(
        alert="SquidMeshQueuePaused",
        why="for five hours",
        series=_of(metrics.QUEUE_PAUSED, "1+0x500", queue="bulk"),
        at=300,
    ),
    Case(
        alert="SquidMeshScheduleToStartSlow",
        why="steps begin after minutes",
        series=_buckets(
            metrics.SCHEDULE_TO_START, {"60.0": "0+0x60", "300.0": "0+60x60", "+Inf": "0+60x60"}, queue="bulk"
        ),
        at=30,
        fires=_QUEUE,
    ),
    Case(
        alert="SquidMeshScheduleToStartSlow",
        why="steps begin within seconds",
        series=_buckets(
            metrics.SCHEDULE_TO_START, {"5.0": "0+60x60", "60.0": "0+60x60", "+Inf": "0+60x60"}, queue="bulk"
        ),
        at=30,
    ),
    Case(
        alert="SquidMeshDeadLetters",
        why="two processes tell of the same one",
        series={**_of(metrics.DEAD_LETTERS_OPEN, "0 1+0x9"), **_of(metrics.DEAD_LETTERS_OPEN, "0 1+0x9", _OTHER)},
        at=5,
        fires=_JOB,
    ),
    Case(alert="SquidMeshDeadLetters", why="none", series=_of(metrics.DEAD_LETTERS_OPEN, "0+0x9"), at=5),
    Case(
        alert="SquidMeshRunsFail",
        why="one in ten",
        series=_ended("0+1x60", "0+9x60"),
        at=40,
        fires={"job": "orders", "workflow": "Order"},
    ),
    Case(alert="SquidMeshRunsFail", why="one in a hundred", series=_ended("0+1x60", "0+99x60"), at=40),
    Case(
        alert="SquidMeshStaleWrites",
        why="eight at once",
        series=_of(metrics.STALE_WRITES, "0+0x9 8+0x9"),
        at=12,
        fires=_JOB,
    ),
    Case(alert="SquidMeshStaleWrites", why="a single one", series=_of(metrics.STALE_WRITES, "0+0x9 1+0x9"), at=12),
    Case(
        alert="SquidMeshStaleWrites",
        why="eight, long ago",
        series=_of(metrics.STALE_WRITES, "0+0x9 8+0x90"),
        at=60,
    ),
    Case(
        alert="SquidMeshLeasesLost",
        why="eight at once",
        series=_of(metrics.LEASES_LOST, "0+0x9 8+0x9"),
        at=12,
        fires=_JOB,
    ),
    Case(alert="SquidMeshLeasesLost", why="a single one", series=_of(metrics.LEASES_LOST, "0+0x9 1+0x9"), at=12),
    Case(
        alert="SquidMeshLeasesTakenOver",
        why="a series that begins with eight",
        series=_of(metrics.LEASES_TAKEN_OVER, "_x9 8+0x9", queue="bulk"),
        at=12,
        fires=_QUEUE,
    ),
    Case(
        alert="SquidMeshLeasesTakenOver",
        why="who took eight over has died itself",
        series=_of(metrics.LEASES_TAKEN_OVER, "_x9 8+0x2 stale", queue="bulk"),
        at=16,
        fires=_QUEUE,
    ),
    Case(
        alert="SquidMeshLeasesTakenOver",
        why="eight, long ago, by one who has died",
        series=_of(metrics.LEASES_TAKEN_OVER, "8+0x12 stale", queue="bulk"),
        at=60,
    ),
    Case(
        alert="SquidMeshLeasesTakenOver",
        why="eight, which were there all the time",
        series=_of(metrics.LEASES_TAKEN_OVER, "8+0x90", queue="bulk"),
        at=60,
    ),
    Case(
        alert="SquidMeshLeasesTakenOver",
        why="eight, long ago, and a scrape that failed a window ago",
        series=_of(metrics.LEASES_TAKEN_OVER, "8+0x44 stale 8+0x60", queue="bulk"),
        at=60,
    ),
    Case(
        alert="SquidMeshLeaseMarginLow",
        why="one in ten is nearly too late",
        series=_buckets(
            metrics.LEASE_MARGIN, {"2.5": "0+6x60", "30.0": "0+6x60", "+Inf": "0+60x60"}, moment="heartbeat"
        ),
        at=30,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshLeaseMarginLow",
        why="much is left",
        series=_buckets(metrics.LEASE_MARGIN, _STEADY, moment="heartbeat"),
        at=30,
    ),
    Case(
        alert="SquidMeshLeaseMarginLow",
        why="outcomes come when a step ends, however late",
        series=_buckets(metrics.LEASE_MARGIN, {"1.0": "0+60x60", "+Inf": "0+60x60"}, moment="outcome"),
        at=30,
    ),
    Case(
        alert="SquidMeshReconcilerQuiet",
        why="passes, and then none",
        series=_of(metrics.RECONCILE_PASSES, "0+60x9 540+0x60"),
        at=40,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshReconcilerQuiet",
        why="leases are in the journal: there never was a pass",
        series=_of(metrics.RECONCILE_PASSES, "0+0x60"),
        at=40,
    ),
    Case(
        alert="SquidMeshReconcilerQuiet",
        why="one of two does it",
        series={
            **_of(metrics.RECONCILE_PASSES, "540+0x60"),
            **_of(metrics.RECONCILE_PASSES, "0+60x60", _OTHER),
        },
        at=40,
    ),
    Case(
        alert="SquidMeshRoleDown",
        why="cron fails",
        series=_of(metrics.ROLE_UP, "1 0+0x20", role="cron"),
        at=10,
        fires={**_FLEET, "role": "cron"},
    ),
    Case(alert="SquidMeshRoleDown", why="all work", series=_of(metrics.ROLE_UP, "1+0x20", role="cron"), at=10),
    Case(
        alert="SquidMeshCronNotFiring",
        why="the only loop is gone",
        series=_of(metrics.ROLE_UP, "1+0x5 stale", role="cron"),
        at=20,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshCronNotFiring",
        why="one of two is gone",
        series={
            **_of(metrics.ROLE_UP, "1+0x5 stale", role="cron"),
            **_of(metrics.ROLE_UP, "1+0x60", _OTHER, role="cron"),
        },
        at=20,
    ),
    Case(
        alert="SquidMeshCronNotFiring",
        why="there is no cron here",
        series=_of(metrics.ROLE_UP, "1+0x60", role="reconcile"),
        at=20,
    ),
    Case(
        alert="SquidMeshCronSkipped",
        why="a new process passes the first one over",
        series=_of(metrics.CRON_SKIPPED, "_x9 1+0x60", trigger="Report.nightly"),
        at=12,
        fires={"job": "orders", "trigger": "Report.nightly"},
    ),
    Case(
        alert="SquidMeshCronSkipped",
        why="one was passed over hours ago",
        series=_of(metrics.CRON_SKIPPED, "1+0x300", trigger="Report.nightly"),
        at=240,
    ),
    Case(
        alert="SquidMeshVersionsMixed",
        why="two versions for more than an hour",
        series={
            **_of(metrics.BUILD_INFO, "1+0x200", version="1.0.0", python="3.11.7"),
            **_of(metrics.BUILD_INFO, "1+0x200", _OTHER, version="1.1.0", python="3.11.7"),
        },
        at=90,
        fires=_JOB,
    ),
    Case(
        alert="SquidMeshVersionsMixed",
        why="one version on two Pythons",
        series={
            **_of(metrics.BUILD_INFO, "1+0x200", version="1.0.0", python="3.11.7"),
            **_of(metrics.BUILD_INFO, "1+0x200", _OTHER, version="1.0.0", python="3.12.1"),
        },
        at=90,
    ),
)


def write() -> str:
    return dumped(
        {
            "rule_files": ["../rules/recording.yml", "../rules/alerts.yml"],
            "evaluation_interval": "1m",
            "tests": [_test(case) for case in CASES],
        }
    )


def _test(case: Case) -> dict[str, Any]:
    (alert,) = (one for one in ALERTS if one.name == case.alert)
    expected = [] if case.fires is None else [_expected(alert, case.fires)]
    return {
        "name": f"{case.alert}: {case.why}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": expected}],
    }


def _expected(alert: Alert, labels: Mapping[str, str]) -> dict[str, Any]:
    def told(text: str) -> str:
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)

    return {
        "exp_labels": {**labels, "severity": alert.severity},
        "exp_annotations": {
            "summary": told(alert.summary),
            "description": told(alert.description),
            "runbook_url": alert.runbook,
        },
    }
