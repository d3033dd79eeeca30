"""The saga machine is worth its time: each of these bugs, planted alone, turns it red."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import structs

from squidmesh.errors import SquidMeshError
from squidmesh.journal import fold
from squidmesh.journal.facts import AttemptCancelled, AttemptScheduled, ChildEnded, DeadLetterReplayed, GateTimedOut
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.state import ChildState
from squidmesh.planning import (
    children,
    claims,
    control,
    dead_letters,
    deadlines,
    events,
    failure,
    outcome,
    readiness,
    repeating,
    timers,
)
from tests.property.saga_machine import SagaMachine
from tests.property.test_machine_can_fail import ENOUGH, Plant
from tests.support.parts import every


class OnMemory(SagaMachine):
    plane = "memory"


Patch = pytest.MonkeyPatch


def a_join_waits_for_any_of_its_dependencies(patch: Patch) -> None:
    def join(self: Any, step: str) -> None:
        for following in self._definition.dependents.get(step, ()):
            if not any(map(self._is_done, (name for name in following.after if name != step))):
                self.enter(following.name)
        self.complete_if_all_done()

    patch.setattr(readiness.Following, "_join", join)


def a_join_begins_twice(patch: Patch) -> None:
    real = readiness.Following.enter

    def enter(self: Any, name: str, *, delay: int = 0) -> None:
        for _ in range(2 if len(self._definition.step(name).after) > 1 else 1):
            real(self, name, delay=delay)

    patch.setattr(readiness.Following, "enter", enter)


def a_join_of_two_that_end_in_one_entry_is_missed(patch: Patch) -> None:
    """As if only what had ended before the entry counted."""
    patch.setattr(readiness.Following, "_is_done", lambda self, step: step in self._state.completed)


def compensations_go_forwards(patch: Patch) -> None:
    real = failure._to_undo
    patch.setattr(failure, "_to_undo", lambda *args: list(reversed(real(*args))))


def compensation_does_not_wait_for_claimed_siblings(patch: Patch) -> None:
    patch.setattr(failure, "_claimed_besides", lambda state, closed: 0)


def what_ends_while_the_run_fails_is_not_compensated(patch: Patch) -> None:
    real = failure.sibling_ended

    def sibling_ended(*args: Any, completed: bool = False, **more: Any) -> Any:
        return real(*args, completed=False, **more)

    patch.setattr(outcome, "sibling_ended", sibling_ended)


def a_retried_compensation_is_over(patch: Patch) -> None:
    """As if its new attempts were spent already."""
    real = outcome._retry_at

    def retry_at(definition: Any, state: Any, runnable: Any, *args: Any) -> Any:
        return real(definition, state, structs.replace(runnable, forgiven=0), *args)

    patch.setattr(outcome, "_retry_at", retry_at)


def a_waived_compensation_ends_the_run(patch: Patch) -> None:
    patch.setattr(control, "next_undo", lambda definition, state, *, now: [failure._failed(state, now)])


def a_cancel_leaves_what_is_claimed(patch: Patch) -> None:
    real = failure.close_all
    patch.setattr(control, "close_all", lambda state, **more: real(state, **{**more, "claimed_too": False}))


def a_failure_closes_what_is_claimed(patch: Patch) -> None:
    real = failure.fails
    for module in (outcome, control, deadlines, readiness):
        if hasattr(module, "fails"):
            patch.setattr(module, "fails", lambda *args, **more: real(*args, **{**more, "at_once": True}))


def a_cancel_is_heard_while_the_run_fails(patch: Patch) -> None:
    real = control.cancel

    def cancel(state: Any, command: Any) -> Any:
        was, state.phase = state.phase, "open" if state.phase == "failing" else state.phase
        try:
            return real(state, command)
        finally:
            state.phase = was

    patch.setattr(control, "cancel", cancel)


def a_cancel_never_reaches_the_children(patch: Patch) -> None:
    patch.setattr(timers, "_cancels", lambda fact: False)


def children_are_cancelled_though_they_are_to_be_left(patch: Patch) -> None:
    patch.setattr(timers, "_cancels", lambda fact: hasattr(fact, "children"))


def a_gate_times_out_after_it_was_decided(patch: Patch) -> None:
    real = deadlines.pass_gate

    def pass_gate(definition: Any, state: Any, command: Any) -> Any:
        gate = state.gates.get(command.step)
        if gate is None or gate.status == "open":
            return real(definition, state, command)
        return [GateTimedOut(at=command.now, step=command.step)]

    patch.setattr(deadlines, "pass_gate", pass_gate)


def a_step_times_out_whose_claim_has_passed_on(patch: Patch) -> None:
    """As if the timer that was read were the one that is set."""
    real = outcome.time_out

    def time_out(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        if runnable is None or runnable.claim is None or runnable.claim.deadline is None:
            return []
        late = structs.replace(command, now=max(command.now, runnable.claim.deadline))
        return [structs.replace(fact, at=command.now) for fact in real(definition, state, late)]

    patch.setattr(outcome, "time_out", time_out)


def the_deadline_of_a_run_that_fails_is_ignored(patch: Patch) -> None:
    patch.setattr(deadlines, "abandon_siblings", lambda *args, **more: [])


def the_timer_of_a_step_is_forgotten_when_it_is_tried_again(patch: Patch) -> None:
    real = fold._schedule

    def schedule(state: Any, fact: Any) -> None:
        real(state, fact)
        state.runnables[fact.step].timed = False

    usual: dict[Any, Any] = dict(fold._USUAL)
    patch.setattr(fold, "_USUAL", usual | {AttemptScheduled: schedule})


def a_child_is_started_under_a_stale_claim(patch: Patch) -> None:
    def current(state: Any, step: str, **under: Any) -> Any:
        return state.runnables[step]

    patch.setattr(children, "require_current", current)


def a_child_is_started_by_a_run_that_fails(patch: Patch) -> None:
    real = children.start_child

    def start_child(state: Any, command: Any) -> Any:
        was, state.phase = state.phase, "open"
        try:
            return real(state, command)
        finally:
            state.phase = was

    patch.setattr(children, "start_child", start_child)


def a_signal_is_heard_twice(patch: Patch) -> None:
    real = children.record_end

    def record_end(definition: Any, state: Any, command: Any) -> Any:
        child = state.children.get(command.run_id)
        if not state.ended and child is not None and child.status is not None:
            return [ChildEnded(at=command.now, run_id=command.run_id, status=child.status, signal="again")]
        return real(definition, state, command)

    def end_child(state: Any, fact: Any) -> None:
        child: ChildState = state.children[fact.run_id]
        child.status = fact.status
        if fact.run_id in state.open_children:
            state.open_children.remove(fact.run_id)

    patch.setattr(children, "record_end", record_end)
    patch.setattr(fold, "_end_child", end_child)


def the_first_child_that_ends_is_enough(patch: Patch) -> None:
    real = children.record_end

    def record_end(definition: Any, state: Any, command: Any) -> Any:
        was, state.open_children = state.open_children, [command.run_id]
        try:
            return real(definition, state, command)
        finally:
            state.open_children = was

    patch.setattr(children, "record_end", record_end)


def an_event_is_taken_by_two_steps(patch: Patch) -> None:
    """Nobody takes it out of what is kept."""
    real = fold._take_event

    def take_event(state: Any, fact: Any) -> None:
        kept = list(state.events)
        real(state, fact)
        state.events[:] = kept

    patch.setattr(fold, "_take_event", take_event)


def an_event_that_nobody_waits_for_is_lost(patch: Patch) -> None:
    patch.setattr(readiness.Following, "_take_kept_event", lambda self, step: None)


def a_step_is_tried_again_in_a_run_that_fails(patch: Patch) -> None:
    real = outcome._retry_at

    def retry_at(definition: Any, state: Any, *args: Any) -> Any:
        was, state.phase = state.phase, "open"
        try:
            return real(definition, state, *args)
        finally:
            state.phase = was

    patch.setattr(outcome, "_retry_at", retry_at)


def a_repeated_key_is_carried_out_twice(patch: Patch) -> None:
    for module in (control, events, dead_letters):
        patch.setattr(module, "repeated", lambda *args, **more: None)


def a_key_serves_two_verbs(patch: Patch) -> None:
    real = repeating.repeated

    def repeated(state: Any, key: Any, verb: str, subject: Any, **more: Any) -> Any:
        if key in state.keys:
            verb = state.commands[state.keys[key]].verb
        return real(state, key, verb, None, **more)

    for module in (control, events, dead_letters):
        patch.setattr(module, "repeated", repeated)


def nothing_is_ever_given_up(patch: Patch) -> None:
    patch.setattr(claims, "given_up", lambda runnable, command: None)


def a_replayed_dead_letter_keeps_its_losses(patch: Patch) -> None:
    real = fold._replay

    def replay(state: Any, fact: DeadLetterReplayed) -> None:
        lost = state.runnables[fact.step].lost
        real(state, fact)
        state.runnables[fact.step].lost = lost

    patch.setattr(fold, "_replay", replay)


def a_dead_letter_outlives_the_failure_of_its_run(patch: Patch) -> None:
    real = failure.close_all

    def close_all(state: Any, **more: Any) -> Any:
        dead = set(state.dead_steps)
        return [fact for fact in real(state, **more) if not (isinstance(fact, AttemptCancelled) and fact.step in dead)]

    patch.setattr(failure, "close_all", close_all)


BUGS: list[Plant] = [
    a_join_waits_for_any_of_its_dependencies,
    a_join_begins_twice,
    a_join_of_two_that_end_in_one_entry_is_missed,
    compensations_go_forwards,
    compensation_does_not_wait_for_claimed_siblings,
    what_ends_while_the_run_fails_is_not_compensated,
    a_retried_compensation_is_over,
    a_waived_compensation_ends_the_run,
    a_cancel_leaves_what_is_claimed,
    a_failure_closes_what_is_claimed,
    a_cancel_is_heard_while_the_run_fails,
    a_cancel_never_reaches_the_children,
    children_are_cancelled_though_they_are_to_be_left,
    a_gate_times_out_after_it_was_decided,
    a_step_times_out_whose_claim_has_passed_on,
    the_deadline_of_a_run_that_fails_is_ignored,
    the_timer_of_a_step_is_forgotten_when_it_is_tried_again,
    a_child_is_started_under_a_stale_claim,
    a_child_is_started_by_a_run_that_fails,
    a_signal_is_heard_twice,
    the_first_child_that_ends_is_enough,
    an_event_is_taken_by_two_steps,
    an_event_that_nobody_waits_for_is_lost,
    a_step_is_tried_again_in_a_run_that_fails,
    a_repeated_key_is_carried_out_twice,
    a_key_serves_two_verbs,
    nothing_is_ever_given_up,
    a_replayed_dead_letter_keeps_its_losses,
    a_dead_letter_outlives_the_failure_of_its_run,
]


# The others are looked for under `all`: each is a search until something is found.
@pytest.mark.parametrize("plant", every(4, BUGS), ids=lambda plant: plant.__name__)
def test_the_saga_machine_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, IllegalFact, SquidMeshError)):
        run_state_machine_as_test(OnMemory, settings=ENOUGH)


def test_the_saga_machine_is_green_without_a_bug() -> None:
    run_state_machine_as_test(OnMemory, settings=settings(ENOUGH, max_examples=20))
