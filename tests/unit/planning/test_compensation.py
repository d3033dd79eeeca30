"""I15: what was completed is undone, once each, the last one first, after no sibling is claimed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh import RetryPolicy, define, fixed
from squidmesh.errors import KeyReused, NotAllowed, NotWaiting
from squidmesh.journal.facts import (
    AttemptFailed,
    AttemptScheduled,
    CommandRepeated,
    CompensationRetried,
    CompensationStarted,
    CompensationWaived,
    RunFailed,
    RunFailing,
)
from squidmesh.workflow.authoring import Workflow, approval, complete, manual, step
from tests.unit.planning.errand import SECOND, Empty, Errander, kinds, walk


def unpack() -> str:
    return ""


class Saga(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk, output="pack", compensate=unpack)
    buy = step(
        walk,
        output="buy",
        queue="slow",
        priority=1,
        compensate=unpack,
        compensate_retry=RetryPolicy(max_attempts=2, backoff=fixed(5)),
    )
    look = step(walk)
    council = approval()
    ship = step(walk, output="ship", compensate=unpack)
    flow = pack >> buy >> look >> council >> ship


SAGA = define(Saga)
FAILED = {"code": "step_failed", "step": "ship", "message": "ship failed on attempt 1: step_raised"}


def at_ship(**given: object) -> Errander:
    run = Errander(SAGA, **given)
    for name in ("pack", "buy", "look"):
        run.do(name)
    run.decide()
    return run


def undoing(**given: object) -> Errander:
    """``ship`` has failed, and ``buy`` is to be undone first."""
    run = at_ship(**given)
    run.give_up("ship")
    assert (run.state.phase, run.state.open_steps) == ("compensating", ["buy!undo"])
    return run


def exhausted() -> Errander:
    run = undoing()
    run.claim("buy!undo")
    run.fail("buy!undo")
    run.later(5)
    run.claim("buy!undo", 2)
    run.fail("buy!undo")
    assert (run.state.phase, run.state.open_steps) == ("compensating", [])
    return run


# ------------------------------------------------------------------------------------------------------- the order


def test_a_failure_and_the_first_compensation_are_one_entry() -> None:
    run = at_ship()
    run.claim("ship")
    failed, failing, started, first = run.fail("ship")
    assert isinstance(failed, AttemptFailed)
    assert failing == RunFailing(at=0, **FAILED)
    assert started == CompensationStarted(at=0, steps=["buy", "pack"])
    assert first == AttemptScheduled(
        at=0, step="buy!undo", attempt=1, queue="slow", priority=1, visible_at=0, cause="undo"
    ), "it goes where the step went"


def test_a_compensation_without_a_queue_of_its_step_goes_where_the_run_goes() -> None:
    run = undoing(queue="quick", priority=3)
    run.do("buy!undo")
    runnable = run.state.runnables["pack!undo"]
    assert (runnable.queue, runnable.priority) == ("quick", 3)


def test_compensations_come_one_after_the_other_and_then_the_run_has_failed() -> None:
    run = undoing()
    assert kinds(run.do("buy!undo", {"result": "sold"})) == ["AttemptCompleted", "AttemptScheduled"]
    assert run.state.open_steps == ["pack!undo"]
    *_, end = run.do("pack!undo")
    assert end == RunFailed(at=0, **FAILED), "as it failed, before all of this"
    assert run.state.undone == {"buy": {"result": "sold"}, "pack": {}}


def test_what_was_not_completed_is_not_undone() -> None:
    run = undoing()
    assert "ship!undo" not in run.state.to_undo
    assert run.state.to_undo == ["buy", "pack"]


def test_of_parallel_steps_the_last_completed_is_undone_first() -> None:
    class Both(Workflow):
        version = "1"
        leave = manual(Empty)
        one = step(walk, output="one", compensate=unpack)
        two = step(walk, output="two", compensate=unpack)
        three = step(walk, after=[one, two])

    for order in (("one", "two"), ("two", "one")):
        run = Errander(define(Both))
        for name in order:
            run.do(name)
        run.give_up("three")
        assert run.state.to_undo == list(reversed(order))


def test_a_step_whose_failure_took_an_error_route_is_not_undone_by_a_later_failure() -> None:
    class Detour(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk, output="pack", compensate=unpack)
        moria = step(walk, output="moria", compensate=unpack)
        home = step(walk)
        flow = (pack >> moria >> complete, moria.on_error(home))

    run = Errander(define(Detour))
    run.do("pack")
    assert kinds(run.give_up("moria")) == ["AttemptFailed", "RouteTaken", "AttemptScheduled"]
    run.give_up("home")
    assert run.state.to_undo == ["pack"]


def test_a_run_that_ends_well_undoes_nothing() -> None:
    run = at_ship()
    run.do("ship")
    assert (run.state.phase, run.told("CompensationStarted")) == ("completed", [])


def test_a_cancelled_run_undoes_nothing() -> None:
    run = at_ship()
    run.cancel()
    assert (run.state.phase, run.told("CompensationStarted")) == ("cancelled", [])


def test_a_worker_may_go_on_with_the_next_compensation() -> None:
    class Twice(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk, output="pack", compensate=unpack)
        buy = step(walk, output="buy", compensate=unpack)
        ship = step(walk)
        flow = pack >> buy >> ship

    run = Errander(define(Twice))
    for name in ("pack", "buy"):
        run.do(name)
    run.give_up("ship")
    run.claim("buy!undo")
    facts = run.complete("buy!undo", then=run.wish("pack!undo"))
    assert kinds(facts) == ["AttemptCompleted", "AttemptScheduled", "AttemptClaimed"]


# ------------------------------------------------------------------------------------------------------ its retries


def test_a_compensation_is_retried_as_its_own_policy_says() -> None:
    run = undoing()
    run.claim("buy!undo")
    _, again = run.fail("buy!undo")
    assert isinstance(again, AttemptScheduled)
    assert (again.attempt, again.cause, again.visible_at) == (2, "retry", 5 * SECOND)


def test_without_a_policy_the_first_failure_of_a_compensation_waits_for_an_operator() -> None:
    run = undoing()
    run.do("buy!undo")
    assert kinds(run.give_up("pack!undo")) == ["AttemptFailed"]
    assert run.state.phase == "compensating"
    assert run.state.standing_at() == "pack"


def test_a_compensation_that_gives_up_waits_for_an_operator_at_once() -> None:
    assert kinds(undoing().give_up("buy!undo")) == ["AttemptFailed"]


def test_a_compensation_may_be_snoozed_and_drained_and_lost() -> None:
    run = undoing()
    for how in (
        lambda: run.release("buy!undo", "snooze"),
        lambda: run.release("buy!undo"),
        lambda: run.lose("buy!undo"),
    ):
        run.later(1)
        run.claim("buy!undo")
        how()
    assert (run.state.phase, run.state.runnables["buy!undo"].attempt) == ("compensating", 1)


# --------------------------------------------------------------------------------------------------- the operator's


def test_a_retried_compensation_has_a_whole_series_of_attempts_again() -> None:
    run = exhausted()
    retried, again = run.retry_undo("buy", comment="once more", key="again")
    assert retried == CompensationRetried(at=run.now, step="buy!undo", actor="elrond", comment="once more", key="again")
    assert isinstance(again, AttemptScheduled)
    assert (again.attempt, again.cause, again.queue, again.priority) == (3, "undo", "slow", 1)
    run.claim("buy!undo", 3)
    assert kinds(run.fail("buy!undo")) == ["AttemptFailed", "AttemptScheduled"]
    run.later(5)
    run.claim("buy!undo", 4)
    assert kinds(run.fail("buy!undo")) == ["AttemptFailed"], "two, as its policy says"
    run.retry_undo()
    run.do("buy!undo")
    assert run.state.open_steps == ["pack!undo"]


def test_a_waived_compensation_is_let_be_and_the_next_follows() -> None:
    run = exhausted()
    waived, following = run.waive_undo("buy", comment="too late")
    assert waived == CompensationWaived(at=run.now, step="buy!undo", actor="elrond", comment="too late")
    assert isinstance(following, AttemptScheduled)
    assert following.step == "pack!undo"
    run.do("pack!undo")
    assert (run.state.phase, list(run.state.undone)) == ("failed", ["pack"])


def test_the_last_compensation_that_is_waived_ends_the_run() -> None:
    run = undoing()
    run.do("buy!undo")
    run.give_up("pack!undo")
    assert kinds(run.waive_undo()) == ["CompensationWaived", "RunFailed"]


@pytest.mark.parametrize("word", ["retry_undo", "waive_undo"])
def test_only_a_compensation_that_has_failed_for_good_waits_for_an_operator(word: str) -> None:
    run = at_ship()
    with pytest.raises(NotWaiting, match="is running"):
        getattr(run, word)()
    run = undoing()
    for claim in (False, True):
        if claim:
            run.claim("buy!undo")
        with pytest.raises(NotWaiting, match="has not failed for good"):
            getattr(run, word)()
    run = exhausted()
    with pytest.raises(NotWaiting, match="buy is next") as refused:
        getattr(run, word)("pack")
    assert refused.value.field == "step"
    run.waive_undo()
    run.do("pack!undo")
    with pytest.raises(NotWaiting, match="is failed"):
        getattr(run, word)()


def test_the_same_key_retries_once() -> None:
    run = exhausted()
    run.retry_undo(key="again")
    assert run.retry_undo(key="again") == [CommandRepeated(at=run.now, key="again")]
    assert run.retry_undo("buy", key="again") == [CommandRepeated(at=run.now, key="again")]
    with pytest.raises(KeyReused, match="buy!undo was retried"):
        run.waive_undo(key="again")
    with pytest.raises(KeyReused):
        run.retry_undo("pack", key="again")
    assert run.state.runnables["buy!undo"].attempt == 3


# --------------------------------------------------------------------------------------- dead letters, cancel, time


def test_a_compensation_that_is_lost_too_often_is_a_dead_letter_like_any() -> None:
    run = undoing()
    run.bury("buy!undo")
    assert (run.state.phase, run.state.dead_steps) == ("compensating", ["buy!undo"])
    with pytest.raises(NotWaiting):
        run.waive_undo()
    run.replay_dead("buy!undo")
    run.claim("buy!undo", generation=1)
    run.complete("buy!undo")
    assert run.state.open_steps == ["pack!undo"]


def test_a_discarded_dead_letter_of_a_compensation_waits_to_be_retried_or_waived() -> None:
    for word in ("retry_undo", "waive_undo"):
        run = undoing()
        run.bury("buy!undo")
        assert kinds(run.discard_dead("buy!undo")) == ["DeadLetterDiscarded"]
        assert run.state.phase == "compensating"
        getattr(run, word)()
        assert run.state.open_steps == [{"retry_undo": "buy!undo", "waive_undo": "pack!undo"}[word]]


def test_a_run_that_compensates_can_not_be_cancelled_and_says_why() -> None:
    run = undoing()
    with pytest.raises(NotAllowed, match=r"is compensating: ship failed \(step_failed\); allowed is"):
        run.cancel()
    assert run.state.open_steps == ["buy!undo"]


def test_a_rejection_undoes_what_was_done() -> None:
    run = Errander(SAGA)
    for name in ("pack", "buy", "look"):
        run.do(name)
    assert kinds(run.decide("rejected")) == [
        "ApprovalDecided",
        "RunFailing",
        "CompensationStarted",
        "AttemptScheduled",
    ]
    run.do("buy!undo")
    *_, end = run.do("pack!undo")
    assert isinstance(end, RunFailed)
    assert (end.code, end.step) == ("rejected", "council")


def test_the_deadline_of_a_run_undoes_what_was_done_and_then_counts_no_more() -> None:
    definition = SAGA.model_copy(update={"timeout": timedelta(seconds=9)})
    run = Errander(definition)
    for name in ("pack", "buy"):
        run.do(name)
    run.claim("look")
    run.later(9)
    assert kinds(run.pass_run_deadline()) == [
        "AttemptCancelled",
        "RunFailing",
        "CompensationStarted",
        "AttemptScheduled",
    ]
    assert run.timers == {}
    run.later(9)
    assert run.pass_run_deadline() == []
    run.do("buy!undo")
    *_, end = run.do("pack!undo")
    assert isinstance(end, RunFailed)
    assert (end.code, end.step) == ("deadline_exceeded", "")
