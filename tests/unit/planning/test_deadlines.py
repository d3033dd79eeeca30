"""Time-outs of steps, gates and runs: facts of their own, once, and late or early firings change nothing (I4, I17)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh import RetryPolicy, define, exponential
from squidmesh.errors import StaleClaim
from squidmesh.journal.facts import (
    AttemptClaimed,
    AttemptScheduled,
    AttemptTimedOut,
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
    home = step(walk, timeout=10)
    flow = (pack >> council >> eagles >> last, council.on_timeout(home), eagles.on_timeout(complete))


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
    assert run.pass_step_deadline("home") == [], "it was not reached"
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


def test_a_claim_that_goes_on_with_the_next_step_has_its_deadline() -> None:
    run = Errander(TIMED)
    run.do("pack")
    run.later(3600)
    run.pass_gate_deadline("council")
    assert run.state.open_steps == ["home"]
    run.claim("home")
    assert run.timers[f"{RUN}/home!timeout"].due_at == 3610 * SECOND
