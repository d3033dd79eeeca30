"""The machine is worth its time: each of these bugs, planted alone, turns it red."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import structs

from squidmesh.errors import SquidMeshError
from squidmesh.ids import RunId
from squidmesh.journal import fold
from squidmesh.journal.codec import decode_state, encode_state
from squidmesh.journal.facts import AttemptClaimed
from squidmesh.journal.fold import IllegalFact
from squidmesh.planning import claims, continuation, control, outcome, readiness, rows
from squidmesh.runtime import chance, recorder, starting
from squidmesh.runtime.commit import Appender
from squidmesh.runtime.held import Runs
from tests.property.machine import CoreMachine

Plant = Callable[[pytest.MonkeyPatch], None]
ENOUGH = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class OnMemory(CoreMachine):
    plane = "memory"


def any_claim_is_current(patch: pytest.MonkeyPatch) -> None:
    for module in (outcome, claims):
        patch.setattr(module, "require_current", lambda state, step, **under: state.runnables[step])


def only_the_attempt_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    """As if a step's result counted, whoever reports it, while the attempt is claimed: under the newer fence."""
    real = outcome.complete

    def complete(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        if runnable is not None and runnable.claim is not None and runnable.attempt == command.attempt:
            command = structs.replace(command, fence=runnable.fence, claim_hash=runnable.claim.claim_hash)
        return real(definition, state, command)

    patch.setattr(outcome, "complete", complete)


def claims_may_come_early(patch: pytest.MonkeyPatch) -> None:
    real = claims.record

    def record(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        later = command if runnable is None else structs.replace(command, now=max(command.now, runnable.visible_at))
        return [structs.replace(fact, at=command.now) for fact in real(definition, state, later)]

    patch.setattr(claims, "record", record)


def the_next_step_is_scheduled_twice(patch: pytest.MonkeyPatch) -> None:
    real = readiness.Following.enter

    def enter(self: Any, name: str, *, delay: int = 0) -> None:
        real(self, name, delay=delay)
        real(self, name, delay=delay)

    patch.setattr(readiness.Following, "enter", enter)


def closed_attempts_stay_on_the_agenda(patch: pytest.MonkeyPatch) -> None:
    real = rows.changes
    patch.setattr(recorder, "changes", lambda *args: structs.replace(real(*args), remove=()))


def takeovers_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    real = fold._claim

    def claim(state: Any, fact: Any) -> None:
        real(state, fact)
        state.runnables[fact.step].lost = 0

    usual: dict[Any, Any] = dict(fold._USUAL)
    patch.setattr(fold, "_USUAL", usual | {AttemptClaimed: claim})


def a_lost_answer_is_taken_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Appender, "_settled", lambda self, group, answer: answer)


def what_conflicted_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runs, "drop", lambda self, run_id: None)


def a_key_may_start_another_payload(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(starting, "_same", lambda asked, state: state)


def a_key_starts_a_new_run_each_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(starting, "_derived_id", lambda asked: RunId(chance.uuid7()))


def there_is_one_attempt_too_many(patch: pytest.MonkeyPatch) -> None:
    real = outcome._policy
    patch.setattr(
        outcome,
        "_policy",
        lambda *args: real(*args).model_copy(update={"max_attempts": real(*args).max_attempts + 1}),
    )


def the_key_of_a_decision_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = control.decide_approval
    patch.setattr(control, "decide_approval", lambda d, s, command: real(d, s, structs.replace(command, key=None)))


def checkpoints_forget_the_fences(patch: pytest.MonkeyPatch) -> None:
    def encode(state: Any) -> bytes:
        copy = decode_state(encode_state(state))
        assert copy is not None
        for runnable in copy.runnables.values():
            runnable.fence = 0
        return encode_state(copy)

    patch.setattr(recorder, "encode_state", encode)


def a_worker_goes_on_out_of_turn(patch: pytest.MonkeyPatch) -> None:
    real = continuation.claim_next

    def claim_next(definition: Any, state: Any, ended: Any, facts: Any, wish: Any, now: int) -> Any:
        for fact in facts:
            if hasattr(fact, "priority"):
                ended = structs.replace(ended, priority=fact.priority)
        return real(definition, state, ended, facts, wish, now)

    patch.setattr(outcome, "claim_next", claim_next)


def a_release_makes_visible_at_once(patch: pytest.MonkeyPatch) -> None:
    real = claims.release

    def release(definition: Any, state: Any, command: Any) -> Any:
        facts = real(definition, state, command)
        return [structs.replace(f, visible_at=f.at) if hasattr(f, "reason") else f for f in facts]

    patch.setattr(claims, "release", release)


BUGS: list[Plant] = [
    any_claim_is_current,
    only_the_attempt_is_looked_at,
    claims_may_come_early,
    the_next_step_is_scheduled_twice,
    closed_attempts_stay_on_the_agenda,
    takeovers_are_not_counted,
    a_lost_answer_is_taken_for_a_failure,
    what_conflicted_is_kept,
    a_key_may_start_another_payload,
    a_key_starts_a_new_run_each_time,
    there_is_one_attempt_too_many,
    the_key_of_a_decision_is_forgotten,
    checkpoints_forget_the_fences,
    a_release_makes_visible_at_once,
    a_worker_goes_on_out_of_turn,
]


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_the_machine_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, IllegalFact, SquidMeshError)):
        run_state_machine_as_test(OnMemory, settings=ENOUGH)


def test_the_machine_is_green_without_a_bug() -> None:
    run_state_machine_as_test(OnMemory, settings=settings(ENOUGH, max_examples=20))
