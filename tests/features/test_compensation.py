"""Compensation: what was done is undone in reverse, once each, and by an operator where it will not be (I15)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Context, NotAllowed, NotWaiting, RetryPolicy, Workflow, fixed, manual, step
from tests.features.world import Hand, World, facts_of, kinds, seen, work


class Trip(BaseModel):
    city: str = "Bree"


@dataclass
class Desk:
    """What the outside has seen."""

    told: list[Any] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)


desk = Desk()


@pytest.fixture(autouse=True)
def clean_desk() -> Iterator[None]:
    desk.told.clear()
    desk.refuses.clear()
    yield


def flight(city: str) -> dict[str, Any]:
    return {"seat": f"{city}-1A"}


def hotel(city: str) -> dict[str, Any]:
    return {"room": 7}


def charge() -> None:
    raise RuntimeError("no funds")


def no_flight(seat: str, step_input: dict[str, Any], step_output: dict[str, Any], failure: dict[str, Any]) -> str:
    desk.told.append(("flight", seat, step_input, step_output, failure["step"]))
    return "seat given back"


def no_hotel(room: int, context: Context) -> None:
    if "hotel" in desk.refuses:
        raise ConnectionError("the hotel does not answer")
    desk.told.append(("hotel", room, context.attempt))


class Journey(Workflow):
    version = "1"
    book = manual(Trip)
    flight = step(flight, compensate=no_flight)
    hotel = step(hotel, compensate=no_hotel, compensate_retry=RetryPolicy(max_attempts=2, backoff=fixed(10)))
    charge = step(charge)
    flow = flight >> hotel >> charge


def test_completed_steps_are_compensated_in_reverse_order_of_completion(world: World) -> None:
    mesh = world.process(Journey)
    run = mesh.start_run(Journey.book, Trip())
    work(mesh)
    done = seen(mesh, run)
    assert done.status == "failed"
    assert desk.told == [
        ("hotel", 7, 1),
        ("flight", "Bree-1A", {"city": "Bree"}, {"seat": "Bree-1A"}, "charge"),
    ]
    assert [(one.step, one.status) for one in done.compensations] == [("hotel", "completed"), ("flight", "completed")]
    assert done.compensations[1].result == {"result": "seat given back"}
    assert done.output == {"seat": "Bree-1A", "room": 7}, "what a compensation gives is not of the context"
    nodes = {node.id: node.status for node in mesh.inspect_run_graph(run.run_id).nodes}
    assert nodes == {"flight": "compensated", "hotel": "compensated", "charge": "failed"}


def test_an_exhausted_compensation_waits_for_an_operator_and_goes_on_when_retried(world: World) -> None:
    desk.refuses.add("hotel")
    mesh = world.process(Journey)
    run = mesh.start_run(Journey.book, Trip())
    for _ in range(3):
        work(mesh)
        world.pass_time(11)
    waiting = seen(mesh, run)
    assert waiting.status == "compensating"
    why = mesh.explain_run(run.run_id)
    assert (why.reason, why.evidence["step"], why.evidence["attempts"]) == ("compensation_failed", "hotel", 2)
    with pytest.raises(NotAllowed, match="compensating"):
        mesh.cancel_run(run.run_id, actor="sam")
    desk.refuses.clear()
    mesh.retry_compensation(run.run_id, actor="sam", comment="they answer again")
    work(mesh)
    done = seen(mesh, run)
    assert done.status == "failed"
    assert [told[0] for told in desk.told] == ["hotel", "flight"]
    assert ("retried", "sam", "they answer again") in {(one.action, one.actor, one.comment) for one in done.audit}
    with pytest.raises(NotWaiting):
        mesh.retry_compensation(run.run_id, actor="sam")


def test_a_waived_compensation_is_let_be_and_the_next_one_follows(world: World) -> None:
    desk.refuses.add("hotel")
    mesh = world.process(Journey)
    run = mesh.start_run(Journey.book, Trip())
    for _ in range(3):
        work(mesh)
        world.pass_time(11)
    mesh.waive_compensation(run.run_id, actor="sam", step="hotel", key="once")
    again = mesh.waive_compensation(run.run_id, actor="sam", step="hotel", key="once")
    assert [command.repeats for command in again.command_history] == [1]
    work(mesh)
    done = seen(mesh, run)
    assert done.status == "failed"
    assert [told[0] for told in desk.told] == ["flight"]
    assert {one.step: one.status for one in done.compensations} == {"hotel": "waived", "flight": "completed"}


def test_a_retried_compensation_has_a_whole_series_of_attempts_again(world: World) -> None:
    desk.refuses.add("hotel")
    mesh = world.process(Journey)
    run = mesh.start_run(Journey.book, Trip())
    for _ in range(3):
        work(mesh)
        world.pass_time(11)
    mesh.retry_compensation(run.run_id, actor="sam")
    for _ in range(3):
        work(mesh)
        world.pass_time(11)
    assert seen(mesh, run).compensations[0].attempts == 4
    assert mesh.explain_run(run.run_id).reason == "compensation_failed"


def test_a_crash_in_the_middle_of_the_compensation_goes_on_where_it_was(world: World) -> None:
    mesh = world.process(Journey)
    run = mesh.start_run(Journey.book, Trip())
    doomed = Hand(world.process(Journey), "doomed", capacity=1)
    for _ in range(5):
        doomed.claim()
        doomed.run(lambda assignment: assignment.spec.name != "flight!undo")
        doomed.record()
    assert [assignment.spec.name for assignment in doomed.claimed] == ["flight!undo"]
    doomed.die()
    world.pass_time(31)
    work(world.process(Journey, quarantine=False))
    done = seen(mesh, run)
    assert done.status == "failed"
    assert [told[0] for told in desk.told] == ["hotel", "flight"], "the hotel was not asked twice"


def slow(city: str) -> dict[str, Any]:
    return {"train": city}


def no_train(train: str) -> None:
    desk.told.append(("train", train))


class Branches(Workflow):
    version = "1"
    book = manual(Trip)
    flight = step(flight, compensate=no_flight)
    train = step(slow, compensate=no_train)
    charge = step(charge)
    end = step(lambda: None, after=[flight, train, charge])


def test_compensation_waits_for_a_sibling_that_runs_and_undoes_it_too(world: World) -> None:
    run = world.process(Branches).start_run(Branches.book, Trip())
    worker = Hand(world.process(Branches), "worker", capacity=3)
    worker.claim()
    worker.run(lambda assignment: assignment.spec.name == "flight")
    worker.record()
    worker.run(lambda assignment: assignment.spec.name == "charge")
    worker.record()
    reader = world.process(Branches)
    assert seen(reader, run).status == "failing"
    assert desk.told == []
    worker.run()
    worker.record()
    assert seen(reader, run).status == "compensating"
    work(reader)
    assert [told[0] for told in desk.told] == ["train", "flight"], "the last one to complete is undone first"
    assert seen(reader, run).status == "failed"


def test_a_failure_that_a_route_catches_is_not_compensated(world: World) -> None:
    class Caught(Workflow):
        version = "1"
        book = manual(Trip)
        flight = step(flight, compensate=no_flight)
        charge = step(charge)
        home = step(lambda: None)
        flow = (flight >> charge, charge.on_error(home, recovery="undo"))

    mesh = world.process(Caught)
    run = mesh.start_run(Caught.book, Trip())
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, desk.told) == ("completed", [])
    assert [fact["recovery"] for fact in facts_of(done, "RouteTaken")] == [None, "undo"]


def test_a_compensation_that_kills_its_workers_is_a_dead_letter_like_any_other(world: World) -> None:
    mesh = world.process(Journey, max_deliveries=1)
    run = mesh.start_run(Journey.book, Trip())
    doomed = Hand(world.process(Journey, max_deliveries=1), "doomed", capacity=1)
    for _ in range(4):
        doomed.claim()
        doomed.run(lambda assignment: assignment.spec.undoes is None)
        doomed.record()
    assert [assignment.spec.name for assignment in doomed.claimed] == ["hotel!undo"]
    doomed.die()
    world.pass_time(31)
    work(mesh)
    (letter,) = mesh.list_dead_letters().dead_letters
    assert letter.step == "hotel!undo"
    assert mesh.explain_run(run.run_id).reason == "dead_letter"
    mesh.discard_dead_letters([letter.item], actor="sam", reason="it kills")
    assert mesh.explain_run(run.run_id).reason == "compensation_failed"
    mesh.waive_compensation(run.run_id, actor="sam")
    work(mesh)
    assert seen(mesh, run).status == "failed"
    assert "DeadLetterDiscarded" in kinds(seen(mesh, run))
