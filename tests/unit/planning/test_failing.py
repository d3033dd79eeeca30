"""A failure that nothing catches, beside siblings: what is closed at once, what may still end, and how the run ends."""

from __future__ import annotations

import pytest

from squidmesh import RetryPolicy, define, fixed
from squidmesh.errors import ClaimRefused, NotAllowed, NotWaiting, StaleClaim
from squidmesh.journal.facts import (
    AttemptCancelled,
    AttemptFailed,
    CompensationStarted,
    GateClosed,
    RunFailed,
    RunFailing,
)
from squidmesh.workflow.authoring import Workflow, approval, event, manual, pause, step
from tests.unit.planning.errand import SECOND, Empty, Errander, kinds, walk


def unpack() -> None: ...


class Battle(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk, output="pack", compensate=unpack)
    march = step(walk, output="march", compensate=unpack)
    rally = step(walk, output="rally", compensate=unpack, retry=RetryPolicy(max_attempts=3, backoff=fixed(5)))
    storm = step(walk, output="storm")
    council = approval()
    rest = pause()
    eagles = event("eagle", 60)
    declare = step(walk, after=[pack, march, rally, storm, council, rest, eagles])


BATTLE = define(Battle)
FAILED = {"code": "step_failed", "step": "storm", "message": "storm failed on attempt 1: step_raised"}


def battle(*claimed: str) -> Errander:
    """``storm`` has failed for good while these were claimed."""
    run = Errander(BATTLE)
    for name in claimed:
        run.claim(name)
    run.give_up("storm")
    assert run.state.phase == ("failing" if claimed else "failed")
    return run


def test_what_nobody_has_claimed_is_closed_by_the_same_entry() -> None:
    run = Errander(BATTLE)
    run.claim("march")
    run.claim("storm")
    assert run.fail("storm") == [
        run.history[-1][0],
        AttemptCancelled(at=0, step="pack", attempt=1),
        AttemptCancelled(at=0, step="rally", attempt=1),
        GateClosed(at=0, step="council"),
        GateClosed(at=0, step="rest"),
        GateClosed(at=0, step="eagles"),
        RunFailing(at=0, **FAILED),
    ]
    assert isinstance(run.history[-1][0], AttemptFailed)
    assert (run.state.open_steps, run.state.open_gates) == (["march"], [])
    assert list(run.agenda) and run.timers == {}


def test_a_retry_that_is_scheduled_is_closed_as_well() -> None:
    run = Errander(BATTLE)
    run.claim("rally")
    run.fail("rally")
    run.give_up("storm")
    assert run.state.phase == "failed"
    assert run.state.runnables["rally"].status == "cancelled"


def test_a_dead_letter_beside_it_is_closed_as_well() -> None:
    run = Errander(BATTLE)
    run.bury("march")
    run.give_up("storm")
    assert (run.state.phase, run.state.dead_steps, run.buried) == ("failed", [], {})
    with pytest.raises(NotWaiting):
        run.replay_dead("march")


def test_without_a_claimed_sibling_and_without_compensations_the_run_has_failed_at_once() -> None:
    assert battle().history[-1][-1] == RunFailed(at=0, **FAILED)


def test_nothing_new_begins_while_a_run_fails() -> None:
    run = battle("march")
    facts = run.complete("march", then=run.wish("declare"))
    assert kinds(facts) == ["AttemptCompleted", "CompensationStarted", "AttemptScheduled"]
    assert run.state.open_steps == ["march!undo"]


def test_a_sibling_that_completes_while_the_run_fails_is_compensated_too() -> None:
    """It was done: its effect is there."""
    run = Errander(BATTLE)
    run.do("pack")
    run.claim("march")
    run.claim("rally")
    run.give_up("storm")
    assert kinds(run.complete("rally")) == ["AttemptCompleted"], "march is still claimed"
    facts = run.complete("march")
    assert kinds(facts) == ["AttemptCompleted", "CompensationStarted", "AttemptScheduled"]
    assert facts[1] == CompensationStarted(at=0, steps=["march", "rally", "pack"])


def test_a_sibling_that_fails_while_the_run_fails_is_not_retried_and_not_compensated() -> None:
    run = battle("rally")
    (failed, end) = run.fail("rally")
    assert isinstance(failed, AttemptFailed)
    assert failed.final
    assert end == RunFailed(at=0, **FAILED), "the first failure is the run's"


def test_a_sibling_that_is_given_back_while_the_run_fails_is_closed() -> None:
    for reason in ("drain", "snooze", "unstarted"):
        run = battle("march")
        assert kinds(run.release("march", reason)) == ["ClaimReleased", "AttemptCancelled", "RunFailed"]


def test_of_two_siblings_that_are_given_back_the_last_ends_the_run() -> None:
    run = battle("march", "rally")
    assert kinds(run.release("march")) == ["ClaimReleased", "AttemptCancelled"]
    assert kinds(run.release("rally")) == ["ClaimReleased", "AttemptCancelled", "RunFailed"]


def test_a_sibling_whose_delivery_is_lost_is_delivered_once_more_to_find_out() -> None:
    run = battle("march")
    assert kinds(run.lose("march")) == ["DeliveryLost"]
    assert run.state.phase == "failing"
    with pytest.raises(ClaimRefused, match="not visible yet"):
        run.claim("march")
    run.later(1)
    assert kinds(run.claim("march")) == ["AttemptClaimed"]
    assert kinds(run.complete("march"))[-2:] == ["CompensationStarted", "AttemptScheduled"]


def test_a_sibling_whose_lease_lapses_is_taken_over_to_find_out() -> None:
    run = battle("march")
    assert kinds(run.claim("march")) == ["AttemptClaimed"]
    with pytest.raises(StaleClaim):
        run.complete("march", fence=1)
    assert kinds(run.complete("march"))[-1] == "AttemptScheduled"


def test_a_sibling_that_is_lost_too_often_while_the_run_fails_is_closed_and_no_dead_letter() -> None:
    run = battle("march")
    for _ in range(4):
        assert kinds(run.claim("march")) == ["AttemptClaimed"]
    assert kinds(run.claim("march")) == ["AttemptCancelled", "RunFailed"]
    assert run.state.dead_steps == []


def test_a_run_that_fails_can_not_be_cancelled_and_says_why() -> None:
    run = battle("march")
    with pytest.raises(NotAllowed, match=r"is failing: storm failed \(step_failed\)") as refused:
        run.cancel()
    assert refused.value.http_status == 409
    assert run.state.phase == "failing"


def test_a_run_that_fails_hears_no_person_and_no_event() -> None:
    run = battle("march")
    for word in (run.decide, run.resume, run.retry_undo, run.waive_undo):
        with pytest.raises(NotWaiting):
            word()
    with pytest.raises(NotAllowed):
        run.send("eagle")


def test_a_rejection_beside_claimed_siblings_waits_for_them() -> None:
    run = Errander(BATTLE)
    run.claim("march")
    assert kinds(run.decide("rejected"))[-1] == "RunFailing"
    assert run.state.failure_code == "rejected"
    assert kinds(run.complete("march"))[1] == "CompensationStarted"


def test_a_gate_that_is_out_of_time_beside_claimed_siblings_waits_for_them() -> None:
    run = Errander(BATTLE)
    run.claim("march")
    run.later(60)
    assert kinds(run.pass_gate_deadline("eagles"))[-1] == "RunFailing"
    assert run.state.failure_code == "timed_out"


def test_a_dead_letter_leaves_its_siblings_alone() -> None:
    run = Errander(BATTLE)
    run.bury("storm")
    assert kinds(run.do("march")) == ["AttemptCompleted"]
    assert run.state.status(run.now) == "running"  # type: ignore[arg-type]


def test_a_discarded_dead_letter_fails_the_run_beside_its_siblings() -> None:
    run = Errander(BATTLE)
    run.do("pack")
    run.claim("march")
    run.bury("storm")
    facts = run.discard_dead("storm")
    assert kinds(facts) == ["DeadLetterDiscarded", "AttemptCancelled", *["GateClosed"] * 3, "RunFailing"]
    assert run.state.failure_step == "storm"
    assert run.buried == {}
    assert kinds(run.release("march"))[-2:] == ["CompensationStarted", "AttemptScheduled"]


def test_a_replayed_dead_letter_still_joins() -> None:
    run = Errander(BATTLE)
    run.bury("storm")
    for name in ("pack", "march", "rally"):
        run.do(name)
    run.decide()
    run.resume()
    run.send("eagle")
    assert "declare" not in run.begun()
    run.replay_dead("storm")
    run.claim("storm", generation=1)
    run.complete("storm")
    assert run.state.open_steps == ["declare"]


def test_the_time_of_the_end_is_that_of_the_last_sibling() -> None:
    run = battle("march")
    assert run.state.ended_at is None
    run.later(9)
    run.release("march")
    assert run.state.ended_at == 9 * SECOND
