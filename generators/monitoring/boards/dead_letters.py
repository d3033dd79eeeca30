"""Dead letters: what was given up, and what led to it."""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, RARE, WORKFLOW, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE, WORKFLOW)
_Q = queries(*_CHOICES)

_OPEN = Row(
    title="Open",
    panels=(
        Panel(
            title="Open now",
            about="Dead letters that wait for a person, as the journal has them.",
            good="0. Look with squidmesh dead-letters list.",
            queries=(Query(_Q.stored(metrics.DEAD_LETTERS_OPEN, "job"), "{{job}}"),),
            kind="stat",
            limit=1,
            width=6,
        ),
        Panel(
            title="Open",
            about="The same over time.",
            good="0, and where it rose, it falls: somebody has replayed or discarded them.",
            queries=(Query(_Q.stored(metrics.DEAD_LETTERS_OPEN, "job"), "{{job}}"),),
            limit=1,
            width=18,
        ),
    ),
)
_CAUSES = Row(
    title="How they came",
    panels=(
        Panel(
            title="Given up in the last hour",
            about="Attempts that became dead letters, by step. A worker that dies takes its count with it.",
            good="nothing.",
            queries=(Query(_Q.gained(metrics.DEAD_LETTERS, "workflow", "step", window="1h"), "{{workflow}}.{{step}}"),),
            kind="bargauge",
            limit=1,
        ),
        Panel(
            title="Deliveries lost",
            about="Deliveries that ended because their process died, in five minutes: each brings an attempt nearer.",
            good="0. The step with the highest line kills its workers: memory, a crash in C, os._exit.",
            queries=(
                Query(
                    _Q.gained(metrics.ATTEMPTS, "workflow", "step", window=RARE, outcome="~lost|dead"),
                    "{{workflow}}.{{step}}",
                ),
            ),
        ),
        Panel(
            title="Taken over",
            about="Claims on attempts whose lease had ended without a word, in five minutes.",
            good="0 but for workers that were killed.",
            queries=(Query(_Q.gained(metrics.LEASES_TAKEN_OVER, "queue", window=RARE), "{{queue}}"),),
            width=24,
        ),
    ),
)

BOARD = Dashboard(
    name="dead_letters",
    title="Dead letters",
    about="What was given up after too many lost deliveries, and what led to it.",
    variables=_CHOICES,
    rows=(_OPEN, _CAUSES),
)
