"""Workers, cron triggers, and the pulse: starts, endings and how long runs took."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from squidmesh import CronStatus, WorkerSeen
from squidmesh.sonar import plots
from squidmesh.sonar.house import Ask
from squidmesh.sonar.live import Topic, digest

_URGENCY = {"lost": 0, "draining": 1, "working": 2, "idle": 3}
_LOOKED_AT = 1000
_UPCOMING = 5


# ------------------------------------------------------------------------------------------------------- workers


def _workers(ask: Ask) -> tuple[list[WorkerSeen], datetime]:
    """The most urgent first, and as of when. Whoever sees some queues sees those who claim from one of them."""
    seen = ask.mesh.workers()
    found = seen.workers
    if not ask.visitor.sees_all:
        queues = ask.queues()
        found = tuple(one for one in found if any(one.claims_from(queue) for queue in queues))
    return sorted(found, key=lambda one: (_URGENCY[one.state], one.name)), seen.as_of


def workers_topic(ask: Ask) -> Topic:
    return Topic(f"workers {ask.visitor.queues!r}", lambda: digest([one.to_json() for one in _workers(ask)[0]]))


def workers(ask: Ask) -> Response:
    found, as_of = _workers(ask)
    here = [one for one in found if one.state != "lost"]
    return ask.write(
        "workers",
        section="workers",
        topic="workers",
        seen=digest([one.to_json() for one in found]),
        workers=found,
        busy=sum(one.busy for one in here),
        slots=sum(one.slots for one in here),
        leases=sum(one.leases for one in here),
        lost=len(found) - len(here),
        versions=sorted({one.version for one in here}),
        now=as_of,
    )


# ---------------------------------------------------------------------------------------------------------- cron


def _crons(ask: Ask) -> tuple[CronStatus, ...]:
    """Whoever sees some queues sees the triggers whose newest run is of one of them: a trigger itself has no queue."""
    found = ask.mesh.list_cron(upcoming=_UPCOMING)
    return found if ask.visitor.sees_all else tuple(one for one in found if _is_of_own_queue(ask, one.last_run_id))


def _is_of_own_queue(ask: Ask, run_id: str | None) -> bool:
    if run_id is None:
        return False
    page = ask.mesh.list_runs(text=run_id, limit=1)
    return any(run.run_id == run_id and ask.visitor.sees(run.queue) for run in page.runs)


def _cron_digest(found: tuple[CronStatus, ...]) -> str:
    return digest([one.to_json() for one in found])


def cron_topic(ask: Ask) -> Topic:
    return Topic(f"cron {ask.visitor.queues!r}", lambda: _cron_digest(_crons(ask)))


def cron(ask: Ask) -> Response:
    found = _crons(ask)
    return ask.write(
        "cron",
        section="cron",
        topic="cron",
        seen=_cron_digest(found),
        triggers=[(one, [(window, window.astimezone(UTC)) for window in one.next]) for one in found],
    )


# --------------------------------------------------------------------------------------------------------- pulse


def pulse_topic(ask: Ask) -> Topic:
    queue, workflow = ask.queue(), ask.query("workflow")

    def look() -> str:
        page = ask.mesh.list_runs(queue=queue, workflow=workflow, limit=50)
        return digest(page.to_json()["runs"])

    return Topic(f"pulse {queue} {workflow}", look)


def pulse(ask: Ask) -> Response:
    """Of the newest thousand runs: one page of a list, whatever there is behind it."""
    queue, workflow = ask.queue(), ask.query("workflow")
    page = ask.mesh.list_runs(queue=queue, workflow=workflow, limit=_LOOKED_AT)
    found = plots.pulse(page.runs, now=page.as_of)
    return ask.write(
        "pulse",
        section="pulse",
        topic="pulse",
        seen=digest([one.to_json() for one in page.runs[:50]]),
        pulse=found,
        starts=None if found is None else plots.draw_starts(found),
        latency=None if found is None else plots.draw_latency(found),
        workflows=[one.name for one in ask.mesh.workflows()],
        queues=[] if ask.visitor.sees_all else ask.queues(),
        workflow=workflow,
        queue=queue,
        looked_at=_LOOKED_AT,
    )
