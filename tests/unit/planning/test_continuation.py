"""Going on: the entry that completes a step may claim the next one for the same worker, and never out of turn."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from squidmesh import Workflow, approval, define, manual, step, value, wait
from squidmesh.ids import claim_hash
from squidmesh.journal.facts import AnyFact, AttemptClaimed
from squidmesh.journal.fold import evolve, fold
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import NextClaim, RecordClaim, RecordCompletion, StartRun
from squidmesh.planning.decide import decide, start
from tests.unit.planning.errand import RUN, SECOND, kinds, walk


class Empty(BaseModel):
    pass


class Road(Workflow):
    """Where it goes on after ``here``, by what ``here`` says."""

    version = "1"
    leave = manual(Empty)
    here = step(walk, output="to")
    next_door = step(walk)
    elsewhere = step(walk, queue="far")
    later_in_line = step(walk, priority=9)
    rest = wait(10)
    council = approval()
    flow = (
        here.to(next_door, when=value("to") == "next_door"),
        here.to(elsewhere, when=value("to") == "elsewhere"),
        here.to(later_in_line, when=value("to") == "later_in_line"),
        here.to(rest, when=value("to") == "rest"),
        here.to(council, when=value("to") == "council"),
    )


DEFINITION = define(Road)
STEPS = frozenset({"here", "next_door", "elsewhere", "later_in_line"})
WISH = NextClaim(owner="sam@1", claim_hash=claim_hash("the next claim"), lease=timedelta(seconds=60), steps=STEPS)


def completed(to: str, wish: NextClaim | None = WISH) -> tuple[RunState, list[AnyFact]]:
    """The entry that completes ``here``, and the state that includes it."""
    given = StartRun(
        now=0, run_id=RUN, trigger="leave", payload={}, payload_fingerprint="p", queue="default", priority=5
    )
    state = fold(None, start(DEFINITION, given))
    under = {"step": "here", "attempt": 1, "fence": 1, "claim_hash": claim_hash("a claim")}
    claim = RecordClaim(now=0, generation=0, owner="sam@1", lease=timedelta(seconds=60), max_deliveries=5, **under)  # type: ignore[arg-type]
    state = fold(state, decide(DEFINITION, state, claim))
    facts = decide(DEFINITION, state, RecordCompletion(now=7, output={"to": to}, then=wish, **under))  # type: ignore[arg-type]
    for fact in facts:
        evolve(state, fact)
    return state, facts


def test_the_entry_that_completes_a_step_claims_the_next() -> None:
    state, facts = completed("next_door")
    assert kinds(facts) == ["AttemptCompleted", "RouteTaken", "AttemptScheduled", "AttemptClaimed"]
    assert facts[-1] == AttemptClaimed(
        at=7,
        step="next_door",
        attempt=1,
        generation=0,
        fence=1,
        owner="sam@1",
        claim_hash=claim_hash("the next claim"),
        lease=60 * SECOND,
    )
    assert state.runnables["next_door"].status == "claimed"
    assert state.runnables["next_door"].lost == 0


@pytest.mark.parametrize("to", ["elsewhere", "later_in_line", "rest", "council"])
def test_nobody_goes_on_to_what_has_its_own_turn(to: str) -> None:
    state, facts = completed(to)
    assert "AttemptClaimed" not in kinds(facts)
    assert [*state.open_steps, *state.open_gates] == [to]


def test_nobody_goes_on_to_a_step_that_the_worker_does_not_have() -> None:
    wish = NextClaim(owner="sam@1", claim_hash="h", lease=timedelta(seconds=60), steps=frozenset({"here"}))
    _, facts = completed("next_door", wish)
    assert kinds(facts)[-1] == "AttemptScheduled"


def test_nobody_goes_on_who_does_not_ask_for_it() -> None:
    _, facts = completed("next_door", None)
    assert kinds(facts)[-1] == "AttemptScheduled"


def test_nobody_goes_on_after_the_end() -> None:
    state, facts = completed("nowhere")
    assert kinds(facts) == ["AttemptCompleted", "RunFailed"]
    assert state.ended
