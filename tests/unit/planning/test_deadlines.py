"""Time-outs of steps, gates and runs: facts of their own, once, and late or early firings change nothing (I4, I17)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh import RetryPolicy, define, exponential
from squidmesh.errors import NotWaiting, StaleClaim
from squidmesh.journal.facts import (
    AttemptClaimed,
    AttemptScheduled,
    AttemptTimedOut,
    GateTimedOut,
    RouteTaken,
    RunFailed,
)
from squidmesh.journal.rows import TimerRow
from squidmesh.workflow.authoring import Workflow, approval, complete, event, manual, step
from tests.unit.planning.errand import RUN, SECOND, Empty, Errander, kinds, walk


class Timed(Workflow):
    version = "1"
    leave = manual(Empty)
    pack = step(walk, output="pack", timeout=30, retry=RetryPolicy(max_attempts=2, backoff=exponential(min=4, max=9)))
    council = approval(output="council", timeout=timedelta(hours=1))
    eagles = event("eagle", 60, output="eagles")
    last = approval(timeout=5)
    road = step(walk, timeout=10)
    flow = (pack >> council >> eagles >> last, council.on_timeout(road), eagles.on_timeout(complete))


TIMED = define(Timed)


def at_last() -> Errander:
    run = Errander(TIMED)
    run.do("pack")
    run.decide()
    run.send("eagle")
    assert run.state.open_gates == ["last"]
    return run


# ----------------------------------------------------------------------------------------------------------- steps


def test_a_claim_has_the_deadline_of_its_step_from_its_own_moment_on() -> None:
    run = Errander(TIMED)
    run.later(7)
    (claimed,) = run.claim("pack")
    assert isinstance(claimed, AttemptClaimed)
    assert claimed.deadline == 37 * SECOND
    name = f"{RUN}/pack!timeout"
    assert run.timers[name] == TimerRow(
        timer=name,
        run_id=RUN,  # type: ignore[arg-type]
        kind="step",
        due_at=37 * SECOND,
        subject="pack",
    )


def test_a_claim_after_another_has_a_deadline_of_its_own() -> None:
    run = Errander(TIMED)
    run.claim("pack")
    run.later(20)
    run.claim("pack")
    run.later(10)
    assert run.pass_step_deadline("pack") == [], "that of the claim before"
    run.later(20)
    assert kinds(run.pass_step_deadline("pack")) == ["AttemptTimedOut", "AttemptScheduled"]


def test_an_attempt_that_is_out_of_time_is_retried_as_its_policy_says() -> None:
    run = Errander(TIMED)
    run.claim("pack")
    run.later(30)
    passed, again = run.pass_step_deadline("pack")
    assert isinstance(passed, AttemptTimedOut)
    assert (passed.attempt, passed.fence, passed.final, passed.error.code) == (1, 1, False, "timed_out")
    assert "30 s" in passed.error.message
    assert isinstance(again, AttemptScheduled)
    assert (again.attempt, again.cause, again.visible_at) == (2, "retry", 34 * SECOND)
    assert run.timers == {}


def test_the_last_attempt_that_is_out_of_time_fails_the_run() -> None:
    run = Errander(TIMED)
    run.claim("pack")
    run.later(30)
    run.pass_step_deadline("pack")
    run.later(4)
    run.claim("pack", 2)
    run.later(30)
    passed, end = run.pass_step_deadline("pack")
    assert isinstance(passed, AttemptTimedOut)
    assert passed.final
    assert isinstance(end, RunFailed)
    assert (end.code, end.step) == ("step_failed", "pack")


def test_a_deadline_that_has_not_come_or_is_of_nothing_changes_nothing() -> None:
    run = Errander(TIMED)
    assert run.pass_step_deadline("pack") == [], "nobody has claimed it"
    assert run.pass_step_deadline("road") == [], "it was not reached"
    run.claim("pack")
    run.later(29.999_999)
    assert run.pass_step_deadline("pack") == []
    run.release("pack")
    run.later(60)
    assert run.pass_step_deadline("pack") == [], "given back in time"


def test_a_deadline_passes_once() -> None:
    run = Errander(TIMED)
    run.claim("pack")
    run.later(30)
    run.pass_step_deadline("pack")
    assert run.pass_step_deadline("pack") == []


def test_whoever_was_out_of_time_can_write_nothing_any_more() -> None:
    """I4: its claim ended with the deadline."""
    run = Errander(TIMED)
    run.claim("pack")
    run.later(30)
    run.pass_step_deadline("pack")
    with pytest.raises(StaleClaim):
        run.complete("pack", fence=1, attempt=1)


@pytest.mark.parametrize("how", ["complete", "fail", "release", "lose", "cancel"])
def test_whatever_ends_a_claim_drops_its_timer(how: str) -> None:
    run = Errander(TIMED)
    run.claim("pack")
    assert len(run.timers) == 1
    run.cancel() if how == "cancel" else getattr(run, how)("pack")
    assert f"{RUN}/pack!timeout" not in run.timers


def test_a_claim_that_goes_on_with_the_next_step_has_a_deadline_too() -> None:
    class Two(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk, timeout=30)
        march = step(walk, timeout=10)
        flow = pack >> march

    run = Errander(define(Two))
    run.claim("pack")
    run.later(7)
    *_, claimed = run.complete("pack", then=run.wish("march"))
    assert isinstance(claimed, AttemptClaimed)
    assert (claimed.step, claimed.deadline) == ("march", 17 * SECOND)
    assert [(row.timer, row.due_at) for row in run.timers.values()] == [(f"{RUN}/march!timeout", 17 * SECOND)]


# ----------------------------------------------------------------------------------------------------------- gates


def test_a_gate_has_a_deadline_from_the_moment_at_which_it_is_reached() -> None:
    run = Errander(TIMED)
    run.later(3)
    run.do("pack")
    assert run.state.gates["council"].deadline == 3603 * SECOND
    name = f"{RUN}/council!deadline"
    assert run.timers == {
        name: TimerRow(
            timer=name,
            run_id=RUN,  # type: ignore[arg-type]
            kind="gate",
            due_at=3603 * SECOND,
            subject="council",
        )
    }


def test_an_approval_that_nobody_gives_in_time_takes_its_own_route() -> None:
    run = Errander(TIMED)
    run.do("pack")
    run.later(3600)
    passed, routed, following = run.pass_gate_deadline("council")
    assert passed == GateTimedOut(at=run.now, step="council")
    assert isinstance(routed, RouteTaken)
    assert (routed.on, routed.target, routed.edge) == ("timeout", "road", "council:timeout:road")
    assert isinstance(following, AttemptScheduled)
    assert run.state.gates["council"].status == "timed_out"
    assert "council" not in run.state.completed
    assert "council" not in run.state.context()


def test_an_event_that_does_not_come_in_time_may_complete_the_run() -> None:
    run = Errander(TIMED)
    run.do("pack")
    run.decide()
    run.later(60)
    assert kinds(run.pass_gate_deadline("eagles")) == ["GateTimedOut", "RouteTaken", "RunCompleted"]


def test_a_gate_that_nobody_answers_in_time_and_no_route_leads_on_from_fails_the_run() -> None:
    run = at_last()
    run.later(5)
    passed, end = run.pass_gate_deadline("last")
    assert isinstance(passed, GateTimedOut)
    assert end == RunFailed(at=run.now, code="timed_out", step="last", message="last was not answered in time")


def test_a_gate_may_be_answered_after_its_deadline_until_that_has_passed_as_a_fact() -> None:
    """A timer that fires late finds the gate closed: whichever fact comes first counts (I17)."""
    run = at_last()
    run.later(50)
    assert kinds(run.decide()) == ["ApprovalDecided", "RunCompleted"]
    assert run.pass_gate_deadline("last") == []


def test_who_answers_too_late_is_told_so() -> None:
    run = Errander(TIMED)
    run.do("pack")
    run.later(3600)
    run.pass_gate_deadline("council")
    with pytest.raises(NotWaiting, match="its time had passed"):
        run.decide(step="council")


def test_the_deadline_of_a_gate_passes_once_and_not_early() -> None:
    run = Errander(TIMED)
    assert run.pass_gate_deadline("council") == [], "it was not reached"
    run.do("pack")
    run.later(3599.9)
    assert run.pass_gate_deadline("council") == []
    run.later(0.1)
    assert run.pass_gate_deadline("council") != []
    assert run.pass_gate_deadline("council") == []


@pytest.mark.parametrize("how", ["approved", "rejected", "cancel"])
def test_whatever_closes_a_gate_drops_its_timer(how: str) -> None:
    run = at_last()
    assert len(run.timers) == 1
    run.cancel() if how == "cancel" else run.decide(how)
    assert run.timers == {}


def test_an_event_that_was_kept_leaves_no_timer() -> None:
    run = Errander(TIMED)
    run.send("eagle")
    run.do("pack")
    run.decide()
    assert run.told("EventTaken") == [("EventTaken", "eagles")]
    assert list(run.timers) == [f"{RUN}/last!deadline"]


# ------------------------------------------------------------------------------------------------------------ runs


def unpack() -> None: ...


class Short(Workflow):
    version = "1"
    timeout = 100
    leave = manual(Empty)
    pack = step(walk, output="pack")
    march = step(walk, output="march")
    council = approval()
    home = step(walk, after=[pack, march, council])


SHORT = define(Short)
LATE = {"code": "deadline_exceeded", "step": "", "message": "the run had not ended at its deadline"}


def test_a_run_has_a_deadline_from_its_start_on_and_a_delay_is_added() -> None:
    assert Errander(SHORT).state.deadline == 100 * SECOND
    run = Errander(SHORT, delay=timedelta(seconds=7))
    assert run.state.deadline == 107 * SECOND
    name = f"{RUN}!deadline"
    assert run.timers == {
        name: TimerRow(timer=name, run_id=RUN, kind="run", due_at=107 * SECOND)  # type: ignore[arg-type]
    }


def test_a_run_that_is_out_of_time_fails_and_waits_for_nobody() -> None:
    run = Errander(SHORT)
    run.claim("pack")
    run.later(100)
    assert kinds(run.pass_run_deadline()) == ["AttemptCancelled", "AttemptCancelled", "GateClosed", "RunFailed"]
    assert run.history[-1][-1] == RunFailed(at=run.now, **LATE)
    assert run.timers == {}
    with pytest.raises(StaleClaim):
        run.complete("pack")


def test_a_run_that_is_out_of_time_leaves_no_dead_letter() -> None:
    run = Errander(SHORT)
    run.bury("pack")
    run.later(100)
    run.pass_run_deadline()
    assert (run.state.phase, run.buried) == ("failed", {})


def test_a_deadline_that_comes_while_the_run_fails_ends_the_wait_for_its_siblings() -> None:
    run = Errander(SHORT)
    run.claim("march")
    run.give_up("pack")
    assert run.state.phase == "failing"
    assert list(run.timers) == [f"{RUN}!deadline"]
    run.later(100)
    cancelled, end = run.pass_run_deadline()
    assert kinds([cancelled]) == ["AttemptCancelled"]
    assert isinstance(end, RunFailed)
    assert (end.code, end.step) == ("step_failed", "pack"), "as it failed, before"
    assert run.timers == {}


def test_a_deadline_that_comes_while_the_run_fails_goes_on_to_compensate() -> None:
    class Saga(Workflow):
        version = "1"
        timeout = 100
        leave = manual(Empty)
        pack = step(walk, output="pack", compensate=unpack)
        march = step(walk, output="march", compensate=unpack)
        storm = step(walk)
        home = step(walk, after=[pack, march, storm])

    run = Errander(define(Saga))
    run.do("pack")
    run.claim("march")
    run.give_up("storm")
    run.later(100)
    assert kinds(run.pass_run_deadline()) == ["AttemptCancelled", "CompensationStarted", "AttemptScheduled"]
    assert run.state.to_undo == ["pack"], "whether march was done is not known, and it is not undone"
    assert run.timers == {}


def test_the_deadline_of_a_run_is_of_no_run_that_has_ended_and_does_not_come_early() -> None:
    run = Errander(SHORT)
    run.later(99.9)
    assert run.pass_run_deadline() == []
    run.cancel()
    assert run.timers == {}
    run.later(1)
    assert run.pass_run_deadline() == []
    assert Errander(TIMED).pass_run_deadline() == [], "it has none"


def test_a_run_that_completes_drops_its_timer() -> None:
    run = Errander(SHORT)
    for name in ("pack", "march"):
        run.do(name)
    run.decide()
    run.do("home")
    assert (run.state.phase, run.timers) == ("completed", {})


def test_the_deadline_of_a_step_passes_while_the_run_fails_and_is_not_retried() -> None:
    class Both(Workflow):
        version = "1"
        leave = manual(Empty)
        pack = step(walk, timeout=30, retry=RetryPolicy(max_attempts=3))
        storm = step(walk)
        home = step(walk, after=[pack, storm])

    run = Errander(define(Both))
    run.claim("pack")
    run.give_up("storm")
    assert run.state.phase == "failing"
    run.later(30)
    passed, end = run.pass_step_deadline("pack")
    assert isinstance(passed, AttemptTimedOut)
    assert passed.final
    assert isinstance(end, RunFailed)
    assert end.step == "storm"
