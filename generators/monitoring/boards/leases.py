"""Leases: whether who works keeps its work, and whether what the backend holds is what the journal says."""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, QUEUE, RARE, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE, QUEUE)
_Q = queries(*_CHOICES)

_KEPT = Row(
    title="Are leases kept?",
    panels=(
        Panel(
            title="What is left of a lease",
            about="When a heartbeat was acknowledged, or an outcome recorded: one in a hundred had less, and half. "
            "What is below −5 s is drawn there.",
            good="about three quarters of the lease, and never near 0. Under 0 it was too late.",
            queries=(
                Query(f"clamp_min({_Q.quantile(0.01, metrics.LEASE_MARGIN, 'moment')}, -5)", "one in 100, {{moment}}"),
                Query(f"clamp_min({_Q.quantile(0.5, metrics.LEASE_MARGIN, 'moment')}, -5)", "half, {{moment}}"),
            ),
            unit="s",
            limit=5,
            low_is_bad=True,
        ),
        Panel(
            title="Leases",
            about="Leases that live, by the lease backend; and those that processes say they hold.",
            good="both nearly the same. Leases that nobody holds are those of dead workers, until they end.",
            queries=(
                Query(_Q.stored(metrics.LEASES_ACTIVE, "job"), "live {{job}}"),
                Query(_Q.own(metrics.LEASES_HELD, "job"), "held {{job}}"),
            ),
        ),
        Panel(
            title="Lost and taken over",
            about="Leases that ended while their step ran, and claims on attempts whose lease had ended, in 5 minutes.",
            good="0. Lost ones: a worker or the lease backend stalls. Taken over: a worker died.",
            queries=(
                Query(_Q.gained(metrics.LEASES_LOST, "job", window=RARE), "lost {{job}}"),
                Query(_Q.gained(metrics.LEASES_TAKEN_OVER, "queue", window=RARE), "taken over {{queue}}"),
            ),
        ),
        Panel(
            title="Refused",
            about="Outcomes under an old claim, and grants that the journal refused, a second.",
            good="0, or single ones: that is the protection at work, and nothing is lost.",
            queries=(
                Query(_Q.rate(metrics.STALE_WRITES, "job"), "stale writes {{job}}"),
                Query(_Q.rate(metrics.CLAIMS_REFUSED, "job"), "claims {{job}}"),
            ),
            unit="ops",
        ),
        Panel(
            title="Heartbeats without an answer",
            about="Rounds of heartbeats that failed, a second.",
            good="0.",
            queries=(Query(_Q.rate(metrics.HEARTBEAT_FAILURES, "instance"), "{{instance}}"),),
            unit="ops",
            width=24,
            height=6,
        ),
    ),
)
_RECONCILER = Row(
    title="Reconciler",
    panels=(
        Panel(
            title="Passes",
            about="Passes of the reconciler, a second. There are none where leases are in the journal.",
            good="about one a second for each worker, or as reconcile_every says.",
            queries=(Query(_Q.rate(metrics.RECONCILE_PASSES, "instance"), "{{instance}}"),),
            unit="ops",
        ),
        Panel(
            title="How long a pass takes",
            about="99 of 100 passes took no longer.",
            good="below a second. A full pass, after the lease backend was emptied, may take long.",
            queries=(Query(_Q.quantile(0.99, metrics.RECONCILE_DURATION, "job"), "{{job}}"),),
            unit="s",
        ),
        Panel(
            title="Offered and removed",
            about="Items that passes offered, most of which the backend knew, and items that they removed, a second.",
            good="few removed. A hill of offers follows a lease backend that was emptied.",
            queries=(
                Query(_Q.rate(metrics.RECONCILE_OFFERED, "job"), "offered {{job}}"),
                Query(_Q.rate(metrics.RECONCILE_DROPPED, "job"), "removed {{job}}"),
            ),
            unit="ops",
            width=24,
        ),
    ),
)

BOARD = Dashboard(
    name="leases",
    title="Leases",
    about="Does who works keep its work, and does the lease backend hold what the journal says?",
    variables=_CHOICES,
    rows=(_KEPT, _RECONCILER),
)
