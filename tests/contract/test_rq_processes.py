"""The bridge to RQ with RQ's own processes, as a team runs them: ``rq worker``, unchanged, and its work-horses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from squidmesh_rq import Bridge

from squidmesh import Mesh
from squidmesh.testing.processes import last_words
from tests.support import rq_world
from tests.support.audit import audit
from tests.support.redises import started

ROOT = Path(__file__).resolve().parents[2]
LEASE = 1.0


@pytest.fixture(scope="module", params=["valkey", pytest.param("redis", marks=pytest.mark.all)])
def server(request, tmp_path_factory):
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.all)])
def journal(request, tmp_path):
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite:///{tmp_path / 'journal.db'}"
    Mesh.migrate(url)
    return url


class Fleet:
    """Processes of RQ and of ours over one journal; each is ended by its own id."""

    def __init__(self, server, journal, folder, **settings):
        self.settings = {"lease": LEASE, "max_deliveries": 2, **settings}
        self.server, self.journal, self.folder = server, journal, folder
        self.redis = Redis.from_url(server.url)
        self.redis.flushall()
        self.mesh = rq_world.connect(journal, **self.settings)
        self._stack = ExitStack()
        self._stack.callback(self.redis.close)
        self._stack.callback(self.mesh.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def bridge(self):
        return self._stack.enter_context(Bridge(self.mesh, self.server.url))

    def run(self, *command):
        """A process of this test: SIGTERM at its end, then SIGKILL, with all its work-horses."""
        log = (self.folder / f"{len(list(self.folder.glob('*.log')))}.log").open("wb")
        with rq_world.environment(self.journal, self.folder, **self.settings) as environment:
            before = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([*filter(None, [before]), str(ROOT), str(ROOT / "backends")])
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._stack.callback(log.close)
        self._stack.callback(self._end, process)
        return process

    def rq_worker(self, *options):
        command = ["worker", "--url", self.server.url, "--serializer", "rq.serializers.JSONSerializer"]
        return self.run("-m", "rq.cli", *command, "-c", "tests.support.rq_world", *options, "squidmesh-default")

    def squidmesh_worker(self):
        return self.run("-m", "squidmesh", "--app", rq_world.APP, "worker", "--concurrency", "2")

    def bridge_process(self):
        return self.run("-m", "squidmesh_rq", "--app", rq_world.APP, "--redis", self.server.url)

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start(self, workflow, count=1):
        return [run.run_id for run in self.mesh.start_runs(workflow, [{"word": f"w{n}"} for n in range(count)])]

    def until(self, look, *, within=30.0):
        ends = time.monotonic() + within
        while not (found := look()):
            assert time.monotonic() < ends, self.words()
            time.sleep(0.02)
        return found

    def until_ended(self, run_ids, *, within=60.0):
        self.until(lambda: all(self.mesh.inspect_run(one).ended_at is not None for one in run_ids), within=within)
        for run_id in run_ids:
            audit(self.mesh._engine().store, run_id)
        return [self.mesh.inspect_run(run_id, history=True) for run_id in run_ids]

    def words(self):
        """All that helps where something does not end."""
        logs = {log.name: last_words(log) for log in self.folder.glob("*.log")}
        jobs = {key: self.redis.hgetall(key) for key in self.redis.keys("rq:job:*")}
        return logs, self.mesh.count_runs(), self.mesh._engine().store.open_attempts(), jobs, self.redis.keys("rq:*")

    def done(self):
        return rq_world.done(self.folder)

    def horse(self, delivery):
        """The process in which that delivery of the first run has begun."""
        return self.until(lambda: [line["pid"] for line in self.done() if line["delivery"] == delivery])[0]

    @property
    def queue(self):
        return Queue("squidmesh-default", connection=self.redis, serializer=JSONSerializer)


@pytest.fixture
def fleet(server, journal, tmp_path):
    with Fleet(server, journal, tmp_path) as fleet:
        yield fleet


def test_an_ordinary_rq_worker_runs_what_a_bridge_tells_it(fleet):
    fleet.bridge()
    fleet.rq_worker()
    run_ids = fleet.start(rq_world.Chain, 3) + fleet.start(rq_world.Flaky)
    assert {run.status for run in fleet.until_ended(run_ids)} == {"completed"}
    assert Counter(line["step"] for line in fleet.done()) == {"first": 3, "second": 3, "fail": 3}
    assert len({line["pid"] for line in fleet.done()}) == 9, "each in a work-horse of its own"
    fleet.until(lambda: not fleet.redis.keys("rq:job:*"))


@pytest.mark.all
def test_a_killed_work_horse_is_taken_over_and_its_delivery_counted(fleet):
    fleet.bridge()
    fleet.rq_worker()
    (run_id,) = fleet.start(rq_world.Long)
    os.kill(fleet.horse(1), signal.SIGKILL)
    killed_at = time.monotonic()
    fleet.horse(2)
    assert time.monotonic() - killed_at < 3 * LEASE + 5
    (run,) = fleet.until_ended([run_id])
    assert run.status == "completed"
    assert [(line["step"], line["attempt"], line["delivery"]) for line in fleet.done()] == [
        ("linger", 1, 1),
        ("linger", 1, 2),
        ("second", 1, 1),
    ]


@pytest.mark.all
@pytest.mark.parametrize("quarantine", [False, True])
def test_a_step_that_kills_its_work_horse_is_a_dead_letter_at_max_deliveries(server, journal, tmp_path, quarantine):
    with Fleet(server, journal, tmp_path, quarantine=quarantine) as fleet:
        dies_twice(fleet)


def dies_twice(fleet):
    fleet.bridge()
    fleet.rq_worker()
    (run_id,) = fleet.start(rq_world.Poison)
    (letter,) = fleet.until(lambda: fleet.mesh.list_dead_letters().dead_letters)
    assert (letter.run_id, letter.lost) == (run_id, 2)
    assert [line["delivery"] for line in fleet.done()] == [1, 2]
    fleet.mesh.replay_dead_letters([letter.item], actor="ops")
    fleet.until(lambda: len(fleet.done()) == 3)


@pytest.mark.all
def test_a_work_horse_that_slept_past_its_lease_changes_nothing(fleet):
    fleet.bridge()
    fleet.rq_worker()
    fleet.rq_worker()
    (run_id,) = fleet.start(rq_world.Long)
    sleeper = fleet.horse(1)
    os.kill(sleeper, signal.SIGSTOP)
    (run,) = fleet.until_ended([run_id])
    (fleet.folder / "go").touch()
    os.kill(sleeper, signal.SIGCONT)
    fleet.until(lambda: not Path(f"/proc/{sleeper}").exists())
    (again,) = fleet.until_ended([run_id])
    assert again.revision == run.revision
    assert [line["delivery"] for line in fleet.done()] == [1, 2, 1]


@pytest.mark.all
def test_rqs_redis_may_be_emptied_and_be_away_longer_than_a_lease(fleet, server):
    fleet.bridge()
    fleet.rq_worker()
    run_ids = fleet.start(rq_world.Chain, 10)
    fleet.until(lambda: len(fleet.done()) > 3)
    fleet.redis.flushall()
    run_ids += fleet.start(rq_world.Chain, 5)
    fleet.until(lambda: len(fleet.done()) > 10)
    server.kill()
    run_ids += fleet.start(rq_world.Chain, 5)
    time.sleep(2 * LEASE)  # this is what is tried: so long is nobody there
    server.start()
    fleet.rq_worker()  # the other one may have given up, as RQ's do
    fleet.until_ended(run_ids)
    assert max(Counter((line["run"], line["step"], line["delivery"]) for line in fleet.done()).values()) == 1


@pytest.mark.all
def test_rq_and_workers_of_the_mesh_run_each_attempt_once(fleet):
    fleet.bridge()
    fleet.bridge_process()
    for _ in range(2):
        fleet.rq_worker()
    fleet.squidmesh_worker()
    run_ids = fleet.start(rq_world.Chain, 60)
    fleet.until_ended(run_ids)
    assert set(Counter((line["run"], line["step"]) for line in fleet.done()).values()) == {1}
    assert len(fleet.done()) == 120


@pytest.mark.all
def test_a_bridge_that_is_killed_is_replaced_by_any_other(fleet):
    first = fleet.bridge_process()
    fleet.rq_worker()
    run_ids = fleet.start(rq_world.Chain, 5)
    fleet.until(lambda: fleet.done())
    first.kill()
    first.wait()
    run_ids += fleet.start(rq_world.Chain, 5)
    fleet.bridge_process()
    fleet.until_ended(run_ids)


@pytest.mark.all
def test_the_bridge_process_leaves_when_told(fleet):
    process = fleet.bridge_process()
    (run_id,) = fleet.start(rq_world.Chain)
    fleet.until(lambda: fleet.queue.count)
    process.terminate()
    assert process.wait(10) == 0, (fleet.words(), run_id)


@pytest.mark.all
def test_burst_workers_and_rqs_own_scheduler_do_it_too(fleet):
    fleet.bridge()
    run_ids = fleet.start(rq_world.Chain, 3)
    fleet.rq_worker("--with-scheduler")
    fleet.until(lambda: fleet.done())
    fleet.rq_worker("--burst").wait(20)
    fleet.until_ended(run_ids)


@pytest.mark.all
def test_rqs_own_cron_fires_a_window_once(fleet):
    file = fleet.folder / "crons.py"
    file.write_text(
        "from rq import cron\nfrom squidmesh_rq import activate\n"
        "cron.register(activate, queue_name='crons', args=('Nightly',), interval=1)\n"
    )
    began = int(time.time() // 60)
    for _ in range(2):
        fleet.run("-m", "rq.cli", "cron", "--url", fleet.server.url, str(file))
    fleet.run("-m", "rq.cli", "worker", "--url", fleet.server.url, "crons")
    crons = Queue("crons", connection=fleet.redis)
    fleet.until(lambda: crons.finished_job_registry.count >= 4)
    assert 1 <= sum(fleet.mesh.count_runs(workflow="Nightly").values()) <= 1 + int(time.time() // 60) - began
