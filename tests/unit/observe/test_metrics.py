"""Metrics: one table, few labels, and a page that every parser of its formats reads."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from pydantic import BaseModel

from squidmesh import Mesh, RetryPolicy, Workflow, fixed, manual, step
from squidmesh.observe.counts import MOST_SERIES, MOST_VALUES, Counts
from squidmesh.observe.health import Health
from squidmesh.observe.meter import Meter
from squidmesh.observe.prometheus import Page
from squidmesh.observe.remembered import Remembered
from squidmesh.ports import metrics
from squidmesh.ports.metrics import METRICS, OTHER
from squidmesh.ports.vitals import Vitals, WorkerSigns

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SIGNS = WorkerSigns(
    quiet=timedelta(0), patience=timedelta(seconds=9), running=True, draining=False, busy=1, capacity=4, held=1
)


class Order(BaseModel):
    number: int = 0


class Shaky(Workflow):
    version = "1"
    placed = manual(Order)
    pick = step(lambda: None)
    charge = step(lambda number: {"share": 1 // number}, retry=RetryPolicy(max_attempts=2, backoff=fixed(0.001)))
    flow = pick >> charge


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Shaky]) as mesh:
        yield mesh


def page_of(mesh: Mesh, counts: Counts) -> Page:
    look = Remembered(mesh.vitals, keep=0)
    return Page(counts, look=look, signs=lambda: SIGNS, health=Health(lambda: SIGNS, look))


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name, and the values of the labels in order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in plain(text)
        for sample in family.samples
    }


# -------------------------------------------------------------------------------------------------- the table


def test_names_are_of_one_kind_and_base_units_and_stand_once():
    assert len({metric.name.removesuffix("_total") for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"squidmesh_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith(metric.unit)
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert not {"run_id", "item", "owner", "claim_id", "key"} & set(metric.labels)


def test_every_label_has_a_limit_or_fixed_words():
    fixed_words = {"status", "outcome", "moment", "store", "state", "version", "python", "role"}
    assert {label for metric in METRICS for label in metric.labels} == fixed_words | set(MOST_VALUES)


# -------------------------------------------------------------------------------------------------- the labels


def test_a_label_has_few_values_and_those_that_come_later_are_other():
    counts = Counts(queues=("late",))
    for number in range(3 * MOST_VALUES["queue"]):
        counts.add(metrics.LEASES_TAKEN_OVER, f"queue-{number}")
    counts.add(metrics.LEASES_TAKEN_OVER, "late")
    found = dict(counts.counters(metrics.LEASES_TAKEN_OVER))
    assert len(found) == MOST_VALUES["queue"] + 1
    assert found[(OTHER,)] == 2 * MOST_VALUES["queue"] + 1
    assert found[("late",)] == 1, "a queue that was configured keeps its name"
    assert sum(found.values()) == 3 * MOST_VALUES["queue"] + 1


def test_a_metric_has_few_series_whatever_its_labels_are():
    counts = Counts()
    for workflow in range(100):
        for step_ in range(100):
            counts.add(metrics.RETRIES, f"w{workflow}", f"s{step_}")
    found = dict(counts.counters(metrics.RETRIES))
    assert len(found) == MOST_SERIES + 1
    assert found[OTHER, OTHER] == 100 * 100 - MOST_SERIES


# ---------------------------------------------------------------------------------------------------- the page


def test_what_a_run_does_is_counted(mesh: Mesh):
    counts = Counts()
    mesh.observe(Meter(counts))
    mesh.start_run(Shaky, {"number": 1})
    failing = mesh.start_run(Shaky, {"number": 0})
    while mesh.inspect_run(failing.run_id).status != "failed" or mesh.execute_next() is not None:
        mesh.execute_next()
    text, kind = page_of(mesh, counts).write("")
    assert kind.startswith("text/plain")
    found = samples(text.decode())
    assert found["squidmesh_runs_started_total", "Shaky"] == 2
    assert found["squidmesh_runs_ended_total", "completed", "Shaky"] == 1
    assert found["squidmesh_runs_ended_total", "failed", "Shaky"] == 1
    assert found["squidmesh_attempts_total", "completed", "pick", "Shaky"] == 2
    assert found["squidmesh_attempts_total", "failed", "charge", "Shaky"] == 2
    assert found["squidmesh_retries_total", "charge", "Shaky"] == 1
    assert found["squidmesh_step_duration_seconds_count", "failed", "charge", "Shaky"] == 2
    assert found["squidmesh_schedule_to_start_seconds_count", "default"] == 5
    assert found["squidmesh_lease_margin_seconds_bucket", "+Inf", "outcome"] == 5
    assert found["squidmesh_commit_groups_count",] > 0
    assert found["squidmesh_runs", "failed"] == 1


def test_openmetrics_has_the_runs_as_exemplars_and_passes_its_own_parser(mesh: Mesh):
    counts = Counts()
    mesh.observe(Meter(counts))
    run = mesh.start_run(Shaky, {"number": 1})
    mesh.execute_next()
    counts.observe(metrics.LEASE_MARGIN, -3.0, "outcome")
    text, kind = page_of(mesh, counts).write(OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics(text.decode())}
    assert set(families) >= {metric.name.removesuffix("_total") for metric in METRICS}
    buckets = families["squidmesh_step_duration_seconds"].samples
    assert {sample.exemplar.labels["run_id"] for sample in buckets if sample.exemplar} == {run.run_id}


def test_no_exemplar_stands_in_the_plain_text(mesh: Mesh):
    counts = Counts()
    mesh.observe(Meter(counts))
    run = mesh.start_run(Shaky, {"number": 1})
    mesh.execute_next()
    assert run.run_id not in page_of(mesh, counts).write("")[0].decode()


CHILD = """
import os, sys
from tests.unit.observe.test_metrics import Shaky
from squidmesh import Mesh
mesh = Mesh.connect(sys.argv[1], workflows=[Shaky])
mesh.start_runs(Shaky.placed, [{"number": 1}] * 3)
mesh.execute_next()
mesh._engine().leases.claim(["default"], owner="gone", limit=1, lease=mesh._config.lease, request_id="r")
os._exit(9)
"""


def test_the_gauges_of_the_stores_are_true_after_a_process_was_killed(mesh: Mesh, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, url], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 9
    found = samples(page_of(mesh, Counts()).write("")[0].decode())
    assert found["squidmesh_queue_items", "default", "ready"] == 2
    assert found["squidmesh_queue_items", "default", "leased"] == 1
    assert found["squidmesh_leases_active",] == 1
    assert found["squidmesh_runs", "running"] == 3
    assert found["squidmesh_queue_oldest_ready_age_seconds", "default"] > 0


def test_stores_that_are_away_are_a_metric_and_no_failed_scrape():
    def away() -> Vitals:
        raise OSError("no route")

    look = Remembered(away)
    page = Page(Counts(), look=look, signs=lambda: SIGNS, health=Health(lambda: SIGNS, look))
    found = samples(page.write("")[0].decode())
    assert found["squidmesh_stores_up", "journal"] == found["squidmesh_stores_up", "leases"] == 0
    assert found["squidmesh_ready",] == 0
    assert found["squidmesh_live",] == 1
    assert not [name for name in found if name[0] in ("squidmesh_queue_items", "squidmesh_runs")], "unknown is not 0"


def test_a_lease_backend_that_is_away_leaves_the_journals_gauges():
    vitals = Vitals(runs={"running": 2}, dead_letters=1, queues=(), paused=frozenset({"night"}), trouble="no route")
    look = Remembered(lambda: vitals)
    page = Page(Counts(), look=look, signs=lambda: SIGNS, health=Health(lambda: SIGNS, look))
    found = samples(page.write("")[0].decode())
    assert (found["squidmesh_stores_up", "journal"], found["squidmesh_stores_up", "leases"]) == (1, 0)
    assert (found["squidmesh_runs", "running"], found["squidmesh_dead_letters_open",]) == (2, 1)
    assert found["squidmesh_queue_paused", "night"] == 1
    assert ("squidmesh_leases_active",) not in found
