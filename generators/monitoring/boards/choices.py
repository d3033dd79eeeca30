"""What the reader of a dashboard may choose among."""

from __future__ import annotations

from generators.monitoring.grafana import Variable
from generators.monitoring.promql import Queries
from squidmesh.ports import metrics

RATE = "$__rate_interval"
"""Grafana's own: at least four scrapes."""
RARE = "5m"
"""For what happens seldom: a rate does not see the first event of a series, and so shows nothing of a single one."""
JOB = Variable("job", metrics.BUILD_INFO.name, "Fleet")
INSTANCE = Variable("instance", metrics.BUILD_INFO.name, "Process")
QUEUE = Variable("queue", metrics.QUEUE_ITEMS.name, "Queue")
WORKFLOW = Variable("workflow", metrics.RUNS_STARTED.name, "Workflow")
TRIGGER = Variable("trigger", metrics.CRON_FIRED.name, "Trigger")


def queries(*chosen: Variable) -> Queries:
    """Expressions that are narrowed by what was chosen."""
    return Queries(variables=tuple(one.label for one in chosen), window=RATE)
