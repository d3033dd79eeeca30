"""The fleet of the list of processes works: real stores with the roles and users that are shipped, migration, workers,
cron, health, and a drain in the order in which an orchestrator ends them.
"""

import re
import runpy
import signal
import sys
from functools import partial

import psycopg
import pytest

from tests.deploy.by_hand import IMAGE, TOPOLOGY, ByHand, calls_of, get, until
from tests.deploy.manifests import ROOT, unit
from tests.support.debian import files_of

pytestmark = [pytest.mark.all, pytest.mark.timeout(400)]
CONFINED = ROOT / "tests" / "support" / "confined.py"


@pytest.fixture
def fleet(tmp_path):
    with ByHand(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def calls(tmp_path):
    """A file with the system calls that the units leave to a worker."""
    analyze = files_of("systemd", "bin/systemd-analyze")[0]
    file = tmp_path / "calls"
    file.write_text("\n".join(calls_of(unit("squidmesh-worker@.service"), analyze)))
    return file


def ready(url: str) -> bool:
    """As a probe asks."""
    return runpy.run_path(str(IMAGE / "health.py"))["trouble"](url.removeprefix("http://"), "/readyz") is None


def handled(url: str) -> float:
    """Attempts that this worker completed."""
    lines = re.findall(r'^squidmesh_attempts_total{.*outcome="completed".*} ([\d.]+)$', get(f"{url}/metrics")[1], re.M)
    return sum(map(float, lines))


def test_a_whole_fleet_runs_work_and_drains(fleet, calls, tmp_path):
    fleet.run_once("migrate")
    fleet.run_once("rights")
    # The first as systemd would have it, the others as they are.
    under = [sys.executable, CONFINED, calls]
    workers = [fleet.start("worker", under=under, number=1)]
    workers += [fleet.start("worker", number=number) for number in range(2, TOPOLOGY.processes["worker"].instances + 1)]
    cron = fleet.start("cron")

    # Health, as probes and the image's HEALTHCHECK ask for it.
    urls = [started.listens() for started in (*workers, cron)]
    for url in urls:
        until(partial(ready, url), f"{url} to be ready")
        assert get(f"{url}{TOPOLOGY.processes['worker'].health}") == (200, "ok\n")

    # Work, spread over all of them.
    app = fleet.mesh()
    mesh, order = app["mesh"], app["Order"]
    with mesh:
        orders = [order(order_id=str(number), amount=number) for number in range(60)]
        runs = [run.run_id for run in mesh.start_runs(app["Fulfil"].placed, orders)]
        for run_id in runs:
            assert mesh.wait_for(run_id, timeout=60).status == "completed"
        assert all(handled(url) > 0 for url in urls[:3])
        until(lambda: mesh.list_runs(workflow="Stocktaking").runs, "a run by the clock", within=90)

        # A worker that is replaced in the middle of work, as in a rolling update: nothing is delivered again.
        more = [run.run_id for run in mesh.start_runs(app["Fulfil"].placed, orders)]
        workers[0].process.send_signal(signal.SIGTERM)
        assert workers[0].ends(TOPOLOGY.stop_after) == 0
        replaced = fleet.start("worker", under=under, number=9)
        for run_id in more:
            done = mesh.wait_for(run_id, timeout=60)
            assert done.status == "completed"
            assert [attempt.lost for attempt in done.attempts] == [0] * len(done.attempts)
        assert get(f"{replaced.listens()}/livez") == (200, "ok\n")

        # The end of all, with work in flight.
        last = [run.run_id for run in mesh.start_runs(app["Fulfil"].placed, orders)]
        until(lambda: any(mesh.inspect_run(run_id).status != "running" for run_id in last), "some of it to be done")

    codes = fleet.drain()

    assert list(codes) == ["cron", "worker", "redis"], "the stores go last"
    assert codes == {"cron": [0], "worker": [0] * 4, "redis": [0]}
    rows = fleet.postgres.execute("SELECT count(*) FROM squidmesh.agenda WHERE owner IS NOT NULL", database="orders")
    assert rows == [(0,)], "who drains holds nothing"
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    secrets = [path.read_text().strip() for path in fleet.secrets.iterdir()]
    assert "Traceback" not in logs
    assert not [secret for secret in secrets if secret in logs]

    # What was in flight goes on after the next start.
    fleet.start_redis()
    fleet.start("worker", number=11).listens()  # what is told to end before it has begun has no drain
    app = fleet.mesh()
    with app["mesh"] as mesh:
        for run_id in last:
            done = mesh.wait_for(run_id, timeout=90)
            assert done.status == "completed"
            assert [attempt.lost for attempt in done.attempts] == [0] * len(done.attempts)
    assert fleet.drain() == {"worker": [0], "redis": [0]}


def test_who_says_no_password_gets_nothing(fleet):
    for role in ("squidmesh_owner", "orders_worker"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://{role}@127.0.0.1:{fleet.postgres.port}/orders")
    assert fleet.ask_redis("GET x").startswith("-NOAUTH")
    assert fleet.ask_redis(f"AUTH default {fleet.secret('redis-password')}").startswith("-WRONGPASS")
    assert fleet.ask_redis("AUTH health none", "PING", "GET x") == "+OK +PONG -NOPERM"
    assert fleet.ask_redis(f"AUTH squidmesh {fleet.secret('redis-password')}", "FLUSHALL") == "+OK -NOPERM"


def test_each_role_may_do_its_own(fleet):
    owner, worker = fleet.secret("owner-url"), fleet.secret("worker-url")
    with psycopg.connect(worker, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE SCHEMA squidmesh")

    fleet.run_once("migrate")
    with psycopg.connect(worker, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT count(*) FROM squidmesh.runs")
    fleet.run_once("rights")
    with psycopg.connect(worker, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM squidmesh.runs").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM squidmesh.entries")
    with psycopg.connect(owner, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE ROLE another")


def test_redis_keeps_over_a_restart_what_it_was_told(fleet):
    login = f"AUTH squidmesh {fleet.secret('redis-password')}"
    assert fleet.ask_redis(login, "SET squidmesh:{q}:x 1") == "+OK +OK"
    told = (fleet.folder / "redis-1.log").read_text()
    assert "Warning: no config file" not in told
    fleet.drain()
    fleet.start_redis()
    assert fleet.ask_redis(login, "GET squidmesh:{q}:x") == "+OK $1 1"
