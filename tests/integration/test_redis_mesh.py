"""A fleet over Redis, end to end: journal in SQLite, leases in a real server, workers in threads of two meshes."""

import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
import squidmesh_sqlite
from redis import Redis

from squidmesh import Mesh, WrongPlane
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

    def test_what_nobody_holds_is_offered_again(self, connect, journal, redis, effects):
        """I18. Nobody asks for it, and nothing else happens: the workers' own reconciler finds out."""
        workflow, mesh = connect(heartbeat=0.1, reconcile_every=0.05)
        with mesh, mesh.worker(concurrency=1):
            runs = mesh.start_runs(workflow, [{"amount": n} for n in range(RUNS)])
            assert effects.entered.wait(20)
            redis.flushall()
            effects.leave.set()
            approve_all(mesh, [run.run_id for run in runs])
        for run in runs:
            state = audit(journal, run.run_id)
            assert state.phase == "completed"
            assert all(runnable.lost == 0 for runnable in state.runnables.values())
        assert left_behind(redis) == []


def test_work_that_was_started_without_the_server_is_delivered(connect, journal, tmp_path, effects):
    """A client needs the journal only (protocol 3.9)."""
    workflow, fleet = connect(reconcile_every=0.05)
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Mesh.connect(url, workflows=[workflow]) as client, fleet, fleet.worker(concurrency=2):
        runs = client.start_runs(workflow, [{"amount": n} for n in range(RUNS)])
        approve_all(client, [run.run_id for run in runs])
    assert sum(effects.calls.values()) == 5 * RUNS


def test_execute_next_is_enough_when_the_server_is_emptied(connect, redis):
    workflow, mesh = connect(reconcile_every=0.01)
    with mesh:
        run = mesh.start_run(workflow, {"amount": 1})
        redis.flushall()
        ends = time.monotonic() + 20
        while mesh.inspect_run(run.run_id).status != "paused":
            mesh.execute_next()
            assert time.monotonic() < ends, mesh.explain_run(run.run_id)


# ------------------------------------------------------------------------------------------------------- moving


class TestMoving:
    @pytest.fixture
    def effects(self):
        return Held()

    def test_a_mesh_is_moved_there_and_back_while_its_runs_are_open(
        self, connect, server, redis, journal, effects, tmp_path
    ):
        url = f"sqlite:///{tmp_path / 'journal.db'}"
        workflow, fleet = connect(reconcile_every=0.05)
        told: list[str] = []
        with Mesh.connect(url, workflows=[workflow], lease=LEASE, idle_poll=0.05) as old:
            runs = old.start_runs(workflow, [{"amount": n} for n in range(RUNS)])
            worker = old.worker(concurrency=1).start()
            assert effects.entered.wait(20)
            moving = threading.Thread(
                target=lambda: told.extend(Mesh.migrate(url, leases=server.url, tell=told.append)), daemon=True
            )
            moving.start()
            until(lambda: (plane := journal.plane()) is not None and plane.moving)
            with pytest.raises(WrongPlane, match="is being moved to redis://"):
                old.execute_next()
            effects.leave.set()  # what was claimed may end, and counts
            worker.join(20)
            assert isinstance(worker.failed, WrongPlane)
            moving.join(30)
        assert not moving.is_alive()
        assert told[-1].startswith("leases: redis://")
        assert (journal.plane().kind, journal.plane().epoch, journal.plane().moving) == ("redis", 3, False)

        with fleet:
            until(lambda: fleet.execute_next() is not None)
            with pytest.raises(WrongPlane, match=r"delivered by redis://.*, not by the journal"):
                Mesh.connect(url, workflows=[workflow]).execute_next()
            assert Mesh.migrate(url, leases=server.url) == []
        assert Mesh.migrate(url, leases="journal") == ["leases: the journal"]
        with pytest.raises(WrongPlane, match="delivered by the journal, not by redis://"):
            connect()[1].execute_next()
        with Mesh.connect(url, workflows=[workflow], lease=LEASE, idle_poll=0.05) as again, again.worker():
            approve_all(again, [run.run_id for run in runs])
        for run in runs:
            state = audit(journal, run.run_id)
            assert state.phase == "completed"
        assert Counter(effects.calls.values()) == {1: 3 * RUNS, 2: RUNS}, "nothing ran twice for having been moved"

    def test_an_interrupted_move_goes_on(self, connect, server, redis, journal, effects, tmp_path, monkeypatch):
        effects.leave.set()
        url = f"sqlite:///{tmp_path / 'journal.db'}"
        workflow, fleet = connect(reconcile_every=0.05)
        with Mesh.connect(url, workflows=[workflow]) as old:
            run = old.start_run(workflow, {"amount": 1})
            old.execute_next()
        with monkeypatch.context() as patch:
            patch.setattr("squidmesh.runtime.moving._mark", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                Mesh.migrate(url, leases=server.url)
        with fleet:
            with pytest.raises(WrongPlane, match="is being moved"):
                fleet.execute_next()
            assert Mesh.migrate(url, leases=server.url)[0].startswith("leases: redis://")
            until(lambda: fleet.execute_next() is not None)
            assert fleet.inspect_run(run.run_id).status != "failed"

    def test_two_meshes_do_not_share_a_memory(self, connect, server, redis, effects, tmp_path):
        effects.leave.set()
        workflow, first = connect()
        with first:
            first.start_run(workflow, {"amount": 1})
            assert first.execute_next() is not None
        other = f"sqlite:///{tmp_path / 'other.db'}"
        with Mesh.connect(other, leases=server.url, workflows=[workflow]) as second:
            second.start_run(workflow, {"amount": 1})
            with pytest.raises(WrongPlane, match="works for another mesh; allowed is"):
                second.execute_next()
        with pytest.raises(WrongPlane, match="works for another mesh"):
            Mesh.migrate(other, leases=server.url)
        with Mesh.connect(other, leases=f"{server.url}?prefix=other", workflows=[workflow]) as second:
            assert second.execute_next() is not None


def until(condition, *, within=20.0):
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        turn.wait(0.01)
