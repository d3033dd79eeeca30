"""Queues: what waits, for how long, and who takes it."""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, QUEUE, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE, QUEUE)
_Q = queries(*_CHOICES)

_WAITS = Row(
    title="What waits",
    panels=(
        Panel(
            title="Oldest ready",
            about="How long the oldest item has been ready and not leased.",
            good="seconds, and 0 where all is taken. A line that climbs with the clock: nobody takes any.",
            queries=(Query(_Q.stored(metrics.OLDEST_READY, "queue"), "{{queue}}"),),
            unit="s",
            limit=300,
        ),
        Panel(
            title="Ready",
            about="Items that could be claimed now.",
            good="it falls back after each peak. Where it only grows, there are too few slots.",
            queries=(Query(_Q.stored(metrics.QUEUE_ITEMS, "queue", state="ready"), "{{queue}}"),),
        ),
        Panel(
            title="Leased",
            about="Items that somebody works on.",
            good="about as many as the busy slots that serve the queue.",
            queries=(Query(_Q.stored(metrics.QUEUE_ITEMS, "queue", state="leased"), "{{queue}}"),),
        ),
        Panel(
            title="Delayed",
            about="Items that may be claimed later: retries, waits, starts with a delay.",
            good="as your workflows are. A sudden hill is mostly retries: see Runs.",
            queries=(Query(_Q.stored(metrics.QUEUE_ITEMS, "queue", state="delayed"), "{{queue}}"),),
        ),
        Panel(
            title="Paused",
            about="1 where somebody has paused the queue.",
            good="0, or a pause that you know of.",
            queries=(Query(_Q.stored(metrics.QUEUE_PAUSED, "queue"), "{{queue}}"),),
            width=24,
            height=6,
        ),
    ),
)
_TAKEN = Row(
    title="How fast it is taken",
    panels=(
        Panel(
            title="Ready to started",
            about="From the moment that an attempt could be claimed to the start of its step: half, and 99 of 100.",
            good="milliseconds to a second. The points are runs: open one by its id with squidmesh runs show.",
            queries=(
                Query(_Q.quantile(0.5, metrics.SCHEDULE_TO_START, "queue"), "half {{queue}}"),
                Query(_Q.quantile(0.99, metrics.SCHEDULE_TO_START, "queue"), "99 of 100 {{queue}}"),
            ),
            unit="s",
            limit=60,
            exemplars=True,
        ),
        Panel(
            title="Started",
            about="Steps that began, a second.",
            good="it follows what comes in.",
            queries=(Query(_Q.rate(metrics.SCHEDULE_TO_START, "queue", part="_count"), "{{queue}}"),),
            unit="ops",
            stack=True,
        ),
        Panel(
            title="Now",
            about="Each queue in this moment, by state.",
            good="little is ready.",
            queries=(Query(_Q.stored(metrics.QUEUE_ITEMS, "queue", "state"), "{{queue}} {{state}}"),),
            kind="table",
            width=24,
            height=6,
        ),
    ),
)

BOARD = Dashboard(
    name="queues",
    title="Queues",
    about="What waits, for how long, and how fast it is taken.",
    variables=_CHOICES,
    rows=(_WAITS, _TAKEN),
)
