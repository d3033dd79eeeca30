"""Where a step is called is today's word, not a run's (protocol 3.10); and only what another process finds may ask."""

import pytest
from pydantic import BaseModel

from squidmesh import Actions, InvalidInput, Workflow, manual, step
from squidmesh.workflow.isolation import home_of
from squidmesh.workflow.registry import Registry
from squidmesh.workflow.validation import define, problems_of


class Nothing(BaseModel):
    pass


def act() -> None: ...


async def act_later() -> None: ...


class Inside(Workflow):
    version = "1"
    name = "Errand"
    go = manual(Nothing)
    first = step(act, compensate=act)
    second = step(act)
    flow = first >> second


class Outside(Workflow):
    version = "1"
    name = "Errand"
    go = manual(Nothing)
    first = step(act, compensate=act, isolation="process")
    second = step(act)
    flow = first >> second


def test_it_is_no_part_of_the_definition() -> None:
    assert define(Inside).fingerprint == define(Outside).fingerprint


def test_a_run_that_began_before_follows_what_is_said_today() -> None:
    begun, today = define(Inside), Registry([Outside])
    places = {
        name: today.bound("Errand", spec) for name, spec in begun.steps_by_name.items() if spec.kind == "function"
    }
    assert {name: bound and bound.isolation for name, bound in places.items()} == {
        "first": "process",
        "first!undo": None,
        "second": None,
    }


def test_a_stand_in_is_called_here() -> None:
    rehearsed = Registry([Outside]).calling(lambda workflow, bound: lambda: None)
    bound = rehearsed.bound("Errand", define(Outside).step("first"))  # type: ignore[arg-type]
    assert bound is not None
    assert bound.isolation is None


def test_what_stands_in_the_script_that_was_started_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outside, "__module__", "__main__")
    (problem,) = problems_of(Outside)
    assert (problem.path, problem.code) == ("steps.first.isolation", "isolation_not_importable")
    assert "the script that was started" in problem.message


def test_what_its_name_does_not_lead_to_has_no_home() -> None:
    assert home_of(Outside) == f"{__name__}:Outside"
    other = type("Outside", (), {"__module__": __name__})
    assert home_of(other) is None


def test_an_action_may_be_isolated_for_every_workflow_that_names_it() -> None:
    actions = Actions()
    actions.add("act", act, isolation="process")
    entry = actions.get("act")
    assert entry is not None
    assert entry.isolation == "process"


@pytest.mark.parametrize(
    ("fn", "isolation", "why"),
    [(lambda: None, "process", "inside a function"), (act_later, "process", "coroutine"), (act, "jail", "'jail'")],
)
def test_an_action_that_can_not_be_isolated_is_refused(fn: object, isolation: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Actions().add("act", fn, isolation=isolation)  # type: ignore[call-overload]
