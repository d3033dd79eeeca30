"""What an RQ worker runs: one attempt, claimed through the journal's leases, run and recorded (protocol 3.9)."""

from __future__ import annotations

import os
import socket

from redis import Redis
from redis.exceptions import RedisError
from rq import get_current_job

from squidmesh.clock import duration
from squidmesh.errors import BackendError, SquidMeshError
from squidmesh.ids import AttemptKey, is_identifier
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.verbs.opening import inside
from squidmesh_rq.app import app
from squidmesh_rq.jobs import Jobs, delivery_of

_MOST_FOLLOWING = 100


class DeliveryFailed(BackendError):
    """A delivery came to nothing because of what is around it: the app, the journal. It says the item and a code, and
    no more, since RQ keeps what it reads.
    """

    code = "delivery_failed"


def deliver(*, item: str, generation: int, fence: int, queue: str) -> None:
    """RQ's job of one delivery; the bridge enqueues it, nobody else has to. The mesh is that of ``SQUIDMESH_APP``.

    Claims that attempt, if it may be claimed now, heartbeats, runs it in this thread, records what became of it, and
    tells RQ what is open of the same run from then on. Where it may not be claimed (somebody holds it, it is not its
    time, its queue is paused, its run has ended) nothing happens. Whatever a step does is the journal's to keep, so a
    failed step is a job that succeeded. Raises ``DeliveryFailed``.
    """
    try:
        engine, inline = inside(app())
    except Exception as error:
        raise failed(item, error) from None
    try:
        touched = inline.execute_item(_owner(), AttemptKey(item), queue)
    except Exception as error:
        engine.observer.notice("rq_delivery_failed", item=item, error=f"{type(error).__name__}: {error}")
        raise failed(item, error) from None
    if touched is not None:
        _offer_what_follows(engine, touched.state.run_id, queue)


def _offer_what_follows(engine: Engine, run_id: str, queue: str) -> None:
    """A hint for speed: what is not offered here, the bridge offers. It also has those that share a limit."""
    job = get_current_job()
    if job is None or job.connection is None:
        return
    prefix = job.origin.removesuffix(queue)
    try:
        offer_open(engine, job.connection, prefix, run_id)
    except (RedisError, BackendError) as error:
        engine.observer.notice("rq_offer_failed", run_id=run_id, error=str(error))


def offer_open(engine: Engine, redis: Redis, prefix: str, run_id: str) -> None:
    """Tells RQ of a run's open attempts that nobody has claimed."""
    jobs = Jobs(redis, prefix)
    now = engine.store.now()
    for row in engine.store.open_attempts(run_id=run_id, limit=_MOST_FOLLOWING):
        if row.owner is None and row.concurrency_key is None:
            jobs.offer(delivery_of(row), duration(max(0, row.visible_at - now)))


def failed(what: str, error: Exception) -> DeliveryFailed:
    code = error.code if isinstance(error, SquidMeshError) else type(error).__name__
    return DeliveryFailed(f"{what}: {code}")


def _owner() -> str:
    """Who holds a claim, in words that an operator can follow."""
    host = "".join(char if is_identifier(char) else "-" for char in socket.gethostname())[:80]
    return f"rq-{host or 'host'}-{os.getpid()}"
