"""Events from outside: taken once, in order, by one step each; kept until then. And pauses, which people end (I17)."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from squidmesh import define
from squidmesh.errors import KeyReused, NotAllowed, NotFound, NotWaiting
from squidmesh.journal.facts import CommandRepeated, EventAwaited, EventReceived, EventTaken, PauseResumed
from squidmesh.planning import events
from squidmesh.workflow.authoring import (
    StepDeclaration,
    Workflow,
    approval,
    complete,
    event,
    manual,
    pause,
    step,
    value,
    wait,
)
from tests.unit.planning.errand import Empty, Errander, kinds, walk


class Eyrie(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk)
    eagles = event("eagle", output="eagles")
    more = event("eagle")
    moth = event("moth")
    rest = pause()
    flow = pack >> eagles >> more >> moth >> rest


EYRIE = define(Eyrie)


class Both(Workflow):
    """Two that wait for one name at the same time."""

    version = "1"
    leave = manual(Empty)
    one = event("eagle", output="one")
    two = event("eagle", output="two")
    pack = step(walk, after=[one, two])


BOTH = define(Both)


def at_eagles() -> Errander:
    run = Errander(EYRIE)
    run.do("pack")
    return run


def test_an_event_is_taken_by_the_step_that_waits_for_it() -> None:
    run = at_eagles()
    assert run.send("eagle", {"wind": "west"})[:2] == [
        EventReceived(at=0, event="eagle", data={"wind": "west"}, actor="gwaihir"),
        EventTaken(at=0, step="eagles", event="eagle", output={"eagles": {"wind": "west"}}),
    ]
    assert run.state.context()["eagles"] == {"wind": "west"}
    assert run.state.open_gates == ["more"]


def test_a_step_without_an_output_takes_an_event_and_keeps_nothing_of_it() -> None:
    run = at_eagles()
    run.send("eagle", 1)
    run.send("eagle", 2)
    assert dict(run.state.context()) == {"eagles": 1}


def test_an_event_that_comes_early_is_kept_and_taken_by_the_entry_that_reaches_its_step() -> None:
    run = Errander(EYRIE)
    assert kinds(run.send("eagle", 1)) == ["EventReceived"]
    run.claim("pack")
    assert [fact for fact in run.complete("pack") if isinstance(fact, EventAwaited | EventTaken)] == [
        EventAwaited(at=0, step="eagles", event="eagle"),
        EventTaken(at=0, step="eagles", event="eagle", output={"eagles": 1}),
        EventAwaited(at=0, step="more", event="eagle"),
    ]


def test_kept_events_are_taken_in_the_order_in_which_they_came() -> None:
    run = Errander(EYRIE)
    run.send("moth", "m")
    for number in (1, 2, 3):
        run.send("eagle", number)
    run.do("pack")
    assert run.told("EventTaken") == [("EventTaken", "eagles"), ("EventTaken", "more"), ("EventTaken", "moth")]
    assert run.state.outputs == {"eagles": 1}
    assert [(kept.event, kept.data) for kept in run.state.events] == [("eagle", 3)]
    assert run.state.open_gates == ["rest"]


def test_two_events_of_one_key_are_one() -> None:
    run = Errander(EYRIE)
    run.send("eagle", 1, key="feather")
    assert run.send("eagle", 2, key="feather") == [CommandRepeated(at=0, key="feather")]
    run.do("pack")
    assert run.send("eagle", 3, key="feather") == [CommandRepeated(at=0, key="feather")]
    assert (run.state.outputs, run.state.open_gates) == ({"eagles": 1}, ["more"])


def test_the_key_of_one_event_is_not_for_another() -> None:
    run = Errander(EYRIE)
    run.send("eagle", key="feather")
    with pytest.raises(KeyReused):
        run.send("moth", key="feather")


def test_two_steps_that_wait_for_one_name_take_one_event_each() -> None:
    run = Errander(BOTH)
    run.send("eagle", 1)
    assert run.state.open_gates == ["two"]
    run.send("eagle", 2)
    assert run.state.outputs == {"one": 1, "two": 2}
    assert run.state.open_steps == ["pack"]


def test_two_steps_reached_by_one_entry_take_two_kept_events() -> None:
    class Behind(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk)
        one = event("eagle", output="one", after=[pack])
        two = event("eagle", output="two", after=[pack])
        three = event("eagle", output="three", after=[pack])

    run = Errander(define(Behind))
    run.send("eagle", 1)
    run.send("eagle", 2)
    run.do("pack")
    assert (run.state.outputs, run.state.open_gates) == ({"one": 1, "two": 2}, ["three"])


def test_an_event_that_no_step_waits_for_is_refused_and_says_which_are_allowed() -> None:
    with pytest.raises(NotAllowed, match="allowed are: eagle, moth") as refused:
        at_eagles().send("balrog")
    assert refused.value.field == "event"


def test_a_run_keeps_so_many_events_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_KEPT", 3)
    run = Errander(EYRIE)
    for number in range(3):
        run.send("eagle", number, key=f"k{number}")
    with pytest.raises(NotAllowed, match="keeps 3 events"):
        run.send("moth")
    assert kinds(run.send("eagle", key="k0")) == ["CommandRepeated"], "which adds nothing"
    run.do("pack")
    assert kinds(run.send("moth"))[0] == "EventReceived", "two were taken"


def test_an_event_that_is_waited_for_is_taken_however_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_KEPT", 1)
    run = at_eagles()
    run.send("moth")
    assert kinds(run.send("eagle"))[:2] == ["EventReceived", "EventTaken"]


def test_a_run_that_has_ended_takes_no_event() -> None:
    run = at_eagles()
    run.cancel()
    with pytest.raises(NotAllowed, match="is cancelled"):
        run.send("eagle")


def test_no_person_decides_for_an_event() -> None:
    run = at_eagles()
    for word in (run.decide, run.resume):
        with pytest.raises(NotFound):
            word(step="eagles")
        with pytest.raises(NotWaiting):
            word()
    assert run.state.open_gates == ["eagles"]


# ---------------------------------------------------------------------------------------------------------- pauses


def at_rest() -> Errander:
    run = at_eagles()
    for name in ("eagle", "eagle", "moth"):
        run.send(name)
    assert run.state.open_gates == ["rest"]
    return run


def test_a_pause_ends_with_the_word_of_a_person() -> None:
    resumed, end = at_rest().resume(comment="on", metadata={"seat": 3}, key="word")
    assert resumed == PauseResumed(at=0, step="rest", actor="elrond", comment="on", metadata={"seat": 3}, key="word")
    assert kinds([end]) == ["RunCompleted"]


def test_a_pause_is_no_approval() -> None:
    with pytest.raises(NotFound):
        at_rest().decide(step="rest")
    with pytest.raises(NotWaiting):
        at_rest().decide()


def test_a_pause_ends_once() -> None:
    class Twice(Workflow):
        version = "1"
        leave = manual(Empty)
        rest = pause()
        sleep = pause()
        flow = rest >> sleep

    run = Errander(define(Twice))
    run.resume()
    with pytest.raises(NotWaiting, match="was resumed already, by elrond"):
        run.resume(step="rest")
    assert run.state.open_gates == ["sleep"]


def test_of_two_open_pauses_one_must_be_named() -> None:
    class Two(Workflow):
        version = "1"
        leave = manual(Empty)
        rest = pause()
        sleep = pause()
        pack = step(walk, after=[rest, sleep])

    run = Errander(define(Two))
    with pytest.raises(NotWaiting, match="say which: rest, sleep"):
        run.resume()
    run.resume(step="sleep")
    run.resume()
    assert run.state.open_steps == ["pack"]


def test_of_two_open_approvals_one_must_be_named() -> None:
    class Two(Workflow):
        version = "1"
        leave = manual(Empty)
        elves = approval()
        dwarves = approval()
        rest = pause()
        pack = step(walk, after=[elves, dwarves])

    run = Errander(define(Two))
    with pytest.raises(NotWaiting, match="say which: elves, dwarves"):
        run.decide()
    run.decide(step="dwarves")
    assert kinds(run.decide())[0] == "ApprovalDecided", "the other one, and no pause"


# ------------------------------------------------------------------------- what several steps of one entry lead to


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


def unpack() -> None: ...


@pytest.mark.parametrize("first", ["function", "wait", "approval", "pause", "event"])
def test_a_run_that_no_route_leads_on_fails_with_the_entry_that_finds_it_out(first: str) -> None:
    """The entry that ends the first step takes a kept event, and then no condition holds: what it has ended itself is
    neither closed a second time nor waited for.
    """
    firsts: dict[str, StepDeclaration] = {
        "function": step(walk, compensate=unpack),
        "wait": wait(0),
        "approval": approval(),
        "pause": pause(),
        "event": event("moth"),
    }
    here, eagles = firsts[first], event("eagle")
    flow = (here >> eagles, eagles.to(complete, when=value("nowhere").exists()))
    body = {"version": "1", "leave": manual(Anything), "here": here, "eagles": eagles, "flow": flow}
    run = Errander(define(type("Stuck", (Workflow,), body)))
    run.send("eagle")
    match first:
        case "function":
            run.claim("here")
            facts = run.complete("here")
        case "wait":
            facts = run.claim("here")
        case "approval":
            facts = run.decide()
        case "pause":
            facts = run.resume()
        case _:
            facts = run.send("moth")
    if first == "function":
        assert kinds(facts)[-3:] == ["RunFailing", "CompensationStarted", "AttemptScheduled"]
    else:
        assert kinds(facts)[-1] == "RunFailed"
    assert run.state.failure_code == "no_matching_transition"
    assert run.told("AttemptCancelled", "GateClosed") == []
