"""Cron: whether windows are fired, and which were passed over."""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, RARE, TRIGGER, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE, TRIGGER)
_Q = queries(*_CHOICES)

_LOOPS = Row(
    title="Who looks at the clock",
    panels=(
        Panel(
            title="Loops that work",
            about="Processes whose cron loop does its work. Several are safe: a window has one run.",
            good="at least 1; 2 so that one may be away.",
            queries=(Query(_Q.own(metrics.ROLE_UP, "job", role="cron"), "{{job}}"),),
            kind="stat",
            limit=1,
            low_is_bad=True,
            width=6,
        ),
        Panel(
            title="Loops by process",
            about="1 while the loop of a process does its work.",
            good="1 everywhere.",
            queries=(Query(_Q.series(metrics.ROLE_UP, role="cron"), "{{instance}}"),),
            width=18,
        ),
    ),
)
_WINDOWS = Row(
    title="Windows",
    panels=(
        Panel(
            title="Fired in the last hour",
            about="Runs that each trigger started.",
            good="what its schedule says: 60 for one of each minute, 1 for one of each hour.",
            queries=(Query(_Q.gained(metrics.CRON_FIRED, "trigger", window="1h"), "{{trigger}}"),),
        ),
        Panel(
            title="Passed over in the last hour",
            about="Times that windows were passed over by the trigger's own rule, since nobody had looked in time.",
            good="0.",
            queries=(Query(_Q.gained(metrics.CRON_SKIPPED, "trigger", window="1h"), "{{trigger}}"),),
            limit=1,
        ),
        Panel(
            title="What the loops had to say",
            about="Notices about triggers that are held, and loops that wait or fail, in five minutes.",
            good="nothing but cron_fired.",
            queries=(Query(_Q.gained(metrics.NOTICES, "event", window=RARE, event="~cron_.*"), "{{event}}"),),
            width=24,
        ),
    ),
)

BOARD = Dashboard(
    name="cron",
    title="Cron",
    about="Are windows fired, and which were passed over?",
    variables=_CHOICES,
    rows=(_LOOPS, _WINDOWS),
)
