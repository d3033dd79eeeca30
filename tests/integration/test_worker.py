"""Workers in threads: what they claim, how they leave, and what one odd run may do to them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import BackendUnavailable, Context, Mesh, Run, UsageError, Workflow, manual, step
from squidmesh.journal.codec import encode_facts
from squidmesh.journal.facts import RunCompleted

WAIT = 20.0
"""Seconds until a test gives up. Nothing takes that long."""


class Nothing(BaseModel):
    pass


class Pace:
    """Lets a test hold steps, and see how often each was entered."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self._changed = threading.Condition()

    def pass_through(self, name: str) -> None:
        with self._changed:
            self.entered.append(name)
            self._changed.notify_all()
        gate = self.gates.get(name)
        if gate is not None:
            assert gate.wait(WAIT)

    def until_entered(self, name: str, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered.count(name) >= times, WAIT), self.entered


class Named(BaseModel):
    name: str


def named_workflow(pace: Pace) -> type[Workflow]:
    """``{name}1`` then ``{name}2``; the second one goes on at once."""

    class Two(Workflow):
        version = "1"
        go = manual(Named)
        first = step(lambda name: pace.pass_through(f"{name}1"))
        second = step(lambda name: pace.pass_through(f"{name}2"))
        flow = first >> second

    return Two


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    meshes: list[Mesh] = []

    def connect(*workflows: type[Workflow], **settings: Any) -> Mesh:
        meshes.append(Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=workflows, **settings))
        return meshes[-1]

    yield connect
    for mesh in meshes:
        mesh.close()


def claimed(mesh: Mesh, run: Run) -> bool:
    return any(attempt.status == "claimed" for attempt in mesh.inspect_run(run.run_id).attempts)


# ------------------------------------------------------------------------------------------------------ capacity


def test_a_worker_claims_no_more_than_it_has_slots(connect: Callable[..., Mesh], pace: Pace) -> None:
    """Going on with a run's next step takes the slot of the step before; nothing is claimed for it beside that."""
    pace.gates = {"a1": threading.Event(), "a2": threading.Event()}
    workflow = named_workflow(pace)
    mesh = connect(workflow)
    first = mesh.start_run(workflow, {"name": "a"})
    with mesh.worker(concurrency=1):
        pace.until_entered("a1")
        other = mesh.start_run(workflow, {"name": "b"})
        pace.gates["a1"].set()
        pace.until_entered("a2")
        assert not claimed(mesh, other)
        pace.gates["a2"].set()
        mesh.wait_for(first.run_id, timeout=WAIT)
        mesh.wait_for(other.run_id, timeout=WAIT)
    assert pace.entered == ["a1", "a2", "b1", "b2"]


def test_a_worker_of_a_beginning_hears_of_queues_that_nobody_knew(connect: Callable[..., Mesh], pace: Pace) -> None:
    """It is woken: it would not look by itself before a minute is over."""
    workflow = named_workflow(pace)
    mesh = connect(workflow, idle_poll=60, lease=600)
    with mesh.worker(concurrency=2, queues=["tenant-*=2:1", "urgent"]) as worker:
        assert worker.queues == ("tenant-*", "urgent")
        elsewhere = mesh.start_run(workflow, {"name": "c"}, queue="other")
        for queue in ("tenant-1", "tenant-2", "urgent"):
            run = mesh.start_run(workflow, {"name": queue}, queue=queue)
            assert mesh.wait_for(run.run_id, timeout=WAIT).status == "completed"
        assert not claimed(mesh, elsewhere)


def test_what_a_drain_gives_back_is_not_run_here_any_more(connect: Callable[..., Mesh], pace: Pace) -> None:
    pace.gates = {"a1": threading.Event()}
    workflow = named_workflow(pace)
    mesh = connect(workflow)
    run = mesh.start_run(workflow, {"name": "a"})
    worker = mesh.worker(concurrency=2).start()
    pace.until_entered("a1")
    assert worker.drain(grace=0)
    assert not claimed(mesh, run), "given back, unspent"
    pace.gates["a1"].set()
    with mesh.worker(concurrency=1):
        ended = mesh.wait_for(run.run_id, timeout=WAIT)
    assert ended.status == "completed"
    assert ended.attempts[0].lost == 0, "a release is no lost delivery"
    assert pace.entered == ["a1", "a1", "a2"]


def test_a_drain_lets_running_steps_end_and_starts_no_other(connect: Callable[..., Mesh], pace: Pace) -> None:
    pace.gates = {"a1": threading.Event()}
    workflow = named_workflow(pace)
    mesh = connect(workflow)
    run = mesh.start_run(workflow, {"name": "a"})
    worker = mesh.worker(concurrency=1).start()
    pace.until_entered("a1")
    leaving = threading.Thread(target=worker.drain)
    leaving.start()
    pace.gates["a1"].set()
    leaving.join(WAIT)
    seen = mesh.inspect_run(run.run_id)
    assert [(a.step, a.status) for a in seen.attempts] == [("first", "completed"), ("second", "scheduled")]
    assert pace.entered == ["a1"]


def test_an_aborted_worker_leaves_its_process_fit_for_another(connect: Callable[..., Mesh], pace: Pace) -> None:
    pace.gates = {"a1": threading.Event()}
    workflow = named_workflow(pace)
    mesh = connect(workflow, lease=0.5)
    run = mesh.start_run(workflow, {"name": "a"})
    worker = mesh.worker(concurrency=1).start()
    pace.until_entered("a1")
    worker.abort()
    worker.join(WAIT)
    assert worker.failed is None
    pace.gates["a1"].set()
    with mesh.worker(concurrency=1):
        ended = mesh.wait_for(run.run_id, timeout=WAIT)
    assert ended.status == "completed"
    assert pace.entered == ["a1", "a1", "a2"], "taken over once the lease had ended"


def test_closing_a_mesh_ends_its_workers(connect: Callable[..., Mesh], pace: Pace) -> None:
    mesh = connect(named_workflow(pace))
    worker = mesh.worker().start()
    mesh.close()
    assert not worker.running
    assert worker.failed is None


def test_a_worker_starts_once(connect: Callable[..., Mesh], pace: Pace) -> None:
    worker = connect(named_workflow(pace)).worker()
    assert worker.drain(), "there was nothing to drain"
    with worker, pytest.raises(UsageError):
        worker.start()


# ------------------------------------------------------------------------------------------------------- odd runs


def damage(folder: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.execute(sql, values)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("UPDATE definitions SET body = ?", b'{"name": "Two", "of": "a newer version"}'),
        ("UPDATE definitions SET body = ?", b"\xff\xfe"),
        ("DELETE FROM definitions WHERE ? IS NOT NULL", "x"),
        ("UPDATE entries SET body = ?", b"1:00000000:[]"),
        ("UPDATE entries SET body = ?", b"9" * 5000 + b":0:[]"),
        ("UPDATE entries SET body = ?", b"2:00000000:[]"),
        ("UPDATE entries SET body = ?", encode_facts([RunCompleted(at=1)])),
    ],
)
def test_one_odd_run_holds_itself_and_no_worker(
    connect: Callable[..., Mesh], pace: Pace, tmp_path: Path, sql: str, value: object
) -> None:
    class Good(Workflow):
        version = "1"
        go = manual(Nothing)
        only = step(lambda: None)

    workflow = named_workflow(pace)
    odd = connect(workflow).start_run(workflow, {"name": "odd"})
    damage(tmp_path, sql, value)
    mesh = connect(workflow, Good)
    with mesh.worker(concurrency=1) as worker:
        good = mesh.start_run(Good)
        assert mesh.wait_for(good.run_id, timeout=WAIT).status == "completed"
        assert mesh.explain_run(odd.run_id).reason == "corrupt_history"
    assert worker.failed is None
    assert "odd1" not in pace.entered


def test_a_store_that_fails_once_ends_no_worker(connect: Callable[..., Mesh], pace: Pace) -> None:
    workflow = named_workflow(pace)
    mesh = connect(workflow)
    run = mesh.start_run(workflow, {"name": "a"})

    class FailsOnce:
        def __init__(self, inner: Any) -> None:
            self._inner, self._failed = inner, {"now"}

        def __getattr__(self, name: str) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                if name not in self._failed:
                    self._failed.add(name)
                    raise BackendUnavailable(f"{name} fails once")
                return getattr(self._inner, name)(*args, **kwargs)

            return call

    engine = mesh._engine()
    store = engine.store
    engine.store = FailsOnce(store)
    engine.definitions._store = engine.store
    with mesh.worker(concurrency=1) as worker:
        pace.until_entered("a2")
        engine.store = store
        assert mesh.wait_for(run.run_id, timeout=WAIT).status == "completed"
    assert worker.failed is None


# ---------------------------------------------------------------------------------------------------- async steps


def test_async_steps_share_a_loop_that_no_step_can_end(connect: Callable[..., Mesh]) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def stay(context: Context) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"fence": context.fence}

    class Leaves(Workflow):
        version = "1"
        go = manual(Nothing)
        only = step(leave)

    class Stays(Workflow):
        version = "1"
        go = manual(Nothing)
        only = step(stay)

    mesh = connect(Leaves, Stays)
    with mesh.worker(concurrency=2):
        gone = mesh.start_run(Leaves)
        assert mesh.wait_for(gone.run_id, timeout=WAIT).status == "failed"
        stayed = mesh.start_run(Stays)
        assert mesh.wait_for(stayed.run_id, timeout=WAIT).output == {"fence": 1}


def test_closing_a_mesh_ends_the_wait_for_an_async_step(connect: Callable[..., Mesh]) -> None:
    entered = threading.Event()

    async def forever() -> None:
        entered.set()
        await asyncio.Event().wait()

    class Waits(Workflow):
        version = "1"
        go = manual(Nothing)
        only = step(forever)

    mesh = connect(Waits)
    mesh.start_run(Waits)
    worker = mesh.worker(concurrency=1).start()
    assert entered.wait(WAIT)
    mesh.close()
    assert not worker.running


# ------------------------------------------------------------------------------------------------- odd exceptions


class Unspeakable(Exception):
    @property
    def code(self) -> str:
        raise RuntimeError("no code either")

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_that_can_not_be_told_is_a_failure_like_any_other(connect: Callable[..., Mesh]) -> None:
    def fail() -> None:
        raise Unspeakable

    class Fails(Workflow):
        version = "1"
        go = manual(Nothing)
        only = step(fail)

    mesh = connect(Fails)
    run = mesh.start_run(Fails)
    mesh.execute_next()
    ended = mesh.inspect_run(run.run_id)
    assert ended.failure is not None
    assert (ended.status, ended.failure.error) == ("failed", "step_raised")
