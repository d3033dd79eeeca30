"""Fleet: is somebody there, do the stores answer, and is there room?"""

from __future__ import annotations

from generators.monitoring.boards.choices import INSTANCE, JOB, RARE, queries
from generators.monitoring.grafana import Dashboard, Panel, Query, Row
from squidmesh.ports import metrics

_CHOICES = (JOB, INSTANCE)
_Q = queries(*_CHOICES)

_STANDING = Row(
    title="Is all well?",
    panels=(
        Panel(
            title="Ready",
            about="Processes that are ready, workers and cron alike.",
            good="as many as you run; fewer for moments while a deploy goes on.",
            queries=(Query(_Q.own(metrics.READY, "job"), "{{job}}"),),
            kind="stat",
            limit=1,
            low_is_bad=True,
            width=4,
            height=5,
        ),
        Panel(
            title="Live",
            about="Processes whose pump turns, or waits for a store.",
            good="as many as you run. Fewer than answer means that one is stuck.",
            queries=(Query(_Q.own(metrics.LIVE, "job"), "{{job}}"),),
            kind="stat",
            limit=1,
            low_is_bad=True,
            width=4,
            height=5,
        ),
        Panel(
            title="Stores up",
            about="What the process that sees least of the stores sees.",
            good="1 for the journal and 1 for the leases.",
            queries=(Query(_Q.stored(metrics.STORES_UP, "store", how="min"), "{{store}}"),),
            kind="stat",
            limit=1,
            low_is_bad=True,
            width=4,
            height=5,
        ),
        Panel(
            title="Dead letters",
            about="Attempts that were given up and wait for a person.",
            good="0.",
            queries=(Query(_Q.stored(metrics.DEAD_LETTERS_OPEN, "job"), "{{job}}"),),
            kind="stat",
            limit=1,
            width=4,
            height=5,
        ),
        Panel(
            title="Oldest ready",
            about="How long the oldest item of any queue has been ready and not leased. A paused queue counts.",
            good="below a few seconds.",
            queries=(Query(_Q.stored(metrics.OLDEST_READY, "job"), "{{job}}"),),
            unit="s",
            kind="stat",
            limit=300,
            width=4,
            height=5,
        ),
        Panel(
            title="Versions",
            about="Processes by the version that they run.",
            good="one version; two while a deploy goes on.",
            queries=(
                Query(f"count by (version, python) ({_Q.series(metrics.BUILD_INFO)})", "{{version}}, {{python}}"),
            ),
            kind="stat",
            width=4,
            height=5,
        ),
    ),
)
_WORK = Row(
    title="Work",
    panels=(
        Panel(
            title="Slots",
            about="Slots that have a step, and slots that there are.",
            good="busy stays below the capacity. At the capacity for long, work waits: see Queues.",
            queries=(
                Query(_Q.own(metrics.SLOTS_BUSY, "job"), "busy {{job}}"),
                Query(_Q.own(metrics.SLOTS_CAPACITY, "job"), "capacity {{job}}"),
            ),
        ),
        Panel(
            title="Busy slots by process",
            about="Slots of each process that have a step.",
            good="all alike. One that stays at 0 while others are busy gets no work; one that never moves is stuck.",
            queries=(Query(_Q.series(metrics.SLOTS_BUSY), "{{instance}}"),),
            stack=True,
        ),
        Panel(
            title="Attempts",
            about="What became of attempts, a second.",
            good="nearly all completed. Failed ones are retried; lost ones had a worker that died.",
            queries=(Query(_Q.rate(metrics.ATTEMPTS, "outcome"), "{{outcome}}"),),
            unit="ops",
            stack=True,
        ),
        Panel(
            title="Runs started and ended",
            about="Runs that these processes started (cron triggers, parents) and brought to an end, a second. What a "
            "host starts in a process of its own is not among the starts.",
            good="the ends follow what comes in. Where they do not, runs pile up or wait for somebody: see Runs.",
            queries=(
                Query(_Q.rate(metrics.RUNS_STARTED, "job"), "started {{job}}"),
                Query(_Q.rate(metrics.RUNS_ENDED, "job"), "ended {{job}}"),
            ),
            unit="ops",
        ),
    ),
)
_STORES = Row(
    title="Stores",
    panels=(
        Panel(
            title="Commits",
            about="How long a batch of the journal took, waiting included: half of them, and 99 of 100.",
            good="the 99th below 100 ms. It bounds how many steps in a row a run can do in a second.",
            queries=(
                Query(_Q.quantile(0.5, metrics.COMMIT_DURATION), "half"),
                Query(_Q.quantile(0.99, metrics.COMMIT_DURATION), "99 of 100"),
            ),
            unit="s",
            limit=1,
        ),
        Panel(
            title="Groups in a batch",
            about="How many groups, mostly one a run, were committed at once, on average.",
            good="it grows with the load, since what gathers during a commit is the next one. There is no bad value.",
            queries=(
                Query(
                    f"{_Q.rate(metrics.COMMIT_GROUPS, part='_sum')} / {_Q.rate(metrics.COMMIT_GROUPS, part='_count')}",
                    "groups",
                ),
            ),
        ),
        Panel(
            title="Conflicts",
            about="Groups that were decided again, since another writer was first, a second.",
            good="few beside the commits: operators and time-outs that meet a step. They cost some time, and no run.",
            queries=(Query(_Q.rate(metrics.COMMIT_CONFLICTS, "job"), "{{job}}"),),
            unit="ops",
        ),
        Panel(
            title="Calls that found a store away",
            about="Calls that failed because the journal or the leases did not answer, a second.",
            good="0.",
            queries=(Query(_Q.rate(metrics.STORE_UNAVAILABLE, "store"), "{{store}}"),),
            unit="ops",
        ),
        Panel(
            title="Looks at the stores",
            about="How long the last look for this page took, in the process where it took longest.",
            good="well below the time between scrapes.",
            queries=(Query(_Q.stored(metrics.LOOK_DURATION, "job"), "{{job}}"),),
            unit="s",
            limit=2,
        ),
        Panel(
            title="Notices",
            about="What the runtime had to say in five minutes, by the word that the log has too.",
            good="quiet. A word that comes again and again stands in the logs with its reason.",
            queries=(Query(_Q.gained(metrics.NOTICES, "event", window=RARE), "{{event}}"),),
        ),
        Panel(
            title="Roles",
            about="Whether each role of a process, cron or reconcile, does its work.",
            good="1 everywhere.",
            queries=(Query(_Q.series(metrics.ROLE_UP), "{{role}} {{instance}}"),),
            width=24,
        ),
    ),
)

BOARD = Dashboard(
    name="fleet",
    title="Fleet",
    about="Is somebody there, do the stores answer, and is there room? Begin here.",
    variables=_CHOICES,
    rows=(_STANDING, _WORK, _STORES),
)
