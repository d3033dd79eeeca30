"""What the bridge says to RQ, and how the jobs are called.

A job stands for one delivery: attempt, generation, and the fence that is recorded so far. Its id is derived from these,
so whoever offers the same delivery again, in whatever process, offers the same job. A claim raises the fence, so the
next delivery of an attempt is another job, whatever RQ still remembers of the one before.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DeserializationError, DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text

from squidmesh.errors import InvalidInput
from squidmesh.ids import AttemptKey, is_identifier
from squidmesh.journal.rows import AttemptRow
from squidmesh.runtime import chance

DELIVER = "squidmesh_rq.deliver"
DEFAULT_PREFIX = "squidmesh-"
_LIFE = "squidmesh:rq:life"
_FAILED_FOR = 24 * 3600
"""Seconds for which RQ keeps a delivery that failed, for people to look at."""
_OVER = frozenset({JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED})
_PAGE = 500
_GRACE = 60.0
"""Seconds for which a job may stand on the schedule after its time, before it counts as forgotten there."""
_PATIENCE = 10.0
"""Seconds that a server may take to answer."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What a job carries. ``fence``: the last recorded one; the claim that this delivery leads to has a greater one."""

    item: AttemptKey
    generation: int
    fence: int
    queue: str

    @property
    def job_id(self) -> str:
        """RQ's ids are of letters, digits, ``_`` and ``-``; a key of ours has other characters, and may be longer."""
        named = f"{self.item} {self.generation} {self.fence}"
        return f"squidmesh-{hashlib.blake2b(named.encode(), digest_size=16).hexdigest()}"


def delivery_of(row: AttemptRow) -> Delivery:
    return Delivery(item=row.item, generation=row.generation, fence=row.fence, queue=row.queue)


def connected(redis: str | Redis) -> Redis:
    """A client whose commands are sent once: who offers again decides so himself."""
    if isinstance(redis, Redis):
        return redis
    if not str(redis).startswith(("redis://", "rediss://", "unix://")):
        raise InvalidInput("allowed is a redis:// URL, or a redis.Redis as RQ takes it", field="redis")
    return Redis.from_url(
        redis, retry=Retry(NoBackoff(), 0), socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
    )


class Jobs:
    """Raises ``redis.exceptions.RedisError`` where RQ's Redis does not do as it is told. RQ's queue of ours is called
    ``prefix`` and the mesh's name of it.
    """

    def __init__(self, redis: Redis, prefix: str) -> None:
        if prefix and not is_identifier(prefix):
            raise InvalidInput("allowed are up to 128 of A-Z a-z 0-9 . _ -", field="prefix")
        self._redis = redis
        self._prefix = prefix

    def life(self) -> str:
        """The name of this life of Redis' memory: another one after it was emptied, or has started anew."""
        self._redis.set(_LIFE, chance.new_name(), nx=True)
        told: dict[str, object] = self._redis.info("server")
        mark = self._redis.get(_LIFE)
        if mark is None:
            raise RedisError("the mark of this life was removed in the moment in which it was made")
        return f"{told.get('run_id')} {as_text(mark)}"

    def queue(self, name: str) -> Queue:
        return Queue(f"{self._prefix}{name}", connection=self._redis, serializer=JSONSerializer)

    # ------------------------------------------------------------------------------------------------- offering

    def offer(self, delivery: Delivery, delay: timedelta = timedelta(0)) -> bool:
        """Whether RQ took it; False where it has that job already, in whatever state."""
        queue = self.queue(delivery.queue)
        job = queue.create_job(
            DELIVER,
            kwargs=msgspec.to_builtins(delivery),
            timeout=-1,  # a step's deadline is the journal's to keep, and a lease is not bound to a time
            result_ttl=0,
            failure_ttl=_FAILED_FOR,
            description=delivery.item,
            job_id=delivery.job_id,
        )
        try:
            if delay > timedelta(0):
                queue.schedule_job(job, datetime.now(UTC) + delay, unique=True)
            else:
                queue.enqueue_job(job, unique=True)
        except DuplicateJobError:
            return False
        return True

    def hold(self, deliveries: Sequence[Delivery]) -> int:
        """Sees to it that RQ has each of these ready for a worker, or running; how many it had not."""
        return sum(
            self._mend(delivery, state) for delivery, state in zip(deliveries, self.states(deliveries), strict=True)
        )

    def _mend(self, delivery: Delivery, state: str | None) -> bool:
        if state is None:
            return self.offer(delivery)
        if state == JobStatus.SCHEDULED:
            return self._promote(delivery)
        return state in _OVER and self.replace(delivery)

    def replace(self, delivery: Delivery) -> bool:
        """Forgets what RQ has of it, and offers it anew."""
        with suppress(NoSuchJobError):  # that it is gone is what was wanted
            Job.fetch(delivery.job_id, connection=self._redis, serializer=JSONSerializer).delete()
        return self.offer(delivery)

    def _promote(self, delivery: Delivery) -> bool:
        """Its time has come. Whoever takes it off the schedule enqueues it: RQ's own scheduler, or this."""
        queue = self.queue(delivery.queue)
        if not self._redis.zrem(queue.scheduled_job_registry.key, delivery.job_id):
            return False
        try:
            queue.enqueue_job(Job.fetch(delivery.job_id, connection=self._redis, serializer=JSONSerializer))
        except NoSuchJobError:
            return self.offer(delivery)
        return True

    # -------------------------------------------------------------------------------------------------- looking

    def states(self, deliveries: Sequence[Delivery]) -> list[str | None]:
        """What RQ says of each job; None where it has none."""
        found: list[bytes | None] = []
        for begin in range(0, len(deliveries), _PAGE):
            with self._redis.pipeline(transaction=False) as pipe:
                for delivery in deliveries[begin : begin + _PAGE]:
                    pipe.hget(Job.key_for(delivery.job_id), "status")
                found += pipe.execute()
        return [None if status is None else status.decode() for status in found]

    def held(self, name: str) -> frozenset[str]:
        """The ids of the jobs of a queue that wait for a worker, or that a worker is at: one whose worker is gone for
        longer than RQ allows counts as failed from then on.
        """
        queue = self.queue(name)
        return frozenset([*queue.get_job_ids(), *queue.started_job_registry.get_job_ids()])

    def ready(self, name: str) -> frozenset[str]:
        """The ids of the jobs of a queue that wait for a worker, or that should by now."""
        queue = self.queue(name)
        late = queue.scheduled_job_registry.get_jobs_to_schedule(int(time.time() - _GRACE))
        return frozenset([*queue.get_job_ids(), *late])

    def drop(self, ids: Iterable[str]) -> None:
        """Takes jobs out of RQ that nobody needs any more."""
        for job_id in ids:
            with suppress(NoSuchJobError):
                Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer).delete()

    def failed(self, name: str) -> frozenset[str]:
        """The ids of the jobs that RQ lists as failed."""
        return frozenset(self.queue(name).failed_job_registry.get_job_ids())

    def read(self, ids: Iterable[str]) -> dict[str, Delivery | None]:
        """By id, what these jobs carry; None for one that is gone, or is none of ours."""
        asked = sorted(ids)
        jobs = Job.fetch_many(asked, connection=self._redis, serializer=JSONSerializer) if asked else []
        return {job_id: None if job is None else _read(job) for job_id, job in zip(asked, jobs, strict=True)}


def _read(job: Job) -> Delivery | None:
    try:
        return msgspec.convert(job.kwargs, Delivery) if job.func_name == DELIVER else None
    except (DeserializationError, msgspec.ValidationError):
        return None
