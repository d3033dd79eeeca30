"""The bridge to RQ keeps its promises: RQ carries names, the journal decides. Real servers, RQ's own workers.

Most of it runs RQ's SimpleWorker in this process; what needs processes, and other journals, is in the second file.
"""

from __future__ import annotations

import base64
import re
import time
import zlib
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import squidmesh_rq.activating
import squidmesh_rq.delivering
from msgspec import structs
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from squidmesh_rq import Bridge, activate, deliver
from squidmesh_rq.jobs import Jobs, delivery_of

from squidmesh import InvalidInput, Mesh, UsageError
from tests.support import rq_world
from tests.support.audit import audit
from tests.support.redises import started

CANARY = "mellon-4711"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with started("valkey", tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def redis(server):
    with Redis.from_url(server.url) as client:
        client.flushall()
        yield client


def readable(redis):
    """Everything that stands in Redis, as text; what RQ has compressed, as it was before."""
    looks = {
        b"string": lambda key: [redis.get(key)],
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": lambda key: [part for pair in redis.hgetall(key).items() for part in pair],
        b"set": lambda key: redis.smembers(key),
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": lambda key: [part for _, fields in redis.xrange(key) for part in fields.values()],
        b"none": lambda key: [],
    }
    found = [(key, *looks[redis.type(key)](key)) for key in redis.scan_iter(count=1000)]
    return "\n".join(_plain(part) for parts in found for part in parts if part is not None)


def _plain(value):
    for attempt in (zlib.decompress, lambda value: zlib.decompress(base64.b64decode(value, validate=True))):
        with suppress(zlib.error, ValueError):
            return attempt(value).decode()
    return value.decode("latin-1")


class InThisThread(SimpleWorker):
    """Hears no commands of operators: ending the thread that does takes longer than the work."""

    def subscribe(self):
        pass

    def unsubscribe(self):
        pass


class Place:
    """A mesh, its bridge, and RQ's worker in this thread."""

    def __init__(self, mesh, redis, folder):
        self.mesh, self.redis, self.folder = mesh, redis, folder
        self.bridge = Bridge(mesh, redis)

    def work(self):
        """An RQ worker that does all that waits in its queues, and leaves."""
        queues = [self.queue(name) for name in ("default", "crons")]
        return InThisThread(queues, connection=self.redis, serializer=JSONSerializer).work(burst=True)

    def queue(self, name="default"):
        return Queue(f"squidmesh-{name}", connection=self.redis, serializer=JSONSerializer)

    def start(self, workflow, **payload):
        return self.mesh.start_run(workflow, payload).run_id

    def until_ended(self, *run_ids, within=20.0):
        """Bridge and worker in turns, as their processes would."""
        ends = time.monotonic() + within
        while any(self.mesh.inspect_run(run_id).ended_at is None for run_id in run_ids):
            assert time.monotonic() < ends, [str(self.mesh.explain_run(run_id)) for run_id in run_ids]
            self.bridge.look()
            if self.queue().count:
                self.work()
            time.sleep(0.01)
        for run_id in run_ids:
            audit(self.mesh._engine().store, run_id)
        return [self.mesh.inspect_run(run_id) for run_id in run_ids]

    def open(self):
        return self.mesh._engine().store.open_attempts()

    def let_pass(self):
        """Until what is open has been due for longer than a pass looks back."""
        while self.mesh._engine().store.now() < max(row.visible_at for row in self.open()) + 100_000:
            time.sleep(0.01)

    def done(self):
        return [(line["step"], line["attempt"], line["delivery"]) for line in rq_world.done(self.folder)]


@pytest.fixture
def sweep():
    """So rare that no sweep mends what something else should have done. A test of sweeps has another."""
    return 86400.0


@pytest.fixture
def place(redis, tmp_path, monkeypatch, sweep):
    monkeypatch.setenv(rq_world.FOLDER, str(tmp_path))
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with rq_world.connect(url, sweep=sweep, reconcile_every=0.01, lease=0.5) as mesh:
        monkeypatch.setattr(squidmesh_rq.delivering, "app", lambda: mesh)
        monkeypatch.setattr(squidmesh_rq.activating, "app", lambda: mesh)
        yield Place(mesh, redis, tmp_path)


# -------------------------------------------------------------------------------------------------------- delivery


def test_an_attempt_is_claimed_run_and_recorded_and_what_follows_is_offered(place):
    run_id = place.start(rq_world.Chain, word="speak")
    assert place.bridge.look().offered == 1
    (job,) = place.queue().jobs
    assert (job.func_name, job.description) == ("squidmesh_rq.deliver", f"{run_id}/first#1")
    place.work()
    assert [row.step for row in place.open()] == ["rest"]
    assert place.queue().scheduled_job_registry.count == 1, "the wait was offered by the worker itself"
    (run,) = place.until_ended(run_id)
    assert (run.status, place.done()) == ("completed", [("first", 1, 1), ("second", 1, 1)])
    assert place.redis.keys("rq:job:*") == [], "RQ keeps nothing of what went well"


def test_a_delay_stands_on_rqs_schedule_and_ends_without_rqs_scheduler(place):
    run_id = place.mesh.start_run(rq_world.Flaky, {}, delay=0.4).run_id
    place.bridge.look()
    assert (place.queue().count, place.queue().scheduled_job_registry.count) == (0, 1)
    (row,) = place.open()
    (job_id,) = place.queue().scheduled_job_registry.get_job_ids()
    due = place.queue().scheduled_job_registry.get_scheduled_time(job_id)
    assert abs((due - datetime.fromtimestamp(row.visible_at / 1e6, UTC)).total_seconds()) <= 1.1
    place.work()
    assert place.done() == []
    place.until_ended(run_id)
    assert place.queue().scheduled_job_registry.count == 0


def test_a_job_that_comes_too_early_claims_nothing_and_comes_again(place):
    run_id = place.mesh.start_run(rq_world.Chain, {}, delay=0.3).run_id
    (row,) = place.open()
    Jobs(place.redis, "squidmesh-").offer(delivery_of(row))  # as by a scheduler whose clock is ahead
    place.work()
    assert place.done() == []
    place.until_ended(run_id)


def test_the_same_attempt_is_enqueued_once_by_any_number_of_bridges(place):
    run_ids = [place.start(rq_world.Chain) for _ in range(20)]
    bridges = [Bridge(place.mesh, place.redis) for _ in range(3)]
    assert [bridge.look().offered for bridge in bridges] == [20, 0, 0]
    assert len(place.queue().job_ids) == 20
    place.until_ended(*run_ids)
    assert Counter(step for step, *_ in place.done()) == {"first": 20, "second": 20}


def test_a_delivery_is_one_job_and_the_next_one_is_another(place):
    place.start(rq_world.Chain)
    (row,) = place.open()
    jobs, delivery = Jobs(place.redis, "squidmesh-"), delivery_of(row)
    assert [jobs.offer(delivery), jobs.offer(delivery), jobs.offer(delivery, timedelta(60))] == [True, False, False]
    place.redis.flushall()
    assert [jobs.offer(delivery, timedelta(60)), jobs.offer(delivery, timedelta(60))] == [True, False]
    others = [structs.replace(delivery, fence=1), structs.replace(delivery, generation=1)]
    assert len({delivery.job_id, *(other.job_id for other in others)}) == 3
    assert re.fullmatch("[A-Za-z0-9_-]+", delivery.job_id)


def test_a_job_that_is_delivered_twice_runs_once(place):
    run_id = place.start(rq_world.Chain)
    place.bridge.look()
    (job_id,) = place.queue().job_ids
    place.queue().push_job_id(job_id)
    (row,) = place.open()
    deliver(item=row.item, generation=row.generation, fence=row.fence, queue=row.queue)
    place.until_ended(run_id)
    assert place.done() == [("first", 1, 1), ("second", 1, 1)]


def test_a_failed_step_is_retried_by_the_journals_policy_and_is_no_failure_of_rqs(place):
    run_id = place.start(rq_world.Flaky, word=CANARY)
    (run,) = place.until_ended(run_id)
    assert (run.status, place.done()) == ("completed", [("fail", 1, 1), ("fail", 2, 1), ("fail", 3, 1)])
    assert place.queue().failed_job_registry.count == 0


def test_other_workers_of_the_mesh_share_the_work(place):
    run_ids = [place.start(rq_world.Chain) for _ in range(30)]
    with place.mesh.worker(concurrency=2):
        place.until_ended(*run_ids)
    assert Counter(step for step, *_ in place.done()) == {"first": 30, "second": 30}
    assert {delivery for *_, delivery in place.done()} == {1}


@pytest.mark.parametrize("sweep", [0.2])
def test_jobs_of_attempts_that_others_have_dealt_with_are_taken_out_of_rq(place):
    other = place.queue().enqueue(print, "somebody else's")
    run_ids = [place.start(rq_world.Chain) for _ in range(3)]
    place.mesh.start_run(rq_world.Chain, {}, delay=60)
    place.bridge.look()
    (early,) = place.queue().scheduled_job_registry.get_job_ids()
    place.queue().push_job_id(early)  # as by a scheduler whose clock is ahead
    with place.mesh.worker(concurrency=2):
        for run_id in run_ids:
            place.mesh.wait_for(run_id, timeout=20)
    ends = time.monotonic() + 20
    while len(place.queue().job_ids) > 2:
        assert time.monotonic() < ends, place.queue().job_ids
        place.bridge.look()
    assert place.queue().job_ids == [other.id, early], "what is somebody else's, and what is open"


# ------------------------------------------------------------------------------------------------ what may get lost


def test_an_emptied_redis_loses_nothing(place):
    run_ids = [place.start(rq_world.Chain) for _ in range(3)] + [place.start(rq_world.Flaky)]
    place.bridge.look()
    place.redis.flushall()
    assert place.bridge.look().full == 1
    assert place.queue().count == 4
    place.work()
    place.redis.flushall()
    place.until_ended(*run_ids)


def test_what_became_due_while_no_bridge_looked_is_delivered(place):
    run_id = place.mesh.start_run(rq_world.Shared, {"word": "late"}, delay=0.1).run_id
    other = place.mesh.start_run(rq_world.Chain, {}, delay=0.1).run_id
    place.bridge.look()
    place.let_pass()
    place.bridge = Bridge(place.mesh, place.redis)
    assert place.bridge.look().offered == 2
    place.until_ended(run_id, other)


@pytest.mark.parametrize("sweep", [0.2])
def test_a_single_job_that_is_lost_is_found_by_the_sweep(place):
    run_id = place.start(rq_world.Chain)
    place.bridge.look()
    (job_id,) = place.queue().job_ids
    place.redis.delete(place.queue().key)  # RQ knows the job, and has it nowhere
    assert Job.fetch(job_id, connection=place.redis, serializer=JSONSerializer).get_status() == "queued"
    place.until_ended(run_id)


def test_a_delivery_that_fails_before_it_claims_is_made_again(place, monkeypatch):
    run_id = place.start(rq_world.Chain, word=CANARY)
    place.bridge.look()
    place.let_pass()
    place.bridge.look()

    def broken():
        raise ImportError(f"the app is broken, {CANARY}")

    with monkeypatch.context() as patch:
        patch.setattr(squidmesh_rq.delivering, "app", broken)
        place.work()
    assert place.queue().failed_job_registry.count == 1
    (job_id,) = place.queue().failed_job_registry.get_job_ids()
    result = Job.fetch(job_id, connection=place.redis, serializer=JSONSerializer).latest_result()
    assert result is not None and result.exc_string is not None
    assert "DeliveryFailed" in result.exc_string and CANARY not in result.exc_string
    again = Bridge(place.mesh, place.redis)
    assert again.look().offered == 1, "a full pass makes it anew"
    with monkeypatch.context() as patch:
        patch.setattr(squidmesh_rq.delivering, "app", broken)
        place.work()
    place.until_ended(run_id)
    assert place.done() == [("first", 1, 1), ("second", 1, 1)]


def test_a_paused_queue_is_not_delivered_and_a_resumed_one_is(place):
    run_id = place.start(rq_world.Chain)
    place.bridge.look()
    place.let_pass()
    place.bridge.look()
    place.mesh.pause_queue("default", actor="ops")
    place.work()
    assert place.done() == []
    place.bridge.look()
    assert place.queue().count == 0
    place.mesh.resume_queue("default", actor="ops")
    place.until_ended(run_id)


def test_attempts_behind_one_limit_are_with_rq_as_many_as_may_run(place):
    run_ids = [place.start(rq_world.Shared, word="one")]
    place.bridge.look()
    run_ids += [place.start(rq_world.Shared, word="one") for _ in range(4)]
    other = place.start(rq_world.Shared, word="other")
    place.bridge.look()
    assert place.queue().count == 2
    place.bridge.look()
    assert place.queue().count == 2
    place.until_ended(*run_ids, other)
    assert [step for step, *_ in place.done()] == ["one"] * 6


# ------------------------------------------------------------------------------------------------ what RQ may know


def test_redis_holds_names_and_numbers_only(place):
    run_ids = [
        place.mesh.start_run(w, {"word": CANARY, "pin": CANARY}).run_id for w in (rq_world.Chain, rq_world.Flaky)
    ]
    seen = []
    ends = time.monotonic() + 20
    while any(place.mesh.inspect_run(run_id).ended_at is None for run_id in run_ids):
        assert time.monotonic() < ends
        place.bridge.look()
        seen.append(readable(place.redis))
        place.work()
        seen.append(readable(place.redis))
    everything = "\n".join(seen)
    assert '"item": "' in everything and "first#1" in everything and "fail#2" in everything
    assert CANARY not in everything


# ------------------------------------------------------------------------------------------------------------ cron


def test_a_cron_activation_that_is_delivered_twice_fires_once(place):
    queue = place.queue("crons")
    first = queue.enqueue(activate, "Nightly")
    place.work()
    again = queue.enqueue(activate, "Nightly.evening")
    again.created_at = first.created_at.replace(second=(first.created_at.second + 30) % 60)  # of another scheduler
    again.save()
    place.work()
    assert place.mesh.count_runs(workflow="Nightly") == {"completed": 1}
    assert len(place.done()) == 1, "and the activation has told RQ of the run's first step"


def test_an_activation_outside_of_a_job_is_refused():
    with pytest.raises(UsageError, match="RQ worker only") as refused:
        activate("Nightly")
    assert refused.value.code == "no_job"


# ---------------------------------------------------------------------------------------------------- what is refused


def test_a_mesh_with_a_lease_backend_of_its_own_is_refused(server, redis, tmp_path):
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Mesh.connect(url, leases=server.url) as mesh, pytest.raises(InvalidInput, match="leases in its journal"):
        Bridge(mesh, redis).look()


@pytest.mark.parametrize(("settings", "field"), [({"prefix": "a b"}, "prefix"), ({"queues": [""]}, "queues")])
def test_bad_settings_are_named(place, settings, field):
    with pytest.raises(InvalidInput) as refused:
        Bridge(place.mesh, place.redis, **settings)
    assert refused.value.field == field


def test_a_server_that_is_none_is_named(place):
    with pytest.raises(InvalidInput, match="redis://") as refused:
        Bridge(place.mesh, "localhost:6379")
    assert refused.value.field == "redis"
