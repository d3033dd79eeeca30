"""A mesh knows the workflows that it was given, and refuses what it can not run before it runs anything."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh.errors import NotFound, WorkflowError
from squidmesh.workflow.authoring import Workflow, complete, manual, step, value, wait
from squidmesh.workflow.registry import Registry
from squidmesh.workflow.validation import define


class Payload(BaseModel):
    ring_id: str


class Nightly(BaseModel):
    ring_id: str = "one-ring"


def pack(ring_id: str) -> dict[str, int]:
    return {"bread": len(ring_id)}


class Errand(Workflow):
    version = "1"
    start = manual(Payload)
    nightly = manual(Nightly)
    a = step(pack)
    b = wait(1)
    flow = (a >> b, b.to(complete, when=value("bread") == 1))


class Named(Workflow):
    version = "1"
    name = "other.name"
    start = manual(Payload)
    a = step(pack, output="packed")


class NoVersion(Workflow):
    start = manual(Payload)
    a = step(pack)


class NoTrigger(Workflow):
    version = "1"
    a = step(pack, queue="no good")


def test_a_workflow_is_found_by_name_by_class_and_by_trigger():
    registry = Registry([Errand, Named])
    assert registry.names == ("Errand", "other.name")
    errand = registry.get("Errand")
    assert errand is not None
    assert errand is registry.of("Errand") is registry.of(Errand) is registry.of(Errand.nightly)
    assert registry.of(Named).name == "other.name"


def test_what_is_registered_can_be_started_and_run():
    errand = Registry([Errand]).of(Errand)
    assert errand.definition == define(Errand)
    assert (errand.triggers["start"], errand.triggers["nightly"]) == (Payload, Nightly)
    assert list(errand.steps) == ["a"]
    bound = errand.steps["a"]
    assert bound.step == errand.definition.step("a")
    assert bound.result(bound.fn(**bound.arguments(bound.pick({"ring_id": "xyz"}), None))) == {"bread": 3}
    assert [(warning.path, warning.code) for warning in errand.warnings] == [("steps.b", "no_fallback_route")]


def test_a_registry_does_not_change():
    errand = Registry([Errand]).of(Errand)
    with pytest.raises(TypeError):
        errand.steps["b"] = errand.steps["a"]  # type: ignore[index]
    with pytest.raises(TypeError):
        errand.triggers["b"] = Payload  # type: ignore[index]
    with pytest.raises(AttributeError):
        errand.name = "x"  # type: ignore[misc]


def test_what_is_not_registered_is_not_found():
    registry = Registry([Named])
    assert registry.get("Errand") is None
    assert registry.get("Named") is None
    for target in ("Errand", Errand, Errand.start):
        with pytest.raises(NotFound, match=r"registered are: other.name"):
            registry.of(target)
    with pytest.raises(NotFound, match=r"registered are: none"):
        Registry([]).of("Errand")


def test_another_class_of_the_same_name_is_not_the_registered_one():
    registry = Registry([Named])

    class Impostor(Workflow):
        version = "2"
        name = "other.name"
        start = manual(Payload)
        a = step(pack)

    with pytest.raises(NotFound):
        registry.of(Impostor.start)


def test_a_broken_workflow_is_refused_with_its_own_paths():
    with pytest.raises(WorkflowError) as caught:
        Registry([Errand, NoTrigger])
    assert caught.value.workflow == "NoTrigger"
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [
        ("steps.a.queue", "invalid_queue"),
        ("triggers", "no_trigger"),
    ]


def test_the_problems_of_several_workflows_are_one_error():
    with pytest.raises(WorkflowError) as caught:
        Registry([NoVersion, Errand, NoTrigger])
    assert caught.value.workflow == "NoVersion, NoTrigger"
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [
        ("NoVersion.version", "missing_version"),
        ("NoTrigger.steps.a.queue", "invalid_queue"),
        ("NoTrigger.triggers", "no_trigger"),
    ]


@pytest.mark.parametrize("first", [Named, "broken"])
def test_two_workflows_of_one_name_are_refused(first):
    if first == "broken":

        class Broken(Workflow):
            name = "other.name"
            start = manual(Payload)
            a = step(pack)

        first = Broken

    with pytest.raises(WorkflowError) as caught:
        Registry([first, Named])
    assert "duplicate_workflow" in [problem.code for problem in caught.value.problems]


def test_what_is_no_workflow_is_refused():
    things: list[Any] = [Payload, "Errand", Errand()]
    for thing in things:
        with pytest.raises(WorkflowError) as caught:
            Registry([thing])
        assert [(problem.path, problem.code) for problem in caught.value.problems] == [("workflows", "not_a_workflow")]
