"""What RQ's cron runs, where that shall fire the cron triggers of a mesh."""

from __future__ import annotations

from datetime import UTC, datetime

from rq import get_current_job

from squidmesh.errors import UsageError
from squidmesh.runtime.verbs.opening import inside
from squidmesh_rq.app import app
from squidmesh_rq.delivering import failed, offer_open
from squidmesh_rq.jobs import DEFAULT_PREFIX


def activate(target: str, *, prefix: str = DEFAULT_PREFIX) -> None:
    """RQ's job of one firing: starts the run of a cron trigger of the mesh that ``SQUIDMESH_APP`` names.

    ``target``: ``"Nightly"``, or ``"Nightly.evening"`` where that workflow has several cron triggers. The window is the
    minute in which RQ made this job: delivered twice, made by two schedulers in one minute, or requeued by hand the day
    after, it is the same run. ``prefix``: as the bridge has it. The payload is the trigger's defaults, since a value
    would stand in Redis. Raises ``DeliveryFailed``, and ``UsageError`` (``no_job``) outside of a job.
    """
    job = get_current_job()
    if job is None or job.created_at is None:
        raise UsageError("is called by an RQ worker only; elsewhere it is Mesh.activate_cron", code="no_job")
    try:
        mesh = app()
        run = mesh.activate_cron(target, window=_minute(job.created_at))
        engine = inside(mesh)[0]
    except Exception as error:
        raise failed(target, error) from None
    if run is not None and run.ended_at is None:
        offer_open(engine, job.connection, prefix, run.run_id)


def _minute(moment: datetime) -> datetime:
    """RQ's times are of UTC, and say so or not."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.replace(second=0, microsecond=0)
