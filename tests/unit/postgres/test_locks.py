"""A thread that somebody else holds locked: it is named, remembered, and holds up nobody but those who want it."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from pydantic import BaseModel
from squidmesh_postgres import PostgresBackend, pool

from squidmesh import Mesh, Workflow, complete, manual, step
from squidmesh.errors import ThreadsLocked
from squidmesh.ports.journal_store import Committed
from squidmesh.runtime import intake
from squidmesh.testing.journal_suite import alone, revisions, thread_id

WAIT = 0.3
"""Seconds that a statement waits for a lock here."""


@pytest.fixture
def url(postgres_url, monkeypatch):
    monkeypatch.setattr(pool, "LOCK_TIMEOUT", WAIT)
    PostgresBackend(postgres_url).migrate()
    return postgres_url


@contextmanager
def held(url, *threads):
    """By a session that was forgotten."""
    with psycopg.connect(url) as forgotten:
        asked = [list(threads)]
        forgotten.execute("SELECT FROM squidmesh.threads WHERE thread = ANY (%s) FOR UPDATE", asked)
        yield
        forgotten.rollback()


def test_the_locked_threads_are_named_and_nothing_is_written(url):
    backend = PostgresBackend(url)
    journal = backend.journal()
    journal.commit([alone("a", 0), alone("b", 0), alone("c", 0)])
    with held(url, thread_id("b")):
        with pytest.raises(ThreadsLocked) as refused:
            journal.commit([alone("a", 1), alone("b", 1), alone("new", 0)])
        assert refused.value.threads == {thread_id("b")}
        assert [revisions(journal, name) for name in ("a", "b")] == [[1], [1]]
        assert journal.commit([alone("a", 1)]) == [Committed()]
    assert journal.commit([alone("b", 1)]) == [Committed()]
    backend.close()


def test_nobody_waits_for_a_known_lock_again(url, monkeypatch):
    """The next attempt has a minute to wait, and does not."""
    backend = PostgresBackend(url)
    journal = backend.journal()
    journal.commit([alone("a", 0)])
    with held(url, thread_id("a")):
        with pytest.raises(ThreadsLocked):
            journal.commit([alone("a", 1)])
        with journal._pool.use() as connection:
            connection.execute("SET lock_timeout = '60s'")
        with pytest.raises(ThreadsLocked):
            journal.commit([alone("a", 1)])
    assert journal.commit([alone("a", 1)]) == [Committed()]
    assert not journal._locks._known
    backend.close()


class Named(BaseModel):
    name: str


class Gate:
    """Holds steps in the middle of their work."""

    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def pass_through(self, name: str) -> str:
        self.entered.release()
        assert self.open.wait(60)
        return name

    def wait_for(self, steps):
        for _ in range(steps):
            assert self.entered.acquire(timeout=60)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def mesh(url, gate):
    class Held(Workflow):
        version = "1"
        begin = manual(Named)
        go = step(gate.pass_through, output="said")
        flow = go.to(complete)

    with Mesh.connect(url, workflows=[Held], lease=30, idle_poll=0.2) as mesh:
        yield mesh


def test_a_worker_sets_the_run_aside_and_goes_on_with_the_others(url, mesh, gate):
    """Outcomes of the locked run wait; the others are recorded, and new ones claimed, while the lock is held."""
    runs = [mesh.start_run("Held", Named(name=f"{n}")).run_id for n in range(4)]
    with mesh.worker(concurrency=2):
        gate.wait_for(2)
        claimed = {attempt.run_id for run in runs for attempt in [mesh.inspect_run(run)] if attempt.status == "running"}
        locked = min(claimed)
        with held(url, locked):
            gate.open.set()
            others = [mesh.wait_for(run, timeout=30) for run in runs if run != locked]
            assert [run.status for run in others] == ["completed"] * 3
            assert mesh.inspect_run(locked).status == "running"
            assert mesh.wait_for(mesh.start_run("Held", Named(name="later")).run_id, timeout=30).status == "completed"
        ended = mesh.wait_for(locked, timeout=30)
    assert ended.status == "completed"
    assert [attempt.lost for attempt in ended.attempts] == [0]


def test_a_claim_that_can_not_be_recorded_is_left_for_later(url, mesh, gate, monkeypatch):
    monkeypatch.setattr(intake, "_LOCKED_DELAY", timedelta(seconds=1))
    gate.open.set()
    locked, other = (mesh.start_run("Held", Named(name=name)).run_id for name in ("locked", "other"))
    with held(url, locked), mesh.worker(concurrency=2):
        assert mesh.wait_for(other, timeout=30).status == "completed"
        assert mesh.inspect_run(locked).attempts[0].status == "scheduled"
    with mesh.worker():
        assert mesh.wait_for(locked, timeout=60).status == "completed"
