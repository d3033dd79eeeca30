"""Starting, replaying, listing; and every verb as data."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from squidmesh import (
    Command,
    GiveUp,
    InvalidInput,
    KeyReused,
    NotAllowed,
    NotFound,
    UsageError,
    Workflow,
    approval,
    manual,
    step,
)
from tests.features.world import PostgresWorld, World, seen, work

counter: list[int] = []


def tick() -> int:
    counter.append(1)
    return len(counter)


class Order(BaseModel):
    name: str = "ring"
    number: int = Field(default_factory=tick)


class Sale(Workflow):
    version = "1"
    placed = manual(Order)
    look = step(lambda name: {"seen": name}, input=["name"])
    charge = step(lambda: {"charged": True}, irreversible=True)
    flow = look >> charge


class Other(Workflow):
    version = "1"
    placed = manual(Order)
    gate = approval()
    end = step(lambda: None)
    flow = gate >> end


def test_a_key_starts_once_for_ever(world: World) -> None:
    mesh = world.process(Sale)
    first = mesh.start_run(Sale.placed, Order(name="one", number=1), key="k")
    again = world.process(Sale).start_run(Sale.placed, Order(name="one", number=1), key="k")
    assert again.run_id == first.run_id
    work(mesh)
    with pytest.raises(KeyReused):
        mesh.start_run(Sale.placed, Order(name="other", number=1), key="k")
    assert mesh.count_runs() == {"completed": 1}


def test_queue_priority_delay_and_metadata_are_the_runs_own(world: World) -> None:
    mesh = world.process(Sale)
    run = mesh.start_run(Sale, {"name": "x"}, queue="slow", priority=1, delay=10, metadata={"tenant": "bree"})
    assert (run.queue, run.priority, run.status) == ("slow", 1, "waiting")
    assert seen(mesh, run).metadata == {"tenant": "bree"}
    assert mesh.inspect_run(run.run_id).metadata is None
    world.pass_time(11)
    assert mesh.execute_next(queues=["slow"]) is not None
    while mesh.execute_next(queues=["slow"]):
        pass


def test_a_replay_is_a_new_run_with_the_recorded_payload(world: World) -> None:
    mesh = world.process(Other)
    run = mesh.start_run(Other, {"name": "x"})
    mesh.reject_run(run.run_id, actor="sam")
    before = seen(mesh, run)
    again = mesh.replay_run(run.run_id, actor="sam", comment="anew", key="r")
    found = seen(mesh, again)
    assert again.run_id != run.run_id
    assert (found.payload, found.replay_of, found.trigger) == (before.payload, run.run_id, "placed")
    assert found.metadata == {"replayed_by": "sam", "comment": "anew"}
    assert mesh.replay_run(run.run_id, actor="sam", key="r").run_id == again.run_id
    assert mesh.replay_run(run.run_id, actor="sam").run_id != again.run_id
    assert seen(mesh, run) == before


def test_a_replay_past_an_irreversible_step_must_be_allowed(world: World) -> None:
    mesh = world.process(Sale)
    run = mesh.start_run(Sale, {"name": "x"})
    with pytest.raises(NotAllowed, match="has not ended"):
        mesh.replay_run(run.run_id, actor="sam")
    work(mesh)
    with pytest.raises(NotAllowed, match="has passed charge"):
        mesh.replay_run(run.run_id, actor="sam")
    again = mesh.replay_run(run.run_id, actor="sam", allow_irreversible=True)
    work(mesh)
    assert seen(mesh, again).status == "completed"


def test_lists_are_filtered_by_workflow_status_queue_text_and_time(world: World) -> None:
    mesh = world.process(Sale, Other)
    early = mesh.start_run(Sale, {"name": "x"}, key="early-1")
    world.pass_time(100)
    late = mesh.start_run(Other, {"name": "x"}, queue="slow")
    gone = mesh.start_run(Other, {"name": "x"})
    mesh.cancel_run(gone.run_id, actor="sam")
    work(mesh)

    def ids(**filters: Any) -> set[str]:
        return {run.run_id for run in mesh.list_runs(**filters).runs}

    middle = early.started_at + timedelta(seconds=50)
    assert ids(workflow="Sale") == {early.run_id}
    assert ids(status="cancelled") == {gone.run_id}
    assert ids(queue="slow") == {late.run_id}
    assert ids(text="early") == {early.run_id}
    assert ids(since=middle) == {late.run_id, gone.run_id}
    assert ids(until=middle) == {early.run_id}
    assert ids(since=late.started_at, until=late.started_at) == set()
    assert ids(since=middle, workflow="Other", status="paused", queue="slow") == {late.run_id}


def test_pages_are_stable_while_runs_are_added(world: World) -> None:
    mesh = world.process(Sale)
    first = [mesh.start_run(Sale, {"name": str(number)}).run_id for number in range(7)]
    page = mesh.list_runs(limit=3)
    found = [run.run_id for run in page.runs]
    while page.next is not None:
        world.pass_time(1)
        mesh.start_run(Sale, {"name": "new"})
        page = mesh.list_runs(limit=3, after=page.next)
        found += [run.run_id for run in page.runs]
    assert sorted(found) == sorted(first)


def test_a_verb_is_data_too(world: World) -> None:
    mesh = world.process(Other)
    command = Command("start_run", {"target": "Other.placed", "payload": {"name": "x"}, "key": "k"})
    run = mesh.apply(Command.from_json(command.to_json()))
    done = mesh.apply({"verb": "approve_run", "arguments": {"run_id": run.run_id, "actor": "sam"}})
    assert done.audit[0].actor == "sam"
    work(mesh)
    assert seen(mesh, run).status == "completed"


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"verb": "drop_tables"}, "verb"),
        ({"verb": "close"}, "verb"),
        ({"verb": "approve_run", "arguments": {"run_id": "x"}}, "arguments"),
        ({"verb": "approve_run", "arguments": {"run_id": "x", "actor": "a", "force": True}}, "arguments"),
        ({"verb": "approve_run", "arguments": []}, "arguments"),
        ({"word": 1}, "command"),
        (7, "command"),
    ],
)
def test_data_that_is_no_verb_is_refused_and_says_what_is_allowed(world: World, command: Any, field: str) -> None:
    with pytest.raises(InvalidInput, match=r"allowed|needs") as refused:
        world.process(Other).apply(command)
    assert refused.value.field == field


def test_a_replay_past_a_step_that_is_not_compensatable_must_be_allowed(world: World) -> None:
    class Posted(Workflow):
        version = "1"
        placed = manual(Order)
        post = step(lambda: None, compensatable=False)

    mesh = world.process(Posted)
    run = mesh.start_run(Posted, {"name": "x"})
    work(mesh)
    with pytest.raises(NotAllowed, match="has passed post"):
        mesh.replay_run(run.run_id, actor="sam")
    again = mesh.replay_run(run.run_id, actor="sam", allow_irreversible=True)
    work(mesh)
    assert seen(mesh, again).status == "completed"


def test_a_workflow_may_have_several_triggers_and_is_started_by_the_one_that_is_named(world: World) -> None:
    class Place(BaseModel):
        place: str

    class Either(Workflow):
        version = "1"
        placed = manual(Order)
        moved = manual(Place)
        look = step(lambda: None)

    mesh = world.process(Either)
    with pytest.raises(NotFound, match="say which: moved, placed"):
        mesh.start_run(Either, {"name": "x"})
    first = mesh.start_run(Either.placed, Order(name="x", number=1))
    other = mesh.start_run("Either.moved", {"place": "Bree"})
    work(mesh)
    assert [(one.trigger, one.payload) for one in (seen(mesh, first), seen(mesh, other))] == [
        ("placed", {"name": "x", "number": 1}),
        ("moved", {"place": "Bree"}),
    ]


def test_a_call_executes_one_visible_attempt_or_gives_none(world: World) -> None:
    mesh = world.process(Sale)
    assert mesh.execute_next() is None
    run = mesh.start_run(Sale, {"name": "x"})
    later = mesh.start_run(Sale, {"name": "y"}, delay=10)
    after = [mesh.execute_next() for _ in range(3)]
    assert [one and (one.run_id, one.status, one.current_steps) for one in after] == [
        (run.run_id, "running", ("charge",)),
        (run.run_id, "completed", ()),
        None,
    ]
    assert seen(mesh, later).status == "waiting"
    world.pass_time(11)
    work(mesh)


def test_whoever_asks_about_a_failed_run_is_told_of_a_replay_unless_it_would_do_something_twice(world: World) -> None:
    def to_post() -> dict[str, bool]:
        return {"posted": True}

    def to_fail() -> None:
        raise GiveUp("no")

    class Again(Workflow):
        version = "1"
        placed = manual(Order)
        post = step(to_post)
        fail = step(to_fail)
        flow = post >> fail

    class Once(Workflow):
        version = "1"
        placed = manual(Order)
        post = step(to_post, irreversible=True)
        fail = step(to_fail)
        flow = post >> fail

    mesh = world.process(Again, Once)
    for workflow, may in ((Again, True), (Once, False)):
        run = mesh.start_run(workflow, {"name": "x"})
        work(mesh)
        told = mesh.explain_run(run.run_id).next_actions
        assert any("runs replay" in action for action in told) == may


def test_a_transaction_of_the_hosts_is_refused_where_the_journal_has_none(world: World, tmp_path: Path) -> None:
    """It says why, and what is allowed; and nothing is started."""
    has = isinstance(world, PostgresWorld)
    code = "invalid_input" if has else "connection_unsupported"
    allowed = "a psycopg.Connection in a transaction" if has else "a journal in PostgreSQL, "
    mesh = world.process(Sale)
    with closing(sqlite3.connect(tmp_path / "host.db")) as connection:
        starts: list[Callable[[], object]] = [
            lambda: mesh.start_run(Sale.placed, Order(name="x", number=1), connection=connection),
            lambda: mesh.start_run(Sale.placed, Order(name="x", number=1), key="k", connection="no connection"),
            lambda: mesh.start_runs(Sale, [{"name": "x"}, {"name": "y"}], keys=["k", "l"], connection=connection),
        ]
        for start in starts:
            with pytest.raises(UsageError, match=rf"^connection: .*; allowed (is|are) {allowed}") as refused:
                start()
            assert (refused.value.code, refused.value.field) == (code, "connection")
    assert mesh.count_runs() == {}
    assert mesh.start_run(Sale, {"name": "x"}, key="k", connection=None).key == "k"


@pytest.mark.parametrize("given", [None, "postgresql://localhost/shop"])
def test_a_transaction_of_the_hosts_can_not_be_said_as_data(world: World, given: str | None) -> None:
    mesh = world.process(Other)
    arguments = {"target": "Other.placed", "payload": {"name": "x"}, "connection": given}
    with pytest.raises(InvalidInput, match=r"allowed is mesh\.start_run\(connection=…\)") as refused:
        mesh.apply({"verb": "start_run", "arguments": arguments})
    assert refused.value.field == "connection"
    with pytest.raises(InvalidInput, match="approve_run has no connection; allowed are "):
        mesh.apply({"verb": "approve_run", "arguments": {"run_id": "x", "actor": "sam", "connection": given}})
    with pytest.raises(InvalidInput) as unknown:
        mesh.apply({"verb": "start_run", "arguments": {"target": "Other.placed", "force": True}})
    assert "connection" not in str(unknown.value)
    assert mesh.count_runs() == {}
