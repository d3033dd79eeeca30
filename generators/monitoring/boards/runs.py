"""Runs: how they end, how long they take, and which steps fail."""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, WORKFLOW, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE, WORKFLOW)
_Q = queries(*_CHOICES)
_FAILED = _Q.rate(metrics.RUNS_ENDED, "workflow", status="failed")
_ALL = _Q.rate(metrics.RUNS_ENDED, "workflow")

_RUNS = Row(
    title="Runs",
    panels=(
        Panel(
            title="Runs by status",
            about="Runs that go on, as the journal has them.",
            good="running comes and goes. Waiting and paused ones wait for a person, an event or a time; failing and "
            "compensating ones should be few.",
            queries=(
                Query(
                    _Q.stored(metrics.RUNS, "status", status="~running|waiting|retrying|paused|failing|compensating"),
                    "{{status}}",
                ),
            ),
            stack=True,
        ),
        Panel(
            title="Ended",
            about="Runs that were brought to an end, a second.",
            good="completed, and what else your workflows mean to end as.",
            queries=(Query(_Q.rate(metrics.RUNS_ENDED, "workflow", "status"), "{{workflow}} {{status}}"),),
            unit="ops",
            stack=True,
        ),
        Panel(
            title="Share that fails",
            about="Of the runs that ended, how many failed.",
            good="near 0; above 5 % an alert says so.",
            queries=(Query(f"{_FAILED} / {_ALL}", "{{workflow}}"),),
            unit="percentunit",
            limit=0.05,
        ),
        Panel(
            title="Duration",
            about="From a run's start to its end: half, and 99 of 100.",
            good="steady. It has every wait for a person or a time in it.",
            queries=(
                Query(_Q.quantile(0.5, metrics.RUN_DURATION, "workflow"), "half {{workflow}}"),
                Query(_Q.quantile(0.99, metrics.RUN_DURATION, "workflow"), "99 of 100 {{workflow}}"),
            ),
            unit="s",
            exemplars=True,
        ),
    ),
)
_STEPS = Row(
    title="Steps",
    panels=(
        Panel(
            title="Attempts that did not complete",
            about="Failed, timed out, lost, dead or cancelled, a second.",
            good="few, and none that lasts.",
            queries=(
                Query(
                    _Q.rate(
                        metrics.ATTEMPTS, "workflow", "step", "outcome", outcome="~failed|timed_out|lost|dead|cancelled"
                    ),
                    "{{workflow}}.{{step}} {{outcome}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Retries",
            about="Attempts that were scheduled because one before them failed, a second.",
            good="few. Many mean that something which your steps call is unwell.",
            queries=(Query(_Q.rate(metrics.RETRIES, "workflow", "step"), "{{workflow}}.{{step}}"),),
            unit="ops",
        ),
        Panel(
            title="How long a step runs",
            about="99 of 100 deliveries of each step ran no longer than this.",
            good="steady, and well below the step's time-out.",
            queries=(Query(_Q.quantile(0.99, metrics.STEP_DURATION, "workflow", "step"), "{{workflow}}.{{step}}"),),
            unit="s",
            exemplars=True,
        ),
        Panel(
            title="Busy with",
            about="Slots that each step held, on average.",
            good="as you expect: the step that holds most of the fleet stands on top.",
            queries=(
                Query(
                    _Q.rate(metrics.STEP_DURATION, "workflow", "step", part="_sum"),
                    "{{workflow}}.{{step}}",
                ),
            ),
            stack=True,
        ),
    ),
)

BOARD = Dashboard(
    name="runs",
    title="Runs",
    about="How runs end, how long they take, and which steps fail.",
    variables=_CHOICES,
    rows=(_RUNS, _STEPS),
)
