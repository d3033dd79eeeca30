"""Every problem of a workflow is found at once, with the path where it is and a code that stays.

The cases beside this file are workflows with exactly what is wrong with each: a second problem that follows from the
first is a failure too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import squidmesh.workflow.validation
from squidmesh.errors import WorkflowError
from squidmesh.workflow.authoring import (
    Complete,
    Manual,
    StepDeclaration,
    Workflow,
    approval,
    complete,
    manual,
    step,
    value,
    wait,
)
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.validation import define, problems_of
from tests.unit.workflow import (
    cases_cron,
    cases_gates,
    cases_graphs,
    cases_header,
    cases_inputs,
    cases_recovery,
    cases_routes,
    cases_steps,
)
from tests.unit.workflow.cases import Case, Payload, nothing

CASES: list[Case] = [
    *cases_header.cases,
    *cases_cron.cases,
    *cases_steps.cases,
    *cases_gates.cases,
    *cases_inputs.cases,
    *cases_routes.cases,
    *cases_graphs.cases,
    *cases_recovery.cases,
]
every_case = pytest.mark.parametrize(("workflow", "expected"), CASES, ids=[workflow.__name__ for workflow, _ in CASES])


@every_case
def test_exactly_these_problems_are_found(workflow, expected):
    found = problems_of(workflow)
    assert sorted((problem.path, problem.code) for problem in found) == expected, "\n".join(map(str, found))


@every_case
def test_a_workflow_is_refused_for_its_problems_but_not_for_its_warnings(workflow, expected):
    fatal = tuple(problem for problem in problems_of(workflow) if not problem.warning)
    if not fatal:
        definition = define(workflow)
        assert Definition.from_json(definition.canonical()) == definition
        assert [name for name, step_ in vars(workflow).items() if isinstance(step_, StepDeclaration)] == [
            step_.name for step_ in definition.steps
        ]
        return
    with pytest.raises(WorkflowError) as caught:
        define(workflow)
    assert caught.value.problems == fatal


@every_case
def test_every_problem_is_a_sentence_that_says_more_than_its_code(workflow, expected):
    for problem in problems_of(workflow):
        assert len(problem.message.split()) >= 5, problem
        assert not problem.message.endswith((".", " ")), problem
        assert "\n" not in problem.message, problem


def codes_in(source: Path) -> Iterator[str]:
    """The words that stand where a problem has its code."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call):
            named = isinstance(node.func, ast.Attribute) and node.func.attr in ("add", "problem")
            places = [*node.args[1:2]] if named else [one.value for one in node.keywords if one.arg == "code"]
            yield from (str(place.value) for place in places if isinstance(place, ast.Constant))


AUTHORED = ("map_reader.py", "schema.py")
"""What only editors' maps are refused for: see ``test_editor.py`` and ``test_schema.py``."""


def test_every_code_has_a_case():
    folder = Path(squidmesh.workflow.validation.__file__).parent
    written = {code for source in folder.glob("*.py") if source.name not in AUTHORED for code in codes_in(source)} - {
        "duplicate_workflow",
        "not_a_workflow",
    }
    tested = {code for _, expected in CASES for _, code in expected}
    assert len(written) > 30
    assert written - tested == set()


def test_only_a_missing_fallback_is_a_warning():
    warnings = {problem.code for workflow, _ in CASES for problem in problems_of(workflow) if problem.warning}
    assert warnings == {"no_fallback_route"}


@pytest.mark.parametrize(
    ("workflow", "path", "message"),
    [
        (
            cases_inputs.AfterItsFailure,
            "steps.c.parameters.bread",
            "'bread' has no default, and nothing supplies it; there is bearer, ring_id",
        ),
        (cases_steps.AllAtOnce, "steps.a.priority", "10 is refused; allowed is 0 (first) to 9"),
        (cases_steps.AllAtOnce, "steps.a.retry", "3 is refused; allowed is RetryPolicy(max_attempts=…, backoff=…)"),
    ],
)
def test_a_message_says_what_was_wrong_and_what_is_allowed(workflow, path, message):
    assert message in [problem.message for problem in problems_of(workflow) if problem.path == path]


def test_nothing_raises_while_a_class_body_runs():
    class Nonsense(Workflow):
        version = None  # type: ignore[assignment]
        start: Manual[Payload] = manual(None)  # type: ignore[arg-type]
        a = step(None, output=[], input=3, retry="x", queue=1, priority=None)  # type: ignore[arg-type]
        b = wait(None)  # type: ignore[arg-type]
        c = approval(output=b)  # type: ignore[arg-type]
        flow = a.to(None, when=value(None).in_(None)) >> 5 >> c.on_error(b)  # type: ignore[arg-type, operator]

    assert len(problems_of(Nonsense)) > 8


STEPS = "abcd"
ANY = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from([*STEPS, "complete"])), max_size=6, unique=True)
CHAINS = st.builds(
    lambda order, more: list(dict.fromkeys([*pairwise(order), *more])),
    st.permutations(STEPS),
    ANY.map(lambda it: it[:3]),
)


@given(ANY | CHAINS)
def test_exactly_the_workflows_that_are_paths_are_accepted(routes):
    steps = {name: step(nothing) for name in STEPS}
    targets: dict[str, StepDeclaration | Complete] = {**steps, "complete": complete}
    # Every route but a source's last has a condition, so that none of them is a duplicate.
    last = dict(routes)
    flow = []
    for source, target in routes:
        when = None if target == last[source] else value("ring_id") == f"{source}{target}"
        flow.append(steps[source].to(targets[target], when=when))
    workflow = type("Drawn", (Workflow,), {"version": "1", "start": manual(Payload), **steps, "flow": flow})
    after = {name: {target for source, target in routes if source == name} - {"complete"} for name in STEPS}
    beyond = dict(after)  # all that can be reached, in as many rounds as there are steps
    for _ in STEPS:
        beyond = {name: found.union(*(beyond[one] for one in found)) for name, found in beyond.items()}
    entries = [name for name in STEPS if not any(name in found for found in after.values())]
    is_path = len(entries) == 1 and len(beyond[entries[0]]) == len(STEPS) - 1 and all(n not in beyond[n] for n in STEPS)

    if is_path:
        definition = define(workflow)
        assert definition.entry == entries[0]
        assert [(route.source, route.target) for route in definition.routes] == routes
    else:
        with pytest.raises(WorkflowError):
            define(workflow)
