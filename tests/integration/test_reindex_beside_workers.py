"""Rows are lost again and again while workers work: reindex brings them back, and nothing is done twice."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import squidmesh_sqlite
from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, manual, step, wait_for_children
from squidmesh.ports.journal_store import JournalStore, RunQuery
from squidmesh.runtime.chance import SystemClock
from tests.support.audit import audit

RUNS = 40
CHILDREN = 2


class Letter(BaseModel):
    number: int


DONE: Counter[str] = Counter()
LOCK = threading.Lock()


def count(context: Context) -> None:
    with LOCK:
        DONE[context.idempotency_key] += 1


def write(number: int, context: Context) -> None:
    count(context)
    for child in range(CHILDREN):
        context.start_child_run(Copy.make, Letter(number=number), key=str(child))


class Copy(Workflow):
    version = "1"
    make = manual(Letter)
    copy = step(count)
    send = step(count)
    flow = copy >> send


class Mail(Workflow):
    version = "1"
    go = manual(Letter)
    write = step(write, timeout=300)
    copies = wait_for_children()
    seal = step(count)
    flow = write >> copies >> seal


def odd(name: str) -> bool:
    return sum(name.encode()) % 2 == 1


@pytest.fixture
def vandalise(tmp_path: Path) -> Callable[[], None]:
    """Takes about half of the rows away."""

    def vandalise() -> None:
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None, timeout=30)) as connection:
            connection.create_function("odd", 1, odd)
            for table, name in (("agenda", "item"), ("timers", "timer"), ("runs", "run_id")):
                connection.execute(f"DELETE FROM {table} WHERE odd({name})")

    return vandalise


def ended(mesh: Mesh) -> bool:
    counts = mesh.count_runs()
    return counts.get("completed", 0) == RUNS * (1 + CHILDREN)


def test_workers_go_on_while_rows_are_lost_and_made_again(tmp_path: Path, vandalise: Callable[[], None]) -> None:
    DONE.clear()
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    put = 0
    with Mesh.connect(url, workflows=[Mail, Copy], lease=600, idle_poll=0.05) as mesh:
        mesh.start_runs(Mail, [{"number": number} for number in range(RUNS)])
        rounds = 0
        with mesh.worker(concurrency=4, grace=30):
            while not ended(mesh):
                rounds += 1
                assert rounds < 2000, mesh.count_runs()
                vandalise()
                put += mesh.reindex().put
        assert put > RUNS, "there was something to do"
        vandalise()
        mesh.reindex()
        last = mesh.reindex()
        assert (last.put, last.removed, last.changed, last.unreadable) == (0, 0, 0, [])
    _audit(url)
    assert set(DONE.values()) == {1}, "each step ran once: no lease was touched"
    assert len(DONE) == RUNS * (2 + 2 * CHILDREN)


def _audit(url: str) -> None:
    backend = squidmesh_sqlite.backend(url, clock=SystemClock())
    store: JournalStore = backend.journal()
    rows = store.runs(RunQuery(limit=1000)).rows
    assert len(rows) == RUNS * (1 + CHILDREN)
    for row in rows:
        audit(store, row.run_id, every_prefix=False)
    assert store.open_timers() == []
    backend.close()
