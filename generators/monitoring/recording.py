"""Recording rules: what is asked for often, once for the fleet. Names are level:metric:how, as Prometheus advises."""

from __future__ import annotations

from dataclasses import dataclass

from generators.monitoring.promql import Queries, check
from squidmesh.ports import metrics

_Q = Queries()


@dataclass(frozen=True, slots=True)
class Recorded:
    """``labels``: those that its series have."""

    name: str
    expression: str
    labels: tuple[str, ...]


def _recorded(name: str, expression: str, *labels: str) -> Recorded:
    return Recorded(name, check(expression), labels)


def _ended(status: str = "") -> str:
    wanted = {"status": status} if status else {}
    return _Q.rate(metrics.RUNS_ENDED, "job", "workflow", window="15m", **wanted)


QUEUE_AGE = _recorded(
    f"job_queue:{metrics.OLDEST_READY.name}:max", _Q.stored(metrics.OLDEST_READY, "job", "queue"), "job", "queue"
)
QUEUE_ITEMS = _recorded(
    f"job_queue_state:{metrics.QUEUE_ITEMS.name}:max",
    _Q.stored(metrics.QUEUE_ITEMS, "job", "queue", "state"),
    "job",
    "queue",
    "state",
)
QUEUE_PAUSED = _recorded(
    f"job_queue:{metrics.QUEUE_PAUSED.name}:max", _Q.stored(metrics.QUEUE_PAUSED, "job", "queue"), "job", "queue"
)
SLOTS = _recorded(f"job:{metrics.SLOTS_CAPACITY.name}:sum", _Q.own(metrics.SLOTS_CAPACITY, "job"), "job")
WAITED = _recorded(
    f"job_queue:{metrics.SCHEDULE_TO_START.name}:p99_5m",
    _Q.quantile(0.99, metrics.SCHEDULE_TO_START, "job", "queue"),
    "job",
    "queue",
)
MARGIN = _recorded(
    f"job:{metrics.LEASE_MARGIN.name}:p01_10m",
    _Q.quantile(0.01, metrics.LEASE_MARGIN, "job", window="10m", moment="heartbeat"),
    "job",
)
FAILING = _recorded(
    f"job_workflow:{metrics.RUNS_ENDED.name}:failed_share_15m", f"{_ended('failed')} / {_ended()}", "job", "workflow"
)

RECORDED: tuple[Recorded, ...] = (QUEUE_AGE, QUEUE_ITEMS, QUEUE_PAUSED, SLOTS, WAITED, MARGIN, FAILING)
NAMES = {one.name: one.labels for one in RECORDED}
