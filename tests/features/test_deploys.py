"""A run keeps the definition that it started with, whatever is deployed meanwhile (protocol 3.10)."""

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from squidmesh import Workflow, manual, pause, step
from squidmesh.ids import EntryId, ThreadId
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Append, Group
from tests.features.world import World, seen, work


class Nothing(BaseModel):
    pass


def old() -> type[Workflow]:
    class Errand(Workflow):
        version = "1"
        go = manual(Nothing)
        first = step(lambda: {"first": "old"})
        hold = pause()
        second = step(lambda: {"second": "old"})
        flow = first >> hold >> second

    return Errand


def new() -> type[Workflow]:
    class Errand(Workflow):
        version = "2"
        go = manual(Nothing)
        first = step(lambda: {"first": "new"})
        second = step(lambda: {"second": "new"})
        third = step(lambda: {"third": "new"})
        flow = first >> second >> third

    return Errand


def without_second() -> type[Workflow]:
    class Errand(Workflow):
        version = "3"
        go = manual(Nothing)
        first = step(lambda: {"first": "newer"})

    return Errand


def test_a_deploy_does_not_change_runs_in_flight(world: World) -> None:
    before = world.process(old())
    run = before.start_run("Errand")
    work(before)
    after = world.process(new())
    later = after.start_run("Errand")
    after.resume_run(run.run_id, actor="sam")
    work(after)
    assert seen(after, run).output == {"first": "old", "second": "new"}, "the old routes, with today's functions"
    assert (seen(after, run).version, seen(after, later).version) == ("1", "2")
    assert seen(after, later).output == {"first": "new", "second": "new", "third": "new"}


def test_a_step_whose_function_is_gone_waits_until_it_is_back(world: World) -> None:
    before = world.process(old())
    run = before.start_run("Errand")
    work(before)
    before.resume_run(run.run_id, actor="sam")
    middle = world.process(without_second())
    assert work(middle) == 0
    why = middle.explain_run(run.run_id)
    assert (why.reason, why.evidence["step"]) == ("missing_step", "second")
    back = world.process(old())
    world.pass_time(61)
    work(back)
    assert seen(back, run).output == {"first": "old", "second": "old"}


@pytest.mark.parametrize("body", [b'[{"fact":"RunTeleported","at":1}]'])
def test_a_newer_fact_holds_the_run_as_an_anomaly(world: World, body: bytes) -> None:
    """Nothing is folded past it, by anybody, until a version that knows it comes."""
    import zlib

    mesh = world.process(old())
    run = mesh.start_run("Errand")
    sealed = b"1:%08x:%b" % (zlib.crc32(body), body)
    store = world.open()[0].journal()
    append = Append(
        thread=ThreadId(run.run_id), expected_revision=1, entry_id=EntryId("e"), body=sealed, rows=RowChanges()
    )
    store.commit([Group(appends=(append,))])
    later = world.process(old())
    assert work(later) == 0
    found = later.inspect_run(run.run_id)
    assert found.anomaly is not None
    assert (found.revision, found.status) == (1, "running")
    assert later.explain_run(run.run_id).reason == "corrupt_history"
    with pytest.raises(Exception, match="RunTeleported"):
        later.cancel_run(run.run_id, actor="sam")
    world.check = lambda: None  # type: ignore[method-assign]  # the audit can not read it either


def test_a_definition_is_kept_once_whatever_starts_by_it(world: World) -> None:
    mesh = world.process(old())
    runs = [mesh.start_run("Errand") for _ in range(3)]
    store = world.open()[0].journal()
    prints = {fact_of_start(store, run.run_id)["fingerprint"] for run in runs}
    assert len(prints) == 1
    assert store.definition(prints.pop()) is not None


def fact_of_start(store: Any, run_id: str) -> dict[str, Any]:
    entry = store.entry(ThreadId(run_id), 1)
    document: list[dict[str, Any]] = msgspec.json.decode(entry.body.split(b":", 2)[2])
    return document[0]
