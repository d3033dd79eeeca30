"""A worker of many slots, whose journal a server keeps, has two pumps: one decides while the other one's commit is on
its way. To everybody else it is one worker.
"""

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from squidmesh_postgres import PostgresBackend

from squidmesh import Mesh, QueueShare, Workflow, complete, manual, step
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.pumping import MANY_SLOTS

PATIENCE = 60.0
called: Counter[int] = Counter()
together = threading.Barrier(MANY_SLOTS)


class Errand(BaseModel):
    number: int = 0


def count(number: int) -> None:
    called[number] += 1


def meet(number: int) -> None:
    together.wait(PATIENCE)


class Ring(Workflow):
    version = "1"
    leave = manual(Errand)
    shire = step(count)
    rivendell = step(count)
    flow = shire >> rivendell >> complete


class Council(Workflow):
    version = "1"
    call = manual(Errand)
    elrond = step(meet)
    flow = elrond >> complete


@pytest.fixture
def mesh(postgres_url):
    called.clear()
    backend = PostgresBackend(postgres_url)
    backend.migrate()
    backend.close()
    with Mesh.connect(postgres_url, workflows=[Ring, Council]) as opened:
        yield opened


def pumps(worker):
    with worker:
        return len(worker._pumps)


def test_only_many_slots_on_a_server_have_two(mesh, tmp_path: Path):
    assert pumps(mesh.worker(concurrency=MANY_SLOTS)) == 2
    assert pumps(mesh.worker(concurrency=MANY_SLOTS - 1)) == 1
    assert pumps(mesh.worker(concurrency=MANY_SLOTS, queues=[QueueShare("default", limit=2)])) == 1
    with Mesh.connect(f"sqlite:///{tmp_path}/ring.db", workflows=[Ring]) as embedded:
        assert pumps(embedded.worker(concurrency=MANY_SLOTS)) == 1


def test_every_step_is_called_once(mesh):
    runs = mesh.start_runs(Ring.leave, [Errand(number=number) for number in range(200)])
    with mesh.worker(concurrency=MANY_SLOTS):
        for run in runs:
            assert mesh.wait_for(run.run_id, timeout=PATIENCE).status == "completed"
    assert called == dict.fromkeys(range(200), 2)


def test_all_slots_are_used(mesh):
    """Each step waits for all others: it takes both pumps to have them run."""
    runs = mesh.start_runs(Council.call, [Errand()] * MANY_SLOTS)
    with mesh.worker(concurrency=MANY_SLOTS) as worker:
        for run in runs:
            assert mesh.wait_for(run.run_id, timeout=PATIENCE).status == "completed"
        assert worker.signs().capacity == MANY_SLOTS


def test_what_ends_one_pump_ends_the_worker(mesh, monkeypatch: pytest.MonkeyPatch):
    turn = Pump.turn

    def broken(self, **options):
        if threading.current_thread().name == "squidmesh-pump-2":
            raise RuntimeError("a balrog")
        return turn(self, **options)

    monkeypatch.setattr(Pump, "turn", broken)
    worker = mesh.worker(concurrency=MANY_SLOTS).start()
    worker.join(timedelta(seconds=PATIENCE))
    assert not worker.running
    assert isinstance(worker.failed, RuntimeError)


def test_a_drain_gives_back_what_both_hold(mesh):
    runs = mesh.start_runs(Council.call, [Errand()] * (MANY_SLOTS - 1))
    with mesh.worker(concurrency=MANY_SLOTS, grace=0) as worker:
        while worker.signs().busy < MANY_SLOTS - 1:
            assert worker.running
            threading.Event().wait(0.01)
    together.abort()
    together.reset()
    assert {mesh.inspect_run(run.run_id).status for run in runs} == {"running"}
    assert not worker.running
    with mesh.worker(concurrency=MANY_SLOTS):
        last = mesh.start_run(Council.call)
        assert mesh.wait_for(last.run_id, timeout=PATIENCE).status == "completed"
        for run in runs:
            assert mesh.wait_for(run.run_id, timeout=PATIENCE).status == "completed"
