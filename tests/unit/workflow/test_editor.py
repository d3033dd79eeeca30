"""A workflow is a map for editors, and comes back from it as it was; whatever is wrong with one is told at once."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squidmesh.demo.workflow import PaymentRecovery
from squidmesh.reading.graph import preview_graph
from squidmesh.workflow import map_reader
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Workflow
from squidmesh.workflow.definition import Definition, FunctionStep
from squidmesh.workflow.editor import from_map, to_map
from squidmesh.workflow.validation import define, examine
from tests.unit.workflow import cases_maps, test_authoring, typing_example
from tests.unit.workflow.cases_maps import CASES, GRAPH, SOUND, Case, Map, changed, make_actions, put
from tests.unit.workflow.test_validation import CASES as CLASS_CASES
from tests.unit.workflow.test_validation import codes_in

every_case = pytest.mark.parametrize("case", CASES, ids=[name for name, _, _ in CASES])


@every_case
def test_exactly_these_problems_of_a_map_are_found(case: Case) -> None:
    _, change, expected = case
    draft = from_map(changed(change), make_actions())
    assert sorted((one.path, one.code) for one in draft.problems) == sorted(expected), "\n".join(
        map(str, draft.problems)
    )


@every_case
def test_a_map_is_a_definition_unless_a_problem_is_more_than_a_warning(case: Case) -> None:
    draft = from_map(changed(case[1]), make_actions())
    assert (draft.definition is None) == bool(draft.fatal)
    assert draft.to_json()["valid"] is (draft.definition is not None)
    if draft.definition is not None:
        assert Definition.from_json(draft.definition.canonical()) == draft.definition


@every_case
def test_every_problem_of_a_map_is_a_sentence(case: Case) -> None:
    for problem in from_map(changed(case[1]), make_actions()).problems:
        assert len(problem.message.split()) >= 5, problem
        assert not problem.message.endswith((".", " ")), problem


def test_every_code_of_the_map_reader_has_a_case() -> None:
    written = set(codes_in(Path(map_reader.__file__)))
    assert len(written) > 12
    assert written <= {code for _, _, expected in CASES for _, code in expected}


def test_all_problems_are_told_at_once() -> None:
    changes = [put("run_id", 1), put("steps.0.action", "x"), put("routes.1.on", "x"), put("version", "a b")]
    found = from_map(changed(cases_maps.both(*changes)), make_actions()).problems
    assert {one.code for one in found} == {
        "runtime_owned_field",
        "unknown_action",
        "invalid_outcome",
        "invalid_version",
    }


def test_a_message_says_what_was_wrong_and_what_is_allowed() -> None:
    (problem,) = from_map(changed(put("steps.0.action", "os.system")), make_actions()).problems
    assert problem.message == (
        "'os.system' is none of the host's actions; there are: charge_card, refund, tell, look, old"
    )


# ---------------------------------------------------------------------------------------------------- round trips


def classes() -> list[type[Workflow]]:
    """Every workflow that a class says well, in these tests and in the demo."""
    found = [workflow for workflow, _ in CLASS_CASES]
    for module in (test_authoring, typing_example):
        said = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Workflow)]
        found += [one for one in said if one is not Workflow]
    return [one for one in (*found, PaymentRecovery) if examine(one).definition is not None]


def with_actions(workflow: type[Workflow]) -> tuple[Map, Actions]:
    """Its map, with an action for each of its functions."""
    examined, actions = examine(workflow), Actions()
    assert examined.definition is not None
    written = json.loads(json.dumps(to_map(examined.definition)))
    for step in written["steps"]:
        if step["kind"] != "function":
            continue
        for place, name in ((step, step["name"]), (step.get("compensate"), f"{step['name']}!undo")):
            if place is not None:
                place["action"] = name.replace("!", ".")
                actions.add(place["action"], examined.functions[name][0])
    return written, actions


def without_actions(definition: Definition) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(definition.canonical())
    for step in spec["steps"]:
        if step["kind"] == "function":
            step["action"] = None
            if step["compensate"] is not None:
                step["compensate"]["action"] = None
    return spec


@pytest.mark.parametrize("workflow", classes(), ids=lambda it: it.__name__)
def test_a_class_comes_back_from_its_map_as_it_was(workflow: type[Workflow]) -> None:
    written, actions = with_actions(workflow)
    draft = from_map(written, actions)
    beyond = {problem.code for problem in draft.fatal}
    if beyond:  # its payload has what no schema here can say; nothing else may be in the way
        assert beyond == {"unsupported_schema"}
        return
    assert draft.definition is not None
    assert without_actions(draft.definition) == without_actions(define(workflow))


def test_most_payloads_can_be_said_by_a_schema() -> None:
    refused = [one.__name__ for one in classes() if from_map(*with_actions(one)).definition is None]
    assert len(refused) * 4 < len(classes()), refused
    assert "PaymentRecovery" not in refused


@pytest.mark.parametrize("said", [SOUND, GRAPH])
def test_a_map_comes_back_from_its_definition(said: Map) -> None:
    definition = from_map(said, make_actions()).definition
    assert definition is not None
    written = to_map(definition)
    again = from_map(json.loads(json.dumps(written)), make_actions()).definition
    assert again is not None
    assert again.fingerprint == definition.fingerprint
    assert to_map(again) == written


def test_what_is_described_in_a_map_is_kept_and_what_is_not_is_described_by_its_action() -> None:
    said = changed(put("steps.1.description", "Ask the manager."))
    definition = from_map(said, make_actions()).definition
    assert definition is not None
    assert [step.description for step in definition.steps] == ["Takes the money.", "Ask the manager.", ""]
    charge = definition.step("charge")
    assert isinstance(charge, FunctionStep)
    assert (charge.action, charge.compensate and charge.compensate.action) == ("charge_card", "refund")
    assert charge.compensate is not None
    assert charge.compensate.description == "Gives it back."
    undo = definition.step("charge!undo")
    assert isinstance(undo, FunctionStep)
    assert undo.action == "refund"


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "output": st.sampled_from(["paid", "seen"]),
        "queue": st.sampled_from(["mail", "slow"]),
        "priority": st.integers(0, 9),
        "timeout": st.floats(0.5, 1000).map(lambda it: round(it, 3)),
        "irreversible": st.booleans(),
        "compensatable": st.booleans(),
        "input": st.just({"amount": "amount"}),
        "retry": st.builds(
            lambda most, delay: {"max_attempts": most, "backoff": {"kind": "fixed", "delay": delay}},
            st.integers(1, 100),
            st.integers(0, 1000),
        ),
    },
)


@given(SETTINGS)
def test_whatever_is_said_of_a_step_comes_back(settings: dict[str, Any]) -> None:
    said = copy.deepcopy(GRAPH)
    said["steps"] = [{"name": "charge", "kind": "function", "action": "charge_card", **settings}]
    definition = from_map(said, make_actions()).definition
    assert definition is not None
    (written,) = to_map(definition)["steps"]
    for name, value in settings.items():
        assert written[name] == (value if name != "retry" else {**value, "jitter": 0.0})
    again = from_map(to_map(definition), make_actions()).definition
    assert again == definition


# ------------------------------------------------------------------------------------------------------- drawings


def test_a_draft_is_drawn_with_the_ids_of_run_graphs() -> None:
    draft = from_map(SOUND, make_actions())
    assert draft.definition is not None
    assert preview_graph(draft) == preview_graph(draft.definition)
    drawn = preview_graph(from_map(GRAPH, make_actions()))
    assert [edge.id for edge in drawn.edges] == ["charge:dependency:tell", "rest:dependency:tell"]
    assert drawn.roots == ("charge", "rest")


@every_case
def test_a_draft_with_problems_is_drawn_all_the_same(case: Case) -> None:
    said = changed(case[1])
    draft = from_map(said, make_actions())
    drawn = preview_graph(draft)
    assert drawn.problems == draft.problems
    json.dumps(drawn.to_json())
    ids = {node.id for node in drawn.nodes}
    assert {end for edge in drawn.edges for end in (edge.source, edge.target)} <= ids
    if draft.sketch is not None and isinstance(said["steps"], list):
        names = {step["name"] for step in said["steps"] if isinstance(step, dict) and "name" in step}
        assert names - {"placed"} <= ids


def test_a_circle_is_drawn_as_a_circle() -> None:
    said = changed(put("routes.2", {"source": "tell", "on": "ok", "target": "charge"}))
    drawn = preview_graph(from_map(said, make_actions()))
    assert [edge.id for edge in drawn.edges] == ["charge:ok:check", "check:ok:tell", "tell:ok:charge"]
    assert [problem.code for problem in drawn.problems] == ["cycle"]


def test_nothing_in_a_map_is_imported() -> None:
    """A function is looked up among the actions; the names in the map are never a module's."""
    for module in (map_reader, cases_maps):
        names = {
            node.id
            for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
            if isinstance(node, ast.Name)
        }
        assert not names & {"importlib", "__import__", "eval", "exec", "getattr"}
