"""A worker process that is watched: its pages, its log in JSON, and one trace over two processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from squidmesh import Mesh
from squidmesh.observe.tracing import Tracing
from squidmesh.ports.metrics import METRICS
from tests.support.watched import Order, Shop, Stuck

WAIT = 30.0
ROOT = Path(__file__).resolve().parents[2]


class Watched:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        found: list[str] = re.findall(r"http://[0-9.:]+", self.log)
        return found[0] if found else ""

    def ask(self, path: str, accept: str = "") -> tuple[int, str]:
        """The status and the body; 0 where nobody listens yet."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=WAIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def watched(folder: Path, url: str, *options: str, **environment: str) -> Iterator[Watched]:
    log = folder / "worker.log"
    told = {**os.environ, "WATCHED_URL": url, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **environment}
    command = [sys.executable, "-m", "squidmesh", "--app", "tests.support.watched:mesh", "worker"]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--listen=127.0.0.1:0", *options], env=told, stderr=out)
    worker = Watched(process, log)
    try:
        until(lambda: worker.url or process.poll() is not None, "it listens")
        assert process.poll() is None, worker.log
        yield worker
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)


def at_charge(mesh: Mesh, run_id: str) -> bool:
    return any((one.step, one.status) == ("charge", "claimed") for one in mesh.inspect_run(run_id).attempts)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


def test_a_worker_tells_how_it_is_and_its_log_and_trace_hold_the_ids(tmp_path: Path, url: str) -> None:
    provider, spans = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with (
        Mesh.connect(url, workflows=[Shop]) as mesh,
        watched(tmp_path, url, "--log-format=json", "--grace=20", WATCHED_FOLDER=str(tmp_path)) as worker,
    ):
        mesh.observe(Tracing(provider))
        run = mesh.start_run(Shop.placed, Order(number=1))
        mesh.wait_for(run.run_id, timeout=WAIT)
        until(lambda: worker.ask("/readyz") == (200, "ok\n"), "it is ready")
        assert worker.ask("/livez") == (200, "ok\n")

        status, page = worker.ask("/metrics", "application/openmetrics-text")
        families = {family.name: family for family in text_string_to_metric_families(page)}
        assert status == 200
        assert set(families) == {metric.name.removesuffix("_total") for metric in METRICS}
        exemplars = {s.exemplar.labels["run_id"] for f in families.values() for s in f.samples if s.exemplar}
        assert exemplars == {run.run_id}

        slow = mesh.start_run(Shop.placed, Order(number=4))
        until(lambda: at_charge(mesh, slow.run_id), "the slow step runs")
        assert "squidmesh_slots_busy 1.0" in worker.ask("/metrics")[1]
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: worker.ask("/readyz") == (503, "draining\n"), "it is not ready while it drains")
        assert worker.ask("/livez") == (200, "ok\n")
        assert worker.process.wait(WAIT) == 0
        assert mesh.inspect_run(slow.run_id).status == "completed"

    lines = [json.loads(line) for line in worker.log.splitlines()]
    said = [line for line in lines if line["event"] in ("picked", "packed") and line["run_id"] == run.run_id]
    assert [line["event"] for line in said] == ["picked", "packed"]
    for line in said:
        assert (line["workflow"], line["step"], line["attempt"], line["fence"]) == ("Shop", "pick", 1, 1)
        assert line["level"] == "warning"
        assert line["timestamp"].endswith("Z")
    assert {"worker_started", "worker_listens", "worker_drains", "worker_ended"} <= {line["event"] for line in lines}
    assert all("run_id" not in line for line in lines if line["event"].startswith("worker_"))

    (start, _) = spans.get_finished_spans()
    context = start.get_span_context()
    assert context is not None
    found = [line.split() for line in (tmp_path / "spans").read_text().splitlines()]
    ours = [line for line in found if line[1] == f"{context.trace_id:032x}"]
    assert [name for *_, name in ours] == ["shelf", "Shop.pick", "Shop.charge", "Shop.charge"]
    shelf, pick, *charges = ours
    assert {line[0] for line in ours} == {str(worker.process.pid)}
    assert shelf[3] == pick[2], "the step's own span is below that of its attempt"
    assert {line[3] for line in (pick, *charges)} == {f"{context.span_id:016x}"}
    assert trace.get_current_span().get_span_context().is_valid is False


def test_a_pump_that_hangs_is_not_live(tmp_path: Path, url: str) -> None:
    with Mesh.connect(url, workflows=[Stuck]) as mesh, watched(tmp_path, url, WATCHED_HANGS="1") as worker:
        assert worker.ask("/livez") == (200, "ok\n")
        mesh.start_run(Stuck.placed)
        until(lambda: worker.ask("/livez")[0] == 503, "the pump does not turn any more")
        reason = r"the pump has not turned for \d+\.\d s; allowed is 0:00:02\n"
        for page in ("/livez", "/readyz"):
            status, why = worker.ask(page)
            assert (status, bool(re.fullmatch(reason, why))) == (503, True), why
