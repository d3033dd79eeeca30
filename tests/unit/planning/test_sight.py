"""What a step sees of its run: never what a sibling gives; and a compensation sees what its step saw, and gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from squidmesh import complete, define
from squidmesh.planning.sight import context_of, context_of_undo
from squidmesh.workflow.authoring import Workflow, approval, event, manual, step
from tests.unit.planning.errand import Empty, Errander, walk

PAYLOAD = {"miles": 7}


def unpack() -> None: ...


class Battle(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk, output="pack")
    eagles = event("eagle", output="eagles")
    march = step(walk, after=[pack])
    rally = step(walk, output="rally", after=[march], compensate=unpack)
    storm = step(walk, output="storm", after=[eagles])
    home = step(walk, output="home", after=[rally, storm])


BATTLE = define(Battle)


def battle(**outputs: Any) -> Errander:
    """Done in this order."""
    run = Errander(BATTLE, payload=PAYLOAD)
    for name, output in outputs.items():
        if name == "eagles":
            run.send("eagle", output)
        else:
            run.do(name, output)
    return run


def seen(run: Errander, step: str) -> dict[str, Any]:
    return dict(context_of(run.definition, run.state, step))


def seen_by_undo(run: Errander, step: str, *, picked: str | None = None) -> dict[str, Any]:
    """``picked``: what the step's input was taken from."""

    def pick(context: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in context.items() if picked is None or key == picked}

    return dict(context_of_undo(run.definition, run.state, step, pick))


# ---------------------------------------------------------------------------------------------------------- graphs


def test_a_step_of_a_graph_sees_the_payload_and_what_it_comes_after_however_far() -> None:
    run = battle(pack={"pack": 1}, march={"miles_left": 3}, eagles=2)
    assert seen(run, "rally") == {"miles": 7, "pack": 1, "miles_left": 3}
    assert seen(run, "storm") == {"miles": 7, "eagles": 2}


def test_a_step_of_a_graph_does_not_see_what_a_sibling_gave_even_if_it_is_there() -> None:
    run = battle(eagles=2, storm={"storm": 5}, pack={"pack": 1}, march={})
    view = context_of(BATTLE, run.state, "rally")
    assert "storm" not in view and "eagles" not in view
    with pytest.raises(KeyError):
        view["storm"]
    assert (len(view), set(view)) == (2, {"miles", "pack"})


def test_a_join_sees_all_that_it_comes_after() -> None:
    run = battle(pack={"pack": 1}, march={}, eagles=2, rally={"rally": 3}, storm={"storm": 4})
    assert seen(run, "home") == {"miles": 7, "pack": 1, "eagles": 2, "rally": 3, "storm": 4}


def test_a_sibling_does_not_hide_what_it_writes_over() -> None:
    """Objects that are merged may hold any key; one of a sibling's is as if it were not there."""
    run = battle(pack={"pack": 1, "flag": "white"}, march={}, eagles=2, storm={"storm": 5, "flag": "red", "miles": 0})
    assert seen(run, "rally") == {"miles": 7, "pack": 1, "flag": "white"}


# ----------------------------------------------------------------------------------------------------------- paths


class Journey(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk, output="pack", compensate=unpack)
    scout = step(walk, compensate=unpack)
    council = approval(output="council")
    moria = step(walk, output="moria", compensate=unpack)
    mend = step(walk, output="mend", compensate=unpack)
    home = step(walk, output="home")
    flow = (pack >> scout >> council >> moria >> home >> complete, council.on_reject(mend), mend >> home)


JOURNEY = define(Journey)


def failed_at_home(*, rejected: bool = False, scout: dict[str, Any] | None = None) -> Errander:
    run = Errander(JOURNEY, payload=PAYLOAD)
    run.do("pack", {"pack": 1})
    run.do("scout", {"road": "west", "orcs": 3} if scout is None else scout)
    run.decide("rejected" if rejected else "approved")
    run.do("mend" if rejected else "moria", {"mend" if rejected else "moria": 4})
    run.give_up("home")
    assert run.state.phase == "compensating"
    return run


def test_a_step_of_a_path_sees_all_that_came_before() -> None:
    run = Errander(JOURNEY, payload=PAYLOAD)
    run.do("pack", {"pack": 1})
    assert seen(run, "scout") == {"miles": 7, "pack": 1}


FAILURE = {"code": "step_failed", "step": "home", "message": "home failed on attempt 1: step_raised"}


def test_a_compensation_sees_what_its_step_saw_and_gave_and_why_the_run_failed() -> None:
    assert seen_by_undo(failed_at_home(), "scout", picked="pack") == {
        "miles": 7,
        "pack": 1,
        "road": "west",
        "orcs": 3,
        "step_input": {"pack": 1},
        "step_output": {"road": "west", "orcs": 3},
        "failure": FAILURE,
    }


def test_the_output_of_a_step_that_has_a_key_is_what_it_returned() -> None:
    assert seen_by_undo(failed_at_home(), "moria")["step_output"] == 4


def test_the_input_of_a_step_is_taken_from_what_it_saw_and_not_from_what_it_gave() -> None:
    assert seen_by_undo(failed_at_home(), "scout")["step_input"] == {"miles": 7, "pack": 1}


@pytest.mark.parametrize("rejected", [False, True])
def test_a_compensation_sees_nothing_of_later_steps(rejected: bool) -> None:
    """A rejection is no success, and comes later all the same."""
    found = seen_by_undo(failed_at_home(rejected=rejected), "pack")
    assert found.keys() == {"miles", "pack", "step_input", "step_output", "failure"}
    assert found["step_input"] == {"miles": 7}


def test_a_compensation_sees_the_rejection_that_led_to_its_step() -> None:
    found = seen_by_undo(failed_at_home(rejected=True), "mend")
    assert found["council"]["decision"] == "rejected"
    assert found["step_input"].keys() == {"miles", "pack", "road", "orcs", "council"}


def test_a_compensation_sees_what_its_step_gave_even_if_a_later_one_wrote_over_it() -> None:
    found = seen_by_undo(failed_at_home(scout={"pack": "empty", "miles": 0}), "pack")
    assert (found["step_output"], found["pack"], found["miles"]) == (1, 1, 7)
    later = seen_by_undo(failed_at_home(scout={"pack": "empty", "miles": 0}), "moria")
    assert (later["pack"], later["miles"]) == ("empty", 0), "as moria saw it"


def test_a_compensation_of_a_graph_sees_what_its_step_saw_and_no_sibling() -> None:
    run = battle(eagles=2, storm={"storm": 5}, pack={"pack": 1}, march={}, rally={"rally": 3})
    run.give_up("home")
    assert run.state.to_undo == ["rally"]
    found = seen_by_undo(run, "rally")
    assert found.keys() == {"miles", "pack", "rally", "step_input", "step_output", "failure"}
    assert (found["step_input"], found["step_output"]) == ({"miles": 7, "pack": 1}, 3)
