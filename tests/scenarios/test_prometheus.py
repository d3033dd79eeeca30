"""A real Prometheus over a live fleet on PostgreSQL and Redis: each metric has data, and the gauges are true."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from squidmesh import Mesh
from squidmesh.ports.metrics import METRICS
from tests.support.postgreses import VERSIONS
from tests.support.postgreses import started as postgres_started
from tests.support.prometheus import Prometheus, prometheus
from tests.support.redises import started as redis_started
from tests.support.watched import LEASE, Order, Shop, Stuck

pytestmark = [pytest.mark.all, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]


def until(true: Callable[[], object], what: str, within: float = 60) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


class Scraped:
    """Processes that listen, each on a port that it found free."""

    def __init__(self, folder: Path, server: Prometheus, **told: str) -> None:
        self._folder = folder
        self._server = server
        self._told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **told}
        self._logs: dict[int, Path] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"log-{len(self._logs)}"
        words = [sys.executable, "-m", "squidmesh", "--app", "tests.support.watched:mesh", *command]
        with log.open("wb") as out:
            process = subprocess.Popen([*words, "--listen=127.0.0.1:0"], env=self._told, stdout=out, stderr=out)
        self._logs[process.pid] = log
        self.processes.append(process)
        until(lambda: self._listens(process), f"{command} listens")
        self.tell()
        return process

    def tell(self) -> None:
        living = [process for process in self.processes if process.poll() is None]
        self._server.scrape([self._listens(process) for process in living])

    def kill(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait(30)
        self.tell()

    def _listens(self, process: subprocess.Popen[bytes]) -> str:
        found: list[str] = re.findall(r"http://([0-9.:]+)", self._logs[process.pid].read_text())
        return found[0] if found else ""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Mesh, Scraped, Prometheus]]:
    with ExitStack() as stack:
        folders = {name: tmp_path / name for name in ("postgres", "redis", "prometheus")}
        for folder in folders.values():
            folder.mkdir()
        url = stack.enter_context(postgres_started(VERSIONS[0], folders["postgres"])).create_database("watched")
        leases = stack.enter_context(redis_started("valkey", folders["redis"])).url
        Mesh.migrate(url)
        mesh = stack.enter_context(Mesh.connect(url, leases=leases, workflows=[Shop, Stuck], lease=LEASE))
        server = stack.enter_context(prometheus(folders["prometheus"]))
        scraped = Scraped(tmp_path, server, WATCHED_URL=url, WATCHED_LEASES=leases)
        stack.callback(lambda: scraped.kill(*(one for one in scraped.processes if one.poll() is None)))
        yield mesh, scraped, server


def test_each_metric_has_data_and_the_gauges_are_true_after_everything_was_killed(
    world: tuple[Mesh, Scraped, Prometheus],
) -> None:
    mesh, scraped, server = world
    cron = scraped.start("cron", "--look-every=1")
    for _ in range(3):
        scraped.start("worker", "--concurrency=4")
    for number in (0, 1, 2, 4):
        mesh.start_runs(Shop.placed, [Order(number=number)] * 20)

    # One whose step kills its worker, and then the child process that it runs in: a takeover, and a dead letter.
    mesh.start_run(Shop.placed, Order(number=3))
    until(lambda: any(one.poll() == -signal.SIGKILL for one in scraped.processes), "a worker dies")
    scraped.start("worker", "--concurrency=4")
    until(lambda: mesh.vitals().dead_letters == 1, "a dead letter")

    # Of two windows that nobody looks at, the older one is passed over.
    scraped.kill(cron)
    killed = time.time()
    until(lambda: time.time() > (killed // 60 + 2) * 60 + 1, "two windows have passed", within=130)
    scraped.start("cron", "--look-every=1")

    def without_data() -> list[str]:
        names = [f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name for metric in METRICS]
        return [name for name in names if not server.query(f"count_over_time({name}[5m])")]

    end = time.monotonic() + 60
    while (missing := without_data()) and time.monotonic() < end:
        time.sleep(1)
    assert missing == []
    # What a killed process did after its last scrape is gone with it, so these are bounds.
    for expression, at_least in {
        'sum(max_over_time(squidmesh_attempts_total{outcome="failed"}[5m]))': 20,
        "sum(max_over_time(squidmesh_retries_total[5m]))": 10,
        "sum(max_over_time(squidmesh_leases_taken_over_total[5m]))": 1,
        "sum(max_over_time(squidmesh_dead_letters_total[5m]))": 1,
        "sum(max_over_time(squidmesh_cron_fired_total[5m]))": 1,
    }.items():
        ((_, value),) = server.query(expression)
        assert value >= at_least, expression

    # Nothing of this queue goes on, everything dies, and somebody new tells the truth.
    mesh.pause_queue("till", actor="sam")
    until(lambda: mesh.vitals().runs.get("running", 0) == 0, "what went on has ended")
    mesh.start_runs(Shop.placed, [Order()] * 7)
    ready = 'max(squidmesh_queue_items{queue="till",state="ready"})'
    until(lambda: [value for _, value in server.query(ready)] == [7], "seven wait")
    scraped.kill(*(one for one in scraped.processes if one.poll() is None))
    until(lambda: not server.query("squidmesh_build_info"), "nobody is scraped any more")
    scraped.start("worker")
    until(lambda: server.query(ready), "somebody is scraped again")
    vitals = mesh.vitals()
    for stats in vitals.queues:
        for state, count in (("ready", stats.ready), ("delayed", stats.delayed), ("leased", stats.leased)):
            found = server.query(f'max(squidmesh_queue_items{{queue="{stats.queue}",state="{state}"}})')
            assert [value for _, value in found] == [count], (stats, state)
    assert {labels["status"]: value for labels, value in server.query("max by (status) (squidmesh_runs)") if value} == {
        status: count for status, count in vitals.runs.items() if count
    }
    assert server.query("max(squidmesh_dead_letters_open)") == [({}, 1)]
    assert server.query('max(squidmesh_queue_paused{queue="till"})') == [({}, 1)]
    ((_, age),) = server.query('max(squidmesh_queue_oldest_ready_age_seconds{queue="till"})')
    assert age > 0
