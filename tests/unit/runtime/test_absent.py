"""A worker is not in the way of those who have what it has not, and finds out when it has it (protocol 3.5.2)."""

from datetime import timedelta

from squidmesh.runtime.absent import FIRST_DELAY, LONGEST_GLANCE, AbsentSteps
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.registry import Registry
from tests.unit.planning.errand import Errand

NONE = timedelta(0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def absent(*, actions: Actions | None = None) -> tuple[AbsentSteps, Clock]:
    clock = Clock()
    return AbsentSteps(Registry([Errand], actions), clock), clock


def with_actions() -> Actions:
    actions = Actions()
    actions.add("walk", lambda: None)
    return actions


def test_without_actions_a_name_that_no_workflow_here_has_is_passed_over_for_good() -> None:
    steps, clock = absent()
    assert steps.met("Other", "fly") == NONE
    clock.now = 1e9
    assert steps.skipped == {"fly"}


def test_with_actions_a_name_is_passed_over_for_moments_that_grow() -> None:
    """Another workflow, unknown so far, may have a step of that name whose action is here."""
    steps, clock = absent(actions=with_actions())
    lengths = []
    for _ in range(6):
        assert steps.met("Other", "fly") == NONE, "it is visible at once to others"
        began = clock.now
        while steps.skipped:
            clock.now += 0.5
        lengths.append(clock.now - began)
        clock.now += 0.125
    assert lengths == [1, 2, 4, 8, 8, 8]
    assert (lengths[0], lengths[-1]) == (FIRST_DELAY.total_seconds(), LONGEST_GLANCE.total_seconds())


def test_a_change_of_the_actions_is_noticed_at_once() -> None:
    actions = with_actions()
    steps, _ = absent(actions=actions)
    for change in (
        lambda: actions.disable("walk"),
        lambda: actions.enable("walk"),
        lambda: actions.add("x", lambda: None),
    ):
        steps.met("Other", "fly")
        assert steps.skipped == {"fly"}
        change()
        assert steps.skipped == set()


def test_a_name_that_a_workflow_here_has_too_is_given_back_for_a_while() -> None:
    for actions in (None, with_actions()):
        steps, _ = absent(actions=actions)
        assert steps.met("Other", "pack") == FIRST_DELAY
        assert steps.skipped == set()
