"""Which grants are recorded, what becomes of the others, and how a claim is given back (protocol 3.5.2, 3.5.3)."""

from datetime import timedelta
from typing import Any

import pytest

from squidmesh.errors import ClaimRefused, RecordedClaim, StaleClaim
from squidmesh.ids import claim_hash
from squidmesh.journal.facts import AttemptClaimed, AttemptCompleted, AttemptFailed, ClaimReleased
from tests.unit.planning.errand import LEASE, SECOND, Errander, at, kinds


def refusal(run: Errander, step: str, attempt: int = 1, **given: Any) -> ClaimRefused:
    """Why the grant may not be recorded; nothing of it is."""
    before = run.state.revision
    with pytest.raises(ClaimRefused) as refused:
        run.claim(step, attempt, **given)
    assert run.state.revision == before
    return refused.value


# ------------------------------------------------------------------------------------------------------- recorded


def test_a_claim_is_recorded_with_all_that_a_takeover_must_know() -> None:
    run = at("pack")
    run.now = 3
    assert run.claim("pack", fence=4) == [
        AttemptClaimed(
            at=3,
            step="pack",
            attempt=1,
            generation=0,
            fence=4,
            owner="sam@1",
            claim_hash=claim_hash("claim 4"),
            lease=60 * SECOND,
        )
    ]


def test_an_attempt_is_claimed_from_its_very_moment_on() -> None:
    run = Errander(delay=timedelta(seconds=5))
    run.now = 5 * SECOND
    assert kinds(run.claim("pack")) == ["AttemptClaimed"]


def test_a_takeover_needs_a_higher_fence_and_nothing_else() -> None:
    run = at("pack")
    run.claim("pack", fence=1)
    assert kinds(run.claim("pack", fence=2)) == ["AttemptClaimed"]
    assert run.state.runnables["pack"].lost == 1


def test_a_higher_generation_is_above_every_fence() -> None:
    run = at("pack")
    run.claim("pack", fence=9)
    assert kinds(run.claim("pack", fence=10, generation=1)) == ["AttemptClaimed"]


def test_a_wait_is_completed_by_the_entry_that_claims_it() -> None:
    run = at("rest")
    run.now += 10 * SECOND
    facts = run.claim("rest")
    assert kinds(facts) == ["AttemptClaimed", "AttemptCompleted", "RouteTaken", "ApprovalRequested"]
    assert facts[1] == AttemptCompleted(at=run.now, step="rest", attempt=1, fence=1, output={})
    assert run.state.open_gates == ["council"]


# -------------------------------------------------------------------------------------------------------- refused


def test_a_claim_on_a_closed_attempt_is_refused_and_its_item_settled() -> None:
    run = at("pack")
    run.claim("pack")
    run.complete("pack")
    assert refusal(run, "pack", fence=7).settle


def test_a_claim_on_an_older_attempt_is_refused_and_its_item_settled() -> None:
    run = at("pack")
    run.claim("pack")
    run.fail("pack")
    assert refusal(run, "pack", 1, fence=7).settle


def test_a_claim_on_an_attempt_that_never_was_is_refused_and_its_item_settled() -> None:
    assert refusal(at("pack"), "moria").settle
    assert refusal(at("pack"), "pack", 2).settle


def test_a_claim_on_an_ended_run_is_refused_and_its_item_settled() -> None:
    run = at("lorien")
    run.claim("lorien")
    run.complete("lorien")
    assert run.state.ended
    assert refusal(run, "lorien", fence=7).settle


@pytest.mark.parametrize("fence", [1, 2])
def test_where_another_claim_is_recorded_the_item_goes_to_that_one(fence: int) -> None:
    run = at("pack")
    run.claim("pack", fence=2)
    refused = refusal(run, "pack", fence=fence)
    assert (refused.settle, refused.floor, refused.delay) == (False, 2, timedelta(0))
    assert refused.current == RecordedClaim(
        owner="sam@1", claim_hash=claim_hash("claim 2"), generation=0, fence=2, lease=LEASE
    )


def test_where_the_fence_is_too_low_and_nobody_holds_the_attempt_the_item_gets_a_floor() -> None:
    run = at("pack")
    run.claim("pack", fence=5)
    run.release("pack")
    refused = refusal(run, "pack", fence=5)
    assert (refused.settle, refused.current, refused.floor) == (False, None, 5)


def test_a_lower_generation_is_refused_whatever_its_fence() -> None:
    run = at("pack")
    run.claim("pack", fence=2, generation=1)
    assert refusal(run, "pack", fence=99, generation=0).current is not None


def test_nothing_is_claimed_before_its_time_and_the_item_comes_back_then() -> None:
    run = at("pack")
    run.claim("pack", fence=3)
    run.release("pack", delay=timedelta(seconds=8))
    run.now += 3 * SECOND
    refused = refusal(run, "pack", fence=4)
    assert (refused.settle, refused.current) == (False, None)
    assert (refused.floor, refused.delay) == (3, timedelta(seconds=5))


def test_a_wait_is_not_over_before_its_time() -> None:
    run = at("rest")
    run.now += 10 * SECOND - 1
    assert refusal(run, "rest").delay == timedelta(microseconds=1)


# ----------------------------------------------------------------------------------------------------- given back


def test_a_release_is_unspent_and_makes_the_attempt_visible_after_its_delay() -> None:
    run = at("pack")
    run.claim("pack")
    run.now = 5
    assert run.release("pack", delay=timedelta(seconds=2)) == [
        ClaimReleased(at=5, step="pack", attempt=1, fence=1, visible_at=5 + 2 * SECOND, reason="drain")
    ]
    runnable = run.state.runnables["pack"]
    assert (runnable.attempt, runnable.lost, runnable.claim) == (1, 0, None)


def test_snoozes_are_bounded_and_the_one_too_many_fails_the_attempt_for_good() -> None:
    run = at("pack")
    for _ in range(2):
        run.claim("pack")
        assert kinds(run.release("pack", "snooze", max_snoozes=2)) == ["ClaimReleased"]
    run.claim("pack")
    failed, *rest = run.release("pack", "snooze", max_snoozes=2)
    assert isinstance(failed, AttemptFailed)
    assert (failed.error.code, failed.final) == ("too_many_snoozes", True)
    assert kinds(rest) == ["RunFailed"]


def test_a_drain_is_no_snooze() -> None:
    run = at("pack")
    for _ in range(3):
        run.claim("pack")
        assert kinds(run.release("pack", "drain", max_snoozes=0)) == ["ClaimReleased"]
    assert run.state.runnables["pack"].snoozes == 0


# ---------------------------------------------------------------------------------------------------------- stale


def speak(run: Errander, verb: str, step: str = "pack", **other: Any) -> object:
    match verb:
        case "complete":
            return run.complete(step, **other)
        case "fail":
            return run.fail(step, **other)
        case _:
            return run.release(step, **other)


VERBS = pytest.mark.parametrize("verb", ["complete", "fail", "release"])


@VERBS
def test_a_superseded_claim_can_not(verb: str) -> None:
    run = at("pack")
    run.claim("pack", fence=1)
    run.claim("pack", fence=2)
    with pytest.raises(StaleClaim):
        speak(run, verb, fence=1)
    assert run.state.runnables["pack"].fence == 2
    assert speak(run, verb, fence=2)


@VERBS
def test_the_right_fence_under_another_claim_id_can_not(verb: str) -> None:
    run = at("pack")
    run.claim("pack", fence=1)
    with pytest.raises(StaleClaim):
        speak(run, verb, claim_hash=claim_hash("another"))


@VERBS
def test_the_right_claim_id_under_another_fence_can_not(verb: str) -> None:
    run = at("pack")
    run.claim("pack", fence=1)
    with pytest.raises(StaleClaim):
        speak(run, verb, fence=2, claim_hash=claim_hash("claim 1"))


@VERBS
def test_a_released_claim_can_not(verb: str) -> None:
    run = at("pack")
    run.claim("pack")
    run.release("pack")
    with pytest.raises(StaleClaim):
        speak(run, verb)


@VERBS
@pytest.mark.parametrize("end", ["complete", "fail"])
def test_a_claim_whose_attempt_has_ended_can_not(verb: str, end: str) -> None:
    run = at("pack")
    run.claim("pack")
    speak(run, end)
    with pytest.raises(StaleClaim):
        speak(run, verb, attempt=1)


@VERBS
def test_a_claim_on_a_step_that_was_never_reached_can_not(verb: str) -> None:
    run = at("pack")
    with pytest.raises(StaleClaim):
        speak(run, verb, "moria", attempt=1, fence=1)


def test_a_lease_that_has_ended_does_not_make_a_claim_stale() -> None:
    run = at("pack")
    run.claim("pack")
    run.now += 1000 * SECOND
    assert kinds(run.complete("pack")) == ["AttemptCompleted", "RouteTaken", "AttemptScheduled"]
