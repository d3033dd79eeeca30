"""What the main job meets on bad days: lost answers, zombies, missing functions, deploys with runs in flight."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import squidmesh_sqlite
from pydantic import BaseModel

from squidmesh import (
    BackendUnavailable,
    CommitUnknown,
    Context,
    CorruptHistory,
    KeyReused,
    Mesh,
    Workflow,
    approval,
    manual,
    step,
    wait,
)
from squidmesh.planning.commands import DecideApproval
from squidmesh.ports.journal_store import Answer, Group
from squidmesh.runtime.recorder import Intent
from squidmesh.testing.clock import VirtualClock
from tests.support.audit import audit

LEASE = timedelta(seconds=30)


class Nothing(BaseModel):
    pass


class Watcher:
    """Remembers what a mesh noticed."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def notice(self, event: str, /, **fields: object) -> None:
        self.events.append(event)


class Site:
    """One file and one clock; any number of meshes over them."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.clock = VirtualClock()
        self.watcher = Watcher()
        self._meshes: list[Mesh] = []

    def mesh(self, *workflows: type[Workflow]) -> Mesh:
        mesh = Mesh.connect(self.url, workflows=workflows, lease=LEASE, clock=self.clock, observer=self.watcher)
        self._meshes.append(mesh)
        return mesh

    def audit(self, run_id: str) -> None:
        backend = squidmesh_sqlite.backend(self.url, clock=self.clock)
        audit(backend.journal(), run_id)
        backend.close()

    def close(self) -> None:
        for mesh in self._meshes:
            mesh.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def simple(first: Callable[..., Any], second: Callable[..., Any] = lambda: None) -> type[Workflow]:
    class Simple(Workflow):
        version = "1"
        go = manual(Nothing)
        first_step = step(first)
        second_step = step(second)
        flow = first_step >> second_step

    return Simple


# ------------------------------------------------------------------------------------------------------- answers


class LostAnswers:
    """A journal that loses the answers of chosen commits, before or after they happened."""

    def __init__(self, inner: Any, plan: list[str]) -> None:
        self._inner, self._plan = inner, plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        fate = self._plan.pop(0) if self._plan else "well"
        if fate == "unavailable":
            raise BackendUnavailable("the disk is busy")
        if fate == "lost before":
            raise CommitUnknown("the connection broke")
        answers: list[Answer] = self._inner.commit(groups)
        if fate == "lost after":
            raise CommitUnknown("the connection broke")
        return answers


@pytest.mark.parametrize("fate", ["unavailable", "lost before", "lost after"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
def test_a_commit_whose_answer_is_lost_happens_once(site: Site, fate: str, nth: int) -> None:
    """3.5.7: the start, a claim, a completion, the next claim, the last completion."""
    ran: list[str] = []
    workflow = simple(lambda: ran.append("first"), lambda: ran.append("second"))
    mesh = site.mesh(workflow)
    engine = mesh._engine()
    engine.store = LostAnswers(engine.store, ["well"] * (nth - 1) + [fate])
    run = mesh.start_run(workflow.go, Nothing(), key="once")  # type: ignore[attr-defined]
    while mesh.execute_next() is not None:
        pass
    assert mesh.inspect_run(run.run_id).status == "completed"
    assert ran == ["first", "second"], "a known outcome repeats no step"
    site.audit(run.run_id)


# ------------------------------------------------------------------------------------------------------- zombies


def test_a_worker_that_wakes_up_after_its_lease_can_change_nothing(site: Site) -> None:
    """3.5.3: the first worker sleeps through its lease; another one finishes the step; the sleeper is refused."""
    seen: list[tuple[int, int, bool]] = []

    def slow(context: Context) -> dict[str, int]:
        seen.append((context.delivery, context.fence, context.lease_lost))
        if context.delivery == 1:
            site.clock.advance(2 * LEASE)
            site.mesh(workflow).execute_next(owner_id="second")
        return {"fence": context.fence}

    workflow = simple(slow)
    mesh = site.mesh(workflow)
    run = mesh.start_run(workflow)
    mesh.execute_next(owner_id="first")
    assert seen == [(1, 1, False), (2, 2, False)]
    assert "stale_write_refused" in site.watcher.events
    while mesh.execute_next() is not None:
        pass
    ended = mesh.wait_for(run.run_id, timeout=0)
    assert ended.output == {"fence": 2}, "the result of the current claim counts"
    site.audit(run.run_id)


def test_a_late_result_counts_where_nobody_took_over(site: Site) -> None:
    """3.5.3: a lease that ended is no reason to throw good work away; a newer claim is."""

    def slow() -> dict[str, str]:
        site.clock.advance(2 * LEASE)
        return {"done": "late"}

    workflow = simple(slow)
    mesh = site.mesh(workflow)
    run = mesh.start_run(workflow)
    while mesh.execute_next() is not None:
        pass
    assert mesh.wait_for(run.run_id, timeout=0).output == {"done": "late"}
    assert "stale_write_refused" not in site.watcher.events


# ------------------------------------------------------------------------------------------------------- deploys


def test_a_missing_function_fails_nothing_and_is_named(site: Site) -> None:
    """3.10: the attempt waits; explain_run says so; a worker that has the function goes on."""
    whole = simple(lambda: None)

    class Simple(Workflow):  # the same workflow, as a deploy without its first step knows it
        version = "2"
        go = manual(Nothing)
        second_step = step(lambda: None)

    run = site.mesh(whole).start_run(whole)
    bare = site.mesh(Simple)
    assert bare.execute_next() is None
    assert "missing_step" in site.watcher.events
    explained = bare.explain_run(run.run_id)
    assert (explained.reason, explained.evidence["step"]) == ("missing_step", "first_step")
    site.clock.advance(timedelta(minutes=1))
    back = site.mesh(whole)
    while back.execute_next() is not None:
        pass
    assert back.inspect_run(run.run_id).status == "completed"
    site.audit(run.run_id)


def test_a_run_in_flight_keeps_the_definition_that_it_started_with(site: Site) -> None:
    ran: list[str] = []
    old = simple(lambda: ran.append("first"), lambda: ran.append("second"))

    class Simple(Workflow):
        version = "2"
        go = manual(Nothing)
        first_step = step(lambda: ran.append("new first"))
        pause = wait(3600)
        second_step = step(lambda: ran.append("new second"))
        flow = first_step >> pause >> second_step

    run = site.mesh(old).start_run(old)
    new = site.mesh(Simple)
    while new.execute_next() is not None:
        pass
    ended = new.inspect_run(run.run_id)
    assert (ended.status, ended.version) == ("completed", "1")
    assert ran == ["new first", "new second"], "the old routes, with the functions of today"


def test_renamed_outputs_and_inputs_are_for_new_runs_only(site: Site) -> None:
    """3.10: what a step reads and writes is the definition's to say, and a run keeps its own."""
    got: list[str] = []

    def make(key: str) -> type[Workflow]:
        class Renamed(Workflow):
            version = key
            go = manual(Nothing)
            first_step = step(lambda: f"from {key}", output=key)
            second_step = step(lambda given: got.append(given), input={"given": key})
            flow = first_step >> second_step

        return Renamed

    old, new = make("x"), make("y")
    started = site.mesh(old)
    run = started.start_run(old)
    started.execute_next()
    deployed = site.mesh(new)
    while deployed.execute_next() is not None:
        pass
    fresh = deployed.start_run(new)
    while deployed.execute_next() is not None:
        pass
    assert deployed.inspect_run(run.run_id).status == "completed"
    assert deployed.inspect_run(fresh.run_id).status == "completed"
    assert got == ["from x", "from y"]


# ------------------------------------------------------------------------------------------------------ decisions


def test_a_key_stands_for_one_command(site: Site) -> None:
    class Gates(Workflow):
        version = "1"
        go = manual(Nothing)
        legal = approval()
        fraud = approval()
        flow = legal >> fraud

    mesh = site.mesh(Gates)
    run = mesh.start_run(Gates)
    mesh.approve_run(run.run_id, actor="ops", key="k", step="legal")
    assert mesh.approve_run(run.run_id, actor="ops", key="k", step="legal").status == "paused", "the same again"
    with pytest.raises(KeyReused):
        mesh.reject_run(run.run_id, actor="ops", key="k", step="fraud")
    with pytest.raises(KeyReused):
        mesh.approve_run(run.run_id, actor="ops", key="k", step="fraud")
    assert mesh.approve_run(run.run_id, actor="ops", step="fraud").status == "completed"


def test_an_entry_that_no_reader_could_take_is_never_written(site: Site) -> None:
    class Gate(Workflow):
        version = "1"
        go = manual(Nothing)
        legal = approval()

    mesh = site.mesh(Gate)
    run = mesh.start_run(Gate)
    writer = mesh._engine().writer(patience=timedelta(0))
    intent = Intent(
        run_id=run.run_id,
        command=lambda now: DecideApproval(now=now, decision="approved", actor=None),  # type: ignore[arg-type]
    )
    (verdict,) = writer.recorder.record([intent])
    assert isinstance(verdict.error, CorruptHistory)
    assert mesh.explain_run(run.run_id).reason == "approval", "nothing was written"


# ------------------------------------------------------------------------------------------------- hard-to-store


def test_a_result_that_can_not_be_stored_fails_its_attempt_and_no_other(site: Site) -> None:
    """5: the batch goes on; the outcome that fails alone is recorded as that attempt's failure."""
    workflow = simple(lambda: {"text": "\ud800"})
    mesh = site.mesh(workflow)
    run = mesh.start_run(workflow)
    while mesh.execute_next() is not None:
        pass
    ended = mesh.inspect_run(run.run_id, history=True)
    assert ended.status == "failed"
    assert ended.failure is not None
    assert ended.failure.error == "invalid_output"
    site.audit(run.run_id)


def test_a_step_that_exits_does_not_end_its_host(site: Site) -> None:
    def leave() -> None:
        raise SystemExit(3)

    workflow = simple(leave)
    mesh = site.mesh(workflow)
    run = mesh.start_run(workflow)
    mesh.execute_next()
    assert mesh.inspect_run(run.run_id).status == "failed"


def test_an_interrupt_reaches_the_host_and_leaves_the_claim_to_its_lease(site: Site) -> None:
    calls: list[int] = []

    def interrupted(context: Context) -> None:
        calls.append(context.delivery)
        if context.delivery == 1:
            raise KeyboardInterrupt

    workflow = simple(interrupted)
    mesh = site.mesh(workflow)
    run = mesh.start_run(workflow)
    with pytest.raises(KeyboardInterrupt):
        mesh.execute_next()
    assert mesh.execute_next() is None, "the lease still stands"
    site.clock.advance(2 * LEASE)
    while mesh.execute_next() is not None:
        pass
    assert calls == [1, 2]
    assert mesh.inspect_run(run.run_id).status == "completed"
