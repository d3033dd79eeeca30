"""A fleet over Redis, end to end: journal in SQLite, leases in a real server, workers in threads of two meshes."""

import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
import squidmesh_sqlite
from redis import Redis

from squidmesh import Mesh
from squidmesh.runtime.chance import SystemClock
from tests.support.audit import audit
from tests.support.recovery import Effects, make_workflow
from tests.support.redises import left_behind, started

RUNS = 12
LEASE = timedelta(seconds=2)


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request, tmp_path_factory):
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def redis(server):
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def connect(server, redis, tmp_path, effects):
    """Meshes, each as if in a process of its own, over the same journal and the same server."""
    workflow = make_workflow(effects, [], pace=0.05)

    def connect(**settings):
        url = f"sqlite:///{tmp_path / 'journal.db'}"
        return workflow, Mesh.connect(url, leases=server.url, workflows=[workflow], lease=LEASE, **settings)

    return connect


@pytest.fixture
def journal(tmp_path):
    backend = squidmesh_sqlite.backend(f"sqlite:///{tmp_path / 'journal.db'}", clock=SystemClock())
    yield backend.journal()
    backend.close()


def approve_all(mesh, run_ids, *, within=60.0):
    """Opens each gate as its run comes to it, until all have ended."""
    left, ends = set(run_ids), time.monotonic() + within
    turn = threading.Event()
    while left:
        assert time.monotonic() < ends, [str(mesh.explain_run(run_id)) for run_id in left]
        for run_id in list(left):
            run = mesh.inspect_run(run_id)
            if run.ended_at is not None:
                left.discard(run_id)
            elif run.status == "paused":
                mesh.approve_run(run_id, actor="ops", key="once")
        turn.wait(0.02)


def test_a_fleet_ends_every_run_once(connect, journal, redis, effects):
    workflow, client = connect()
    _, first = connect()
    _, second = connect()
    with client, first, second, first.worker(concurrency=3), second.worker(concurrency=3):
        runs = client.start_runs(workflow, [{"amount": n} for n in range(RUNS)])
        approve_all(client, [run.run_id for run in runs])
        for run in runs:
            assert client.wait_for(run.run_id, timeout=0).status == "completed"
    states = [audit(journal, run.run_id) for run in runs]
    assert all(set(state.runnables) == {"load", "check", "rest", "charge", "notify"} for state in states)
    assert Counter(effects.calls.values()) == {1: 3 * RUNS, 2: RUNS}, "one step of each run fails once by itself"
    assert redis.hgetall("squidmesh:{default}:items") == {}
    assert left_behind(redis) == []


def test_an_idle_worker_starts_within_moments(connect, redis):
    """Its idle poll is half a minute: it was woken."""
    workflow, client = connect(idle_poll=30)
    _, worker = connect(idle_poll=30)
    with client, worker, worker.worker(concurrency=1):
        ends = time.monotonic() + 20
        while redis.info("clients")["blocked_clients"] < 1:
            assert time.monotonic() < ends
            time.sleep(0.01)
        run = client.start_run(workflow, {"amount": 1})
        begin = time.monotonic()
        approve_all(client, [run.run_id], within=20)
        assert time.monotonic() - begin < 15


class Held(Effects):
    """The first step waits to be let go."""

    def __init__(self):
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()

    def call(self, context):
        self.entered.set()
        assert self.leave.wait(30)
        super().call(context)


class TestEmptied:
    @pytest.fixture
    def effects(self):
        return Held()

    def test_a_holder_keeps_its_lease_when_the_server_is_emptied(self, connect, journal, redis, effects):
        """What nobody holds waits for a reconciler, and is not asked for here."""
        workflow, mesh = connect(heartbeat=0.1)
        _, other = connect()
        with mesh, other, mesh.worker(concurrency=1):
            run = mesh.start_run(workflow, {"amount": 1})
            assert effects.entered.wait(20)
            redis.flushall()
            ends = time.monotonic() + 20
            while not redis.hgetall("squidmesh:{default}:items"):
                assert time.monotonic() < ends, "nobody adopted the lease"
                time.sleep(0.01)
            assert other.execute_next() is None, "the holder has it still"
            effects.leave.set()
            approve_all(mesh, [run.run_id])
        state = audit(journal, run.run_id)
        assert state.runnables["load"].lost == 0
