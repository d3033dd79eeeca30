"""I14: a step of a graph begins once, when all that it comes after have succeeded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations

import pytest

from squidmesh import define
from squidmesh.journal.facts import AttemptScheduled
from squidmesh.workflow.authoring import (
    Workflow,
    approval,
    event,
    log,
    manual,
    pause,
    step,
    wait,
    wait_for_children,
)
from tests.unit.planning.errand import SECOND, Empty, Errander, kinds, walk


class Victory(Workflow):
    version = "1"
    leave = manual(Empty)
    march = step(walk, output="march")
    rally = step(walk, output="rally", queue="far")
    distract = step(walk, output="distract", priority=0)
    declare = step(walk, output="declare", after=[march, rally, distract])
    sing = step(walk, output="sing", after=[march])


VICTORY = define(Victory)


class Gathering(Workflow):
    """A join of one step of each kind."""

    version = "1"
    leave = manual(Empty)
    pack = step(walk)
    rest = wait(5)
    note = log("come")
    council = approval(output="council")
    sleep = pause()
    eagles = event("eagle")
    children = wait_for_children()
    home = step(walk, after=[pack, rest, note, council, sleep, eagles, children])


def test_every_root_begins_with_the_run_and_nothing_else_does() -> None:
    run = Errander(VICTORY)
    assert run.begun() == ["march", "rally", "distract"]
    runnables = [(it.step, it.queue, it.priority) for it in run.state.open_attempts()]
    assert runnables == [("march", "default", 5), ("rally", "far", 5), ("distract", "default", 0)]


def test_a_delayed_start_delays_every_root() -> None:
    run = Errander(VICTORY, delay=timedelta(seconds=5))
    assert {it.visible_at for it in run.state.open_attempts()} == {5 * SECOND}


@pytest.mark.parametrize("order", list(permutations(["march", "rally", "distract"])))
def test_a_join_begins_with_the_entry_of_its_last_dependency_in_whichever_order(order: tuple[str, ...]) -> None:
    run = Errander(VICTORY)
    for name in order[:-1]:
        run.do(name)
        assert "declare" not in run.begun()
    run.claim(order[-1])
    assert "declare" in [fact.step for fact in run.complete(order[-1]) if isinstance(fact, AttemptScheduled)]
    assert run.begun().count("declare") == 1


def test_dependencies_that_are_claimed_together_are_still_joined_once() -> None:
    run = Errander(VICTORY)
    for name in ("march", "rally", "distract"):
        run.claim(name)
    assert run.state.claimed == 3
    for name in ("rally", "distract", "march"):
        run.complete(name)
    assert run.begun() == ["march", "rally", "distract", "declare", "sing"]


def test_a_step_begins_without_waiting_for_those_that_it_does_not_come_after() -> None:
    run = Errander(VICTORY)
    run.do("march")
    assert run.state.open_steps == ["rally", "distract", "sing"]


def test_a_retry_of_a_dependency_begins_nothing() -> None:
    class Once(Workflow):
        version = "1"
        leave = manual(Empty)
        one = step(walk)
        two = step(walk)
        join = step(walk, after=[one, two])

    run = Errander(define(Once))
    run.do("one")
    run.claim("two")
    run.release("two")
    run.claim("two")
    run.lose("two", delay=0)
    assert run.begun() == ["one", "two"]
    run.do("two")
    assert run.begun() == ["one", "two", "join"]


def test_a_graph_completes_when_each_of_its_steps_has() -> None:
    run = Errander(VICTORY)
    for name in ("march", "rally", "distract", "declare"):
        assert "RunCompleted" not in kinds(run.do(name))
    assert kinds(run.do("sing")) == ["AttemptCompleted", "RunCompleted"]
    assert run.state.outputs.keys() == set()
    assert run.told("RouteTaken") == [], "a dependency is no route"


def deeds(run: Errander) -> dict[str, Callable[[], object]]:
    return {
        "pack": lambda: run.do("pack"),
        "rest": lambda: run.claim("rest"),
        "note": lambda: run.claim("note"),
        "council": run.decide,
        "sleep": run.resume,
        "eagles": lambda: run.send("eagle"),
    }


@pytest.mark.parametrize("last", ["pack", "rest", "note", "council", "sleep", "eagles"])
def test_steps_of_every_kind_are_joined(last: str) -> None:
    run = Errander(define(Gathering))
    run.later(5)
    assert run.told("ChildrenEnded") == [("ChildrenEnded", "children")], "there were none"
    for name, deed in deeds(run).items():
        if name != last:
            deed()
    assert "home" not in run.begun()
    deeds(run)[last]()
    assert run.state.open_steps == ["home"]
    assert kinds(run.do("home"))[-1] == "RunCompleted"


def test_a_rejection_is_no_success() -> None:
    run = Errander(define(Gathering))
    assert kinds(run.decide("rejected"))[-1] == "RunFailed"
    assert "home" not in run.begun()


def test_a_graph_of_gates_that_open_at_once_completes_with_its_start() -> None:
    class Nobody(Workflow):
        version = "1"
        leave = manual(Empty)
        one = wait_for_children()
        two = wait_for_children(after=[one])
        three = wait_for_children(after=[one, two])

    run = Errander(define(Nobody))
    assert kinds(run.began)[-1] == "RunCompleted"
    assert run.told("ChildrenEnded") == [("ChildrenEnded", name) for name in ("one", "two", "three")]


def test_a_join_begins_once_where_one_of_its_dependencies_ends_at_once_behind_another() -> None:
    """``pack`` reaches ``eagles``, which takes a kept event and so reaches ``home``; that comes after ``pack`` too."""

    class Shortcut(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk)
        rest = step(walk)
        eagles = event("eagle", after=[pack])
        home = step(walk, after=[pack, eagles])

    run = Errander(define(Shortcut))
    run.send("eagle")
    run.do("rest")
    run.do("pack")
    assert run.begun() == ["pack", "rest", "eagles", "home"]
    assert kinds(run.do("home"))[-1] == "RunCompleted"


# ------------------------------------------------------------------------------------------------------ continuation


class Diamond(Workflow):
    version = "1"
    leave = manual(Empty)
    top = step(walk)
    left = step(walk, after=[top])
    right = step(walk, after=[top])
    end = step(walk, after=[left, right])


def test_a_worker_goes_on_through_a_join_with_the_entry_of_its_last_dependency() -> None:
    run = Errander(define(Diamond))
    for name in ("top", "left"):
        run.do(name)
    run.claim("right")
    facts = run.complete("right", then=run.wish("end"))
    assert kinds(facts) == ["AttemptCompleted", "AttemptScheduled", "AttemptClaimed"]
    assert run.state.runnables["end"].status == "claimed"


def test_a_worker_goes_on_with_nothing_where_several_steps_begin() -> None:
    run = Errander(define(Diamond))
    run.claim("top")
    facts = run.complete("top", then=run.wish("left", "right"))
    assert kinds(facts) == ["AttemptCompleted", "AttemptScheduled", "AttemptScheduled"]


def test_a_worker_goes_on_with_nothing_where_a_sibling_is_still_waited_for() -> None:
    run = Errander(define(Diamond))
    run.do("top")
    run.claim("left")
    assert kinds(run.complete("left", then=run.wish("right", "end"))) == ["AttemptCompleted"]
    assert run.state.runnables["right"].status == "scheduled", "it was there before, for anybody"
