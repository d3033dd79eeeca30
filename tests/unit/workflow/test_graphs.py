"""A graph is what has no circle; its definition knows where it begins, what follows what, and what undoes what."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from squidmesh.errors import WorkflowError
from squidmesh.workflow.authoring import Workflow, approval, event, log, manual, pause, step, wait, wait_for_children
from squidmesh.workflow.definition import (
    UNDO_OUTPUT,
    ApprovalStep,
    ChildrenStep,
    Compensation,
    Definition,
    EventStep,
    FunctionStep,
    LogStep,
    PauseStep,
    WaitStep,
)
from squidmesh.workflow.registry import Registry
from squidmesh.workflow.retry import RetryPolicy
from squidmesh.workflow.validation import define
from tests.unit.workflow.cases import Payload, eat, nothing, pack

TWICE = RetryPolicy(max_attempts=2)


def unpack(bread: int, failure: object) -> None:
    """Put it back."""


class Battle(Workflow):
    version = "1"
    timeout = 3600
    start = manual(Payload)
    packing = step(
        pack,
        queue="slow",
        priority=2,
        timeout=timedelta(minutes=1),
        retry=RetryPolicy(max_attempts=9),
        compensate=unpack,
        compensate_input={"bread": "bread", "failure": "failure"},
        compensate_retry=TWICE,
    )
    note = log("come", level="warning")
    council = approval(output="council", timeout=60, after=[packing, note])
    sleep = pause(after=[note])
    rest = wait(5, after=[packing])
    eagles = event("eagle.seen", 30, output="eagles", after=[rest])
    children = wait_for_children(output="children", after=[sleep])
    home = step(eat, after=[council, children, eagles], transaction=True)


BATTLE = define(Battle)


def test_a_class_body_becomes_exactly_this_graph():
    undo = Compensation(
        description="Put it back.", input={"bread": "bread", "failure": "failure"}, retry=RetryPolicy(max_attempts=2)
    )
    assert BATTLE.steps == (
        FunctionStep(
            name="packing",
            queue="slow",
            priority=2,
            timeout=timedelta(minutes=1),
            retry=RetryPolicy(max_attempts=9),
            compensate=undo,
        ),
        LogStep(name="note", message="come", level="warning"),
        ApprovalStep(name="council", output="council", timeout=timedelta(seconds=60), after=("packing", "note")),
        PauseStep(name="sleep", after=("note",)),
        WaitStep(name="rest", duration=timedelta(seconds=5), after=("packing",)),
        EventStep(name="eagles", event="eagle.seen", output="eagles", timeout=timedelta(seconds=30), after=("rest",)),
        ChildrenStep(name="children", output="children", after=("sleep",)),
        FunctionStep(name="home", transaction=True, after=("council", "children", "eagles")),
    )
    assert (BATTLE.topology, BATTLE.entry, BATTLE.routes) == ("graph", None, ())
    assert BATTLE.timeout == timedelta(hours=1)


def test_a_graph_survives_its_json_form_and_keeps_its_fingerprint():
    again = Definition.from_json(BATTLE.canonical())
    assert (again, again.fingerprint) == (BATTLE, BATTLE.fingerprint)


def test_a_graph_begins_wherever_nothing_has_to_be_done_before():
    assert BATTLE.roots == ("packing", "note")


def test_a_path_begins_at_its_entry():
    class Path(Workflow):
        version = "1"
        start = manual(Payload)
        b = step(eat)
        a = step(pack)
        flow = a >> b

    assert (define(Path).roots, define(Path).topology) == (("a",), "path")


def test_what_comes_after_a_step_is_known_in_declaration_order():
    dependents = {name: [step.name for step in steps] for name, steps in BATTLE.dependents.items()}
    assert dependents == {
        "packing": ["council", "rest"],
        "note": ["council", "sleep"],
        "rest": ["eagles"],
        "sleep": ["children"],
        "council": ["home"],
        "children": ["home"],
        "eagles": ["home"],
    }


def test_a_dependency_has_a_stable_id():
    assert list(BATTLE.dependency_ids())[:3] == [
        ("packing:dependency:council", "packing", "council"),
        ("note:dependency:council", "note", "council"),
        ("note:dependency:sleep", "note", "sleep"),
    ]


def test_a_compensation_is_run_as_a_step_that_goes_where_its_step_goes():
    assert BATTLE.step("packing!undo") == FunctionStep(
        name="packing!undo",
        description="Put it back.",
        output=UNDO_OUTPUT,
        input={"bread": "bread", "failure": "failure"},
        retry=TWICE,
        queue="slow",
        priority=2,
        undoes="packing",
    )
    with pytest.raises(KeyError):
        BATTLE.step("home!undo")


def test_a_compensation_is_registered_with_its_own_function():
    registered = Registry([Battle]).of(Battle)
    assert set(registered.steps) == {"packing", "packing!undo", "home"}
    assert registered.steps["packing!undo"].fn is unpack


STEPS = "abcdefgh"


@pytest.mark.parametrize("ten", range(10))
def test_exactly_the_graphs_without_a_circle_are_accepted(ten):
    """And what comes after what is as a walk finds it, in whatever order the steps are declared."""
    for seed in range(10 * ten, 10 * ten + 10):
        chance = Random(seed)
        after = {name: chance.sample(STEPS, chance.choice([0, 0, 1, 1, 2])) for name in STEPS}
        if seed % 2:  # no circle
            order = chance.sample(STEPS, len(STEPS))
            after = {
                name: [one for one in befores if order.index(one) < order.index(name)]
                for name, befores in after.items()
            }
        befores: dict[str, set[str]] = {name: set(found) for name, found in after.items()}
        for _ in STEPS:
            befores = {name: found.union(*(befores[one] for one in found)) for name, found in befores.items()}
        workflow = drawn(after)
        if not any(after.values()):
            continue  # several steps and no arrow: no graph, and no path
        if any(name in found for name, found in befores.items()):
            with pytest.raises(WorkflowError) as caught:
                define(workflow)
            assert [problem.code for problem in caught.value.problems] == ["cycle"]
            continue
        definition = define(workflow)
        for name in STEPS:
            assert {one for one in STEPS if definition.comes_after(name, one)} == befores[name]


def drawn(after: dict[str, list[str]]) -> type[Workflow]:
    lists: dict[str, list[object]] = {name: [] for name in after}
    steps = {name: step(nothing, after=lists[name]) for name in after}  # type: ignore[arg-type]
    for name, befores in after.items():
        lists[name] += [steps[one] for one in befores]
    return type("Drawn", (Workflow,), {"version": "1", "start": manual(Payload), **steps})


def test_the_message_of_a_cycle_names_its_steps():
    with pytest.raises(WorkflowError) as caught:
        define(drawn({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]}))
    (problem,) = caught.value.problems
    assert problem.message.partition(":")[0] == "a -> b -> c -> a", "each before the one that comes after it"
