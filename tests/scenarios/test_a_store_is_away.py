"""Workers whose store is away: one that begins waits for it, one that works says so once and does next to nothing, and
one that is cut off from the journal alone does not keep the work of others.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from squidmesh import Mesh
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.processes import free_port
from squidmesh.testing.servers import Server
from tests.integration.test_observed_worker import ROOT, Watched, until
from tests.scenarios.fleet import until as until_fleet
from tests.scenarios.postgres_fleet import PostgresFleet
from tests.scenarios.sale import LEASE
from tests.support.gate import Gate
from tests.support.postgreses import VERSIONS, started
from tests.support.redises import started as redis_started
from tests.support.watched import Order, Shop

AWAY = 10.0
"""Seconds."""
MOST_CPU = 0.1
"""Of one processor. It is about 0.01; this is a shared machine."""


@contextmanager
def begun(folder: Path, url: str, *options: str, leases: str = "") -> Iterator[Watched]:
    """A worker process, from its very beginning."""
    told = {**os.environ, "WATCHED_URL": url, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    if leases:
        told["WATCHED_LEASES"] = leases
    command = [sys.executable, "-m", "squidmesh", "--app", "tests.support.watched:mesh", "worker", *options]
    log = folder / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--listen=127.0.0.1:0"], env=told, stderr=out)
    try:
        yield Watched(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def test_a_worker_that_begins_without_its_journal_waits_and_leaves_when_told(tmp_path: Path) -> None:
    with begun(tmp_path, f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as worker:
        until(lambda: "worker_waits" in worker.log, "it to say so")
        assert worker.ask("/readyz") == (503, "not started yet\n")
        assert worker.ask("/livez") == (200, "ok\n")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0, worker.log
        assert [worker.log.count(word) for word in ("worker_waits", "worker_started", "Traceback")] == [1, 0, 0]


@pytest.fixture
def postgres(tmp_path: Path, postgres_templates: Path) -> Iterator[Postgres]:
    with started(VERSIONS[0], tmp_path / "postgres", templates=postgres_templates) as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    with redis_started("valkey", tmp_path / "valkey") as server:
        yield server


@pytest.mark.all
@pytest.mark.timeout(180)
@pytest.mark.parametrize("missing", ["journal", "leases"])
def test_it_begins_when_its_store_is_there(missing: str, tmp_path: Path, postgres: Postgres, valkey: Server) -> None:
    url = postgres.create_database("late")
    Mesh.migrate(url)
    store: Postgres | Server = postgres if missing == "journal" else valkey
    store.stop()
    with begun(tmp_path, url, leases=valkey.url) as worker:
        until(lambda: "worker_waits" in worker.log, "it to say so")
        store.start()
        until(lambda: worker.ask("/readyz") == (200, "ok\n"), "it to be ready")
        assert worker.log.count("worker_waits") == 1
        with Mesh.connect(url, leases=valkey.url, workflows=[Shop]) as mesh:
            mesh.wait_for(mesh.start_run(Shop.placed, Order(number=7)).run_id, timeout=30)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0, worker.log


@pytest.mark.all
@pytest.mark.timeout(180)
def test_what_no_waiting_mends_ends_it_at_once(tmp_path: Path, postgres: Postgres, valkey: Server) -> None:
    url = postgres.create_database("mine")
    other = postgres.create_database("other")
    Mesh.migrate(other)
    with Mesh.connect(other, leases=valkey.url) as mesh:
        mesh.reconcile()  # the lease backend is that mesh's now
    stranger = f"postgresql://stranger@{url.partition('@')[2]}"
    for address, leases, said in (
        (url, "", "schema_out_of_date"),
        (stranger, "", "access_refused"),
        (url.replace("/mine", "/nothing"), "", "access_refused"),
        ("nowhere://x", "", "invalid_url"),
    ):
        with begun(tmp_path, address, leases=leases) as worker:
            assert worker.process.wait(30) == 2, (address, worker.log)
            assert said in worker.log, (address, worker.log)
    Mesh.migrate(url)
    with begun(tmp_path, url, leases=valkey.url) as worker:
        assert worker.process.wait(30) == 2
        assert "wrong_plane: " in worker.log


@pytest.mark.all
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["stopped", "frozen"])
@pytest.mark.parametrize("store", ["journal", "leases"])
def test_a_store_that_goes_away_is_a_line_and_costs_nothing(
    store: str, how: str, tmp_path: Path, postgres: Postgres, valkey: Server
) -> None:
    url = postgres.create_database("mine")
    Mesh.migrate(url)
    victim: Postgres | Server = postgres if store == "journal" else valkey
    with begun(tmp_path, url, "--with=cron", leases=valkey.url) as worker:
        until(lambda: worker.url, "it to listen")
        until(lambda: worker.ask("/readyz") == (200, "ok\n"), "it to be ready")
        before = cpu(worker)
        if how == "stopped":
            victim.stop()
        else:
            victim.freeze()
        until_fleet(lambda: f"store_away store={store}" in worker.log, "it to notice", within=60)
        time.sleep(AWAY)  # what it does in a time in which there is nothing to do
        used = (cpu(worker) - before) / AWAY
        print(f"{store} {how}: {used:.3f} of a processor")
        assert worker.ask("/readyz")[0] == 503
        if how == "stopped":
            victim.start()
        else:
            victim.resume()
        until_fleet(lambda: f"store_back store={store}" in worker.log, "its return", within=60)
        until(lambda: worker.ask("/readyz")[0] == 200, "it to be ready again")
        assert used < MOST_CPU
        assert worker.log.count("store_away") == worker.log.count("store_back") == 1, worker.log
        lines = [line for line in worker.log.splitlines() if " WARNING " in line]
        quiet = [line for line in lines if not any(word in line for word in ("store_away", "lease_backend_adopted"))]
        assert all("cron_" in line for line in quiet), worker.log
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0, worker.log


def cpu(worker: Watched) -> float:
    """Seconds of a processor that it has used so far."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ------------------------------------------------------------------------------------------------------- cut off


class Divided(PostgresFleet):
    """The first worker reaches the journal through a gate of its own."""

    def told_through(self, port: int) -> None:
        self._gate = port

    def told(self) -> dict[str, str]:
        told = super().told()
        if not self.workers:
            told["SCENARIO_URL"] = self.url.replace(f":{self.server.port}/", f":{self._gate}/")
        return told


@pytest.mark.all
@pytest.mark.timeout(240)
def test_a_worker_that_is_cut_off_from_the_journal_alone_keeps_nothing(
    tmp_path: Path, postgres: Postgres, valkey: Server
) -> None:
    """It reaches Redis all the time, and could extend its leases for ever (protocol 3.5.4). Its outcomes wait for
    longer than a lease, or its pump does not turn for one: it stops, and another worker does the work.
    """
    with ExitStack() as stack:
        gate = stack.enter_context(Gate(postgres.port))
        fleet = Divided(tmp_path, postgres, redis=valkey, limits={"LOCK_TIMEOUT": 1.0, "PATIENCE": 60.0}, workers=2)
        fleet.told_through(gate.port)
        stack.enter_context(fleet)
        cut_off, other = fleet.workers
        held = fleet.hold(4)  # as many as there are slots
        theirs = [run_id for run_id in held if any(run_id in item for item in fleet.claimed_by(cut_off))]
        assert theirs, "it held something"
        gate.shut()
        fleet.let_go()  # its steps end, and it can tell nobody
        until_fleet(
            lambda: all(fleet.mesh.inspect_run(run_id).ended_at for run_id in theirs),
            "another worker to end them",
            within=6 * LEASE + 30,
        )
        assert cut_off.poll() is None
        gate.open()
        until_fleet(lambda: "store_back" in fleet.log(cut_off) or "stale" in fleet.log(cut_off), "it", within=90)
        fleet.start(10)
        fleet.finish()
        verdict = fleet.judge()
        assert verdict.lost >= len(theirs)
        assert "stale_write_refused" in fleet.log(cut_off) or "lease_lost" in fleet.log(cut_off)
        assert not fleet.claimed_by(other)
