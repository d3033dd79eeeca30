"""A cancel is immediate: whatever is open closes with it, whoever holds it; and it comes once (I4, I9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from squidmesh import define
from squidmesh.errors import ClaimRefused, KeyReused, NotAllowed, StaleClaim
from squidmesh.journal.facts import RunCancelled
from squidmesh.workflow.authoring import Workflow, approval, event, manual, pause, step, wait, wait_for_children
from tests.unit.planning.errand import Empty, Errander, at, kinds, walk


class Everything(Workflow):
    version = "1"
    timeout = 1000
    leave = manual(Empty)
    pack = step(walk, timeout=30)
    rest = wait(5)
    dead = step(walk)
    child = step(walk)
    council = approval(timeout=60)
    sleep = pause()
    eagles = event("eagle", 60)
    children = wait_for_children(after=[child])
    home = step(walk, after=[pack, rest, dead, council, sleep, eagles, children])


def test_whatever_is_open_closes_with_the_cancel() -> None:
    run = Errander(define(Everything))
    run.claim("child")
    run.start_child("child")
    run.complete("child")
    run.bury("dead")
    run.claim("pack")
    facts = run.cancel(comment="too late", metadata={"seat": 3}, key="stop")
    assert kinds(facts) == [*["AttemptCancelled"] * 3, *["GateClosed"] * 4, "RunCancelled"]
    assert facts[-1] == RunCancelled(
        at=0, actor="elrond", comment="too late", metadata={"seat": 3}, children="cancel", key="stop"
    )
    state = run.state
    assert (state.open_steps, state.open_gates, state.dead_steps, state.claimed) == ([], [], [], 0)
    assert (run.agenda, run.buried, run.timers) == ({}, {}, {})
    assert (state.phase, state.ended_at) == ("cancelled", 0)


@pytest.mark.parametrize("step", ["pack", "rest", "council", "moria", "mend"])
@pytest.mark.parametrize("before", [None, "claim", "retry", "bury"])
def test_an_open_run_can_be_cancelled_wherever_it_stands(step: str, before: str | None) -> None:
    run = at(step)
    if before is not None and step in ("council", "rest"):
        return
    if before == "bury":
        run.bury(step)
    elif before is not None:
        run.claim(step)
        if before == "retry" and step == "pack":
            run.fail(step)
    assert kinds(run.cancel())[-1] == "RunCancelled"


RESULTS: dict[str, Callable[[Errander], object]] = {
    "complete": lambda run: run.complete("pack"),
    "fail": lambda run: run.fail("pack"),
    "release": lambda run: run.release("pack"),
    "lose": lambda run: run.lose("pack"),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_whoever_held_a_claim_can_write_nothing_any_more(result: Callable[[Errander], object]) -> None:
    run = at("pack")
    run.claim("pack")
    run.cancel()
    with pytest.raises(StaleClaim):
        result(run)


def test_a_claim_on_what_was_cancelled_is_refused_and_its_item_settled() -> None:
    run = at("pack")
    run.cancel()
    with pytest.raises(ClaimRefused) as refused:
        run.claim("pack")
    assert refused.value.settle


def test_a_run_that_has_ended_is_not_cancelled_and_says_how_it_ended() -> None:
    run = at("lorien")
    run.do("lorien")
    with pytest.raises(NotAllowed, match="has ended; it is completed"):
        run.cancel()
    other = at("pack")
    other.cancel()
    with pytest.raises(NotAllowed, match="it is cancelled"):
        other.cancel()


def test_a_cancel_of_the_same_key_is_the_same_cancel() -> None:
    """I9: the run has ended, so it is not even counted."""
    run = at("pack")
    run.cancel(key="stop")
    assert run.cancel(key="stop") == []
    with pytest.raises(NotAllowed):
        run.cancel(key="another")


def test_the_key_of_another_command_cancels_nothing() -> None:
    run = at("council")
    run.decide(key="word")
    with pytest.raises(KeyReused, match="council was approved with it"):
        run.cancel(key="word")
    assert run.state.phase == "open"
