"""What is no good of the arguments of verbs about workflows made at run time is refused, and named."""

from collections.abc import Iterator
from typing import Any

import pytest

from squidmesh import Actions, Mesh, NotFound, WorkflowError
from squidmesh.errors import InvalidInput
from tests.support.shop import ACTIONS, ORDER

LONG = "x" * 100_000


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    with Mesh.connect("memory://", actions=ACTIONS) as mesh:
        yield mesh


@pytest.mark.parametrize("actor", [None, 3, "", "  ", LONG, "a\0b", "\ud800"])
def test_who_decides_is_named(mesh: Mesh, actor: Any) -> None:
    for call in (
        lambda: mesh.activate_workflow(ORDER, actor=actor),
        lambda: mesh.deactivate_workflow("Order", actor=actor),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "actor"
    assert mesh.workflows() == ()


@pytest.mark.parametrize("name", [None, 3, "", LONG, "a\0b", "\ud800"])
def test_a_name_is_a_text(mesh: Mesh, name: Any) -> None:
    for call in (
        lambda: mesh.workflow_definition(name),
        lambda: mesh.deactivate_workflow(name, actor="sam"),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["Nope", "a b", "../x", "Order.placed"])
def test_a_name_of_nothing_is_not_found(mesh: Mesh, name: str) -> None:
    with pytest.raises(NotFound):
        mesh.workflow_definition(name)
    with pytest.raises(NotFound):
        mesh.deactivate_workflow(name, actor="sam")


@pytest.mark.parametrize(
    "spec", [None, 3, "Order", [], {}, {"name": LONG}, {1: 2}, {"steps": {"a": object()}}, object()]
)
def test_whatever_is_no_spec_is_refused_with_its_problems(mesh: Mesh, spec: Any) -> None:
    draft = mesh.validate_workflow(spec)
    assert draft.definition is None
    assert draft.fatal != ()
    with pytest.raises(WorkflowError) as caught:
        mesh.activate_workflow(spec, actor="sam")
    assert caught.value.problems == draft.fatal
    assert mesh.workflows() == ()


@pytest.mark.parametrize("actions", [3, "x", {}, [print], Actions])
def test_actions_are_actions(actions: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        Mesh.connect("memory://", actions=actions)
    assert caught.value.field == "actions"
