"""What a result leads to: the next step, another attempt, the error route, or the end. Always in one entry."""

from datetime import timedelta

import pytest

from squidmesh.journal.facts import (
    AttemptCompleted,
    AttemptFailed,
    AttemptScheduled,
    RouteTaken,
    RunCompleted,
    RunFailed,
)
from tests.unit.planning.errand import ERROR, SECOND, Errander, at, kinds

# ------------------------------------------------------------------------------------------------------ completion


def test_a_completion_its_route_and_what_is_next_are_one_entry() -> None:
    run = at("pack")
    run.claim("pack")
    run.now = 4
    assert run.complete("pack", {"pack": 1}) == [
        AttemptCompleted(at=4, step="pack", attempt=1, fence=1, output={"pack": 1}),
        RouteTaken(at=4, source="pack", on="ok", target="rest", edge="pack:ok:rest"),
        AttemptScheduled(
            at=4, step="rest", attempt=1, queue="default", priority=5, visible_at=4 + 10 * SECOND, cause="wait"
        ),
    ]


def test_a_step_without_its_own_queue_and_priority_has_those_of_the_run() -> None:
    run = at("moria", queue="quick", priority=3)
    runnable = run.state.runnables["moria"]
    assert (runnable.queue, runnable.priority, runnable.cause) == ("quick", 3, "route")
    assert run.state.runnables["pack"].queue == "slow"


def test_a_step_that_leads_nowhere_completes_the_run() -> None:
    run = at("mend")
    run.claim("mend")
    assert kinds(run.complete("mend")) == ["AttemptCompleted", "RunCompleted"]
    assert run.state.phase == "completed"


def test_a_route_to_complete_is_taken_and_completes_the_run() -> None:
    run = at("lorien")
    run.claim("lorien")
    _, routed, end = run.complete("lorien")
    assert routed == RouteTaken(at=run.now, source="lorien", on="ok", target="complete", edge="lorien:ok:complete")
    assert end == RunCompleted(at=run.now)


# ---------------------------------------------------------------------------------------------------------- routes


def decided_at_moria(road: str, miles: int) -> list[str]:
    """The targets of the routes taken after moria, or the code of the failure."""
    run = at("moria", payload={"miles": miles})
    run.claim("moria")
    facts = run.complete("moria", {"moria": {"road": road}})
    return [
        *(fact.target for fact in facts if isinstance(fact, RouteTaken)),
        *(fact.code for fact in facts if isinstance(fact, RunFailed)),
    ]


def test_a_condition_may_look_at_the_output_that_has_just_come() -> None:
    assert decided_at_moria("bridge", 7) == ["lorien"]


def test_a_condition_may_look_at_the_payload() -> None:
    assert decided_at_moria("gap", 101) == ["rohan"]


def test_of_the_routes_that_hold_the_first_declared_is_taken() -> None:
    assert decided_at_moria("bridge", 101) == ["lorien"]


def test_where_no_condition_holds_the_run_fails_and_says_so() -> None:
    assert decided_at_moria("nowhere", 7) == ["no_matching_transition"]


def test_the_failure_of_a_run_without_a_route_names_its_step() -> None:
    run = at("moria")
    run.claim("moria")
    *_, end = run.complete("moria", {"moria": {"road": "nowhere"}})
    assert isinstance(end, RunFailed)
    assert (end.step, run.state.phase) == ("moria", "failed")
    assert "2 conditional routes" in end.message


def test_each_conditional_route_has_an_edge_of_its_own() -> None:
    run = at("lorien")
    edges = [route.edge for route in run.state.routes]
    assert edges[-1] == "moria:ok:lorien:condition:0"
    assert at("rohan", road="gap", payload={"miles": 101}).state.routes[-1].edge == "moria:ok:rohan:condition:1"


# --------------------------------------------------------------------------------------------------------- failure


def failed_times(times: int, **how: object) -> Errander:
    """``pack`` after that many failures, each attempt claimed when it became visible."""
    run = at("pack")
    for attempt in range(1, times + 1):
        run.now = max(run.now, run.state.runnables["pack"].visible_at)
        run.claim("pack", attempt)
        run.fail("pack", **how)  # type: ignore[arg-type]
    return run


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4)])
def test_a_retry_comes_after_the_delay_of_its_policy(failures: int, seconds: int) -> None:
    run = failed_times(failures)
    runnable = run.state.runnables["pack"]
    assert (runnable.attempt, runnable.cause, runnable.status) == (failures + 1, "retry", "scheduled")
    assert runnable.visible_at - run.now == seconds * SECOND
    assert (runnable.queue, runnable.priority) == ("slow", 1), "as its first attempt had"


@pytest.mark.parametrize(("jitter", "micros"), [(0.0, 2_000_000), (0.5, 1_500_000), (0.999, 1_001_000)])
def test_jitter_takes_up_to_its_share_off_the_delay(jitter: float, micros: int) -> None:
    run = failed_times(1, jitter=jitter)
    assert run.state.runnables["pack"].visible_at - run.now == micros


@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=90)])
def test_a_step_may_choose_the_delay_itself_once(after: timedelta) -> None:
    run = failed_times(1, retry_after=after)
    assert run.state.runnables["pack"].visible_at == run.now + after // timedelta(microseconds=1)
    run.now = run.state.runnables["pack"].visible_at
    run.claim("pack", 2)
    run.fail("pack")
    assert run.state.runnables["pack"].visible_at == run.now + 4 * SECOND, "the policy's again"


def test_a_failure_that_is_retried_is_not_final() -> None:
    run = at("pack")
    run.claim("pack")
    failed, again = run.fail("pack")
    assert failed == AttemptFailed(at=0, step="pack", attempt=1, fence=1, error=ERROR, final=False)
    assert isinstance(again, AttemptScheduled)


def test_there_are_never_more_attempts_than_the_policy_allows() -> None:
    run = failed_times(3)
    assert (run.state.runnables["pack"].attempt, run.state.phase) == (3, "failed")


def test_choosing_the_delay_gives_no_further_attempt() -> None:
    run = failed_times(3, retry_after=timedelta(0))
    assert (run.state.runnables["pack"].attempt, run.state.phase) == (3, "failed")


def test_without_a_policy_the_first_failure_is_final() -> None:
    run = at("lorien")
    run.claim("lorien")
    failed, end = run.fail("lorien", retry_after=timedelta(seconds=1))
    assert isinstance(failed, AttemptFailed)
    assert failed.final
    assert end == RunFailed(
        at=run.now, code="step_failed", step="lorien", message="lorien failed on attempt 1: step_raised"
    )


def test_what_may_not_be_retried_is_final_at_once() -> None:
    run = at("pack")
    run.claim("pack")
    assert kinds(run.fail("pack", retryable=False)) == ["AttemptFailed", "RunFailed"]


def test_a_final_failure_takes_the_error_route_and_says_what_it_is_for() -> None:
    run = at("moria")
    run.claim("moria")
    failed, routed, next_step = run.fail("moria")
    assert isinstance(failed, AttemptFailed)
    assert failed.final
    assert routed == RouteTaken(
        at=run.now,
        source="moria",
        on="error",
        target="havens",
        edge="moria:error:havens",
        recovery="compensation",
    )
    assert isinstance(next_step, AttemptScheduled)
    assert next_step.step == "havens"


def test_a_run_that_took_an_error_route_can_still_end_well() -> None:
    run = at("moria")
    run.claim("moria")
    run.fail("moria")
    run.claim("havens")
    run.complete("havens")
    assert run.state.phase == "completed"


def test_a_text_of_failure_holds_no_user_data() -> None:
    run = at("lorien")
    run.claim("lorien")
    run.fail("lorien")
    assert ERROR.message not in (run.state.failure_message or "")
