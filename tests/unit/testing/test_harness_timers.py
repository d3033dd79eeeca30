"""The harness and what has a moment of its own: deadlines, events, children, compensations."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Context, InvalidInput, Workflow, approval, event, manual, step, wait, wait_for_children
from squidmesh.testing import Harness

DAY = timedelta(days=1)


class Begin(BaseModel): ...


class Message(Workflow):
    version = "1"
    begin = manual(Begin)
    word = event("word", DAY)
    read = step(lambda: None)
    give_up = step(lambda: None)
    flow = (word >> read, word.on_timeout(give_up))


class Letter(Workflow):
    version = "1"
    begin = manual(Begin)
    letter = event("letter")
    read = step(lambda: None)
    flow = letter >> read


class Council(Workflow):
    version = "1"
    begin = manual(Begin)
    council = approval(timeout=DAY)
    leave = step(lambda: None)
    flow = council >> leave


class Child(Workflow):
    version = "1"
    begin = manual(Begin)
    sleep = wait(DAY)
    wake = step(lambda: None)
    flow = sleep >> wake


def spawn(context: Context) -> None:
    context.start_child_run(Child, key="only")


class Parent(Workflow):
    version = "1"
    begin = manual(Begin)
    spawn = step(spawn)
    children = wait_for_children(output="ended")
    flow = spawn >> children


def unpack() -> dict[str, str]:
    raise OSError


def fail() -> None:
    raise OSError


class Saga(Workflow):
    version = "1"
    begin = manual(Begin)
    pack = step(lambda: None, compensate=unpack)
    leave = step(fail)
    flow = pack >> leave


@pytest.fixture(params=["memory", "sqlite"])
def h(request: pytest.FixtureRequest, tmp_path: Path, squidmesh_harness: type[Harness]) -> Harness:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/h.db"
    return squidmesh_harness([Message, Letter, Council, Child, Parent, Saga], store=store)


def kinds(h: Harness, run: Any) -> set[str]:
    return {event.kind for event in h.history(run)}


def test_an_event_that_does_not_come_times_out(h: Harness) -> None:
    before = h.now
    run = h.run_to_end(h.start(Message))
    assert (run.status, h.now - before) == ("completed", DAY)
    assert [attempt.step for attempt in run.attempts] == ["give_up"]


def test_an_event_that_comes_is_no_matter_of_time(h: Harness) -> None:
    before, run = h.now, h.start(Message)
    h.drain()
    h.mesh.send_event(run.run_id, "word", key="one")
    assert [attempt.step for attempt in h.run_to_end(run).attempts] == ["read"]
    assert h.now == before


def test_an_event_without_a_deadline_is_not_waited_for(h: Harness) -> None:
    h.start(Child)
    before = h.now
    assert h.run_to_end(h.start(Letter)).status == "waiting"
    assert h.now == before, "no time helps it"


def test_a_decisions_deadline_passes_when_the_test_says_so(h: Harness) -> None:
    run = h.start(Council)
    before = h.now
    assert h.run_to_end(run).status == "paused"
    h.drain(skipping=True)
    assert h.now == before
    h.skip(DAY)
    h.drain()
    assert h.explain(run).reason == "timed_out"


def test_a_parent_hears_of_its_child_in_the_same_drain(h: Harness) -> None:
    run = h.start(Parent)
    h.drain()
    assert h.explain(run).reason == "children"
    h.skip(DAY)
    h.drain()
    assert h.run(run).status == "completed"
    other = h.start(Parent)
    assert h.run_to_end(other).status == "completed"


def test_a_compensation_is_stood_in_for(h: Harness) -> None:
    failed = h.run_to_end(h.start(Saga))
    assert h.explain(failed).reason == "compensation_failed", "only a person helps it"
    h.replace(Saga.pack, lambda: {"undone": "yes"}, compensation=True)
    h.mesh.retry_compensation(failed.run_id, actor="sam")
    assert h.run_to_end(failed).status == "failed"
    h.restore(Saga.pack, compensation=True)
    assert h.run_to_end(h.start(Saga)).status == "compensating"
    with pytest.raises(InvalidInput, match=r"step: 'leave' has no compensation"):
        h.replace(Saga.leave, lambda: None, compensation=True)
