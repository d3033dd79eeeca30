"""What is not in a table can not happen: a history that breaks a rule is found when it is folded."""

from collections.abc import Callable, Collection, Iterable
from itertools import product
from typing import get_args

import pytest
from _pytest.mark import ParameterSet

from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.fold import IllegalFact, evolve, fold
from squidmesh.journal.state import RunState
from squidmesh.journal.transitions import ATTEMPT, GATE, RUN
from tests.unit.journal.story import (
    ALL,
    STEP,
    claimed,
    completed,
    dead,
    decided,
    discarded,
    ended,
    failed,
    lost,
    released,
    replayed,
    requested,
    routed,
    scheduled,
    started,
    told,
)
from tests.unit.journal.story import (
    RUN as RUN_ID,
)

# ------------------------------------------------------------------------------------- every pair of the tables

A_FACT_OF_EACH: dict[type[facts.Fact], AnyFact] = {
    facts.RunStarted: started(),
    facts.RouteTaken: routed(),
    facts.RunCompleted: ended(),
    facts.RunFailed: ended(well=False),
    facts.AttemptScheduled: scheduled(),
    facts.AttemptClaimed: claimed(fence=2),
    facts.ClaimReleased: released(),
    facts.AttemptCompleted: completed(),
    facts.AttemptFailed: failed(),
    facts.DeliveryLost: lost(),
    facts.AttemptDeadLettered: dead(),
    facts.DeadLetterReplayed: replayed(),
    facts.DeadLetterDiscarded: discarded(),
    facts.ApprovalRequested: requested(),
    facts.ApprovalDecided: decided(),
}
RUNS_IN: dict[str, tuple[AnyFact, ...]] = {
    "open": (started(), scheduled(), claimed(), requested()),
    "completed": (started(), ended()),
    "failed": (started(), scheduled(), claimed(), requested(), ended(well=False)),
}
ATTEMPTS_IN: dict[str | None, tuple[AnyFact, ...]] = {
    None: (started(),),
    "scheduled": (started(), scheduled(), claimed(), released()),
    "claimed": (started(), scheduled(), claimed()),
    "completed": (started(), scheduled(), claimed(), completed()),
    "failed": (started(), scheduled(), claimed(), failed()),
    "dead": (started(), scheduled(), claimed(), dead(fence=2)),
}
GATES_IN: dict[str | None, tuple[AnyFact, ...]] = {
    None: (started(),),
    "open": (started(), requested()),
    "decided": (started(), requested(), decided()),
}
OF_AN_ATTEMPT = dict.fromkeys(fact for _, fact in ATTEMPT)
OF_A_GATE = dict.fromkeys(fact for _, fact in GATE)


def illegal(
    table: Collection[tuple[str | None, type[facts.Fact]]],
    statuses: Iterable[str | None],
    kinds: Iterable[type[facts.Fact]],
) -> list[ParameterSet]:
    """Every pair of status and kind of fact that the table does not have."""
    pairs = [pair for pair in product(statuses, kinds) if pair not in table]
    return [pytest.param(status, kind, id=f"{kind.__name__} when {status}") for status, kind in pairs]


def test_the_samples_cover_the_tables() -> None:
    assert set(A_FACT_OF_EACH) == set(get_args(AnyFact))
    assert {phase for phase, _ in RUN} | set(RUN.values()) == {None, *RUNS_IN}
    assert {status for status, _ in ATTEMPT} | set(ATTEMPT.values()) == set(ATTEMPTS_IN)
    assert {status for status, _ in GATE} | set(GATE.values()) == set(GATES_IN)
    for phase, before in RUNS_IN.items():
        assert told(*before).phase == phase
    for status, before in ATTEMPTS_IN.items():
        runnable = told(*before).runnables.get(STEP)
        assert (runnable.status if runnable else None) == status


@pytest.mark.parametrize(("phase", "kind"), illegal(RUN, RUNS_IN, A_FACT_OF_EACH))
def test_what_a_run_can_not_do_is_refused(phase: str, kind: type[facts.Fact]) -> None:
    with pytest.raises(IllegalFact):
        evolve(told(*RUNS_IN[phase]), A_FACT_OF_EACH[kind])


@pytest.mark.parametrize(("status", "kind"), illegal(ATTEMPT, ATTEMPTS_IN, OF_AN_ATTEMPT))
def test_what_an_attempt_can_not_do_is_refused(status: str | None, kind: type[facts.Fact]) -> None:
    with pytest.raises(IllegalFact):
        evolve(told(*ATTEMPTS_IN[status]), A_FACT_OF_EACH[kind])


@pytest.mark.parametrize(("status", "kind"), illegal(GATE, GATES_IN, OF_A_GATE))
def test_what_a_gate_can_not_do_is_refused(status: str | None, kind: type[facts.Fact]) -> None:
    with pytest.raises(IllegalFact):
        evolve(told(*GATES_IN[status]), A_FACT_OF_EACH[kind])


@pytest.mark.parametrize(("status", "kind"), ATTEMPT, ids=lambda part: getattr(part, "__name__", str(part)))
def test_what_an_attempt_can_do_leads_where_the_table_says(status: str | None, kind: type[facts.Fact]) -> None:
    state = evolve(told(*ATTEMPTS_IN[status]), A_FACT_OF_EACH[kind])
    assert state.runnables[STEP].status == ATTEMPT[status, kind]  # type: ignore[index]
    assert state.open_steps == ([STEP] if state.runnables[STEP].status in ("scheduled", "claimed") else [])
    assert state.dead_steps == ([STEP] if state.runnables[STEP].status == "dead" else [])
    assert (state.runnables[STEP].death is not None) == (state.runnables[STEP].status == "dead")
    assert (state.runnables[STEP].claim is not None) == (state.runnables[STEP].status == "claimed")


# ------------------------------------------------------------------------------------- what no table can say


@pytest.mark.parametrize("fact", [fact for fact in A_FACT_OF_EACH.values() if not isinstance(fact, facts.RunStarted)])
def test_a_thread_begins_with_the_start_of_its_run(fact: AnyFact) -> None:
    with pytest.raises(IllegalFact, match="before RunStarted"):
        fold(None, [fact])


def test_a_first_entry_has_facts() -> None:
    with pytest.raises(IllegalFact, match="without a fact"):
        fold(None, [])


@pytest.mark.parametrize(("generation", "fence"), [(0, 2), (0, 1), (1, 2), (1, 1)])
def test_recorded_fences_only_grow(generation: int, fence: int) -> None:
    state = told(started(), scheduled(), claimed(generation=1, fence=2))
    with pytest.raises(IllegalFact, match="fence"):
        evolve(state, claimed(generation=generation, fence=fence))


def test_a_higher_generation_is_above_every_fence_of_a_lower_one() -> None:
    state = told(started(), scheduled(), claimed(fence=9), claimed(generation=1, fence=10))
    assert (state.runnables[STEP].generation, state.runnables[STEP].fence) == (1, 10)


def test_fences_go_on_growing_through_the_attempts_of_a_step() -> None:
    state = told(started(), scheduled(), claimed(fence=4), failed(fence=4), scheduled(attempt=2))
    with pytest.raises(IllegalFact, match="fence"):
        evolve(state, claimed(attempt=2, fence=4))


@pytest.mark.parametrize("make", [completed, failed, released])
@pytest.mark.parametrize(("attempt", "fence"), [(1, 1), (1, 3), (2, 2)])
def test_a_result_stands_under_the_current_claim(make: Callable[..., AnyFact], attempt: int, fence: int) -> None:
    state = told(started(), scheduled(), claimed(fence=1), claimed(fence=2))
    with pytest.raises(IllegalFact):
        evolve(state, make(attempt=attempt, fence=fence))


@pytest.mark.parametrize("attempt", [1, 3])
def test_attempts_are_counted_without_a_gap(attempt: int) -> None:
    state = told(started(), scheduled(), claimed(), failed())
    with pytest.raises(IllegalFact):
        evolve(state, scheduled(attempt=attempt))


def test_a_claim_names_the_attempt_that_is_open() -> None:
    with pytest.raises(IllegalFact):
        evolve(told(started(), scheduled()), claimed(attempt=2))


def test_a_step_that_has_succeeded_is_not_scheduled_again() -> None:
    """I5: a runnable has at most one accepted success."""
    state = told(started(), scheduled(), claimed(), completed())
    with pytest.raises(IllegalFact):
        evolve(state, scheduled(attempt=2))


# ------------------------------------------------------------------------------------- what facts add up to


def test_a_superseded_claim_is_a_lost_delivery() -> None:
    state = told(started(), scheduled(), claimed(fence=1), claimed(fence=2), claimed(fence=3, claim_hash="h3"))
    runnable = state.runnables[STEP]
    assert (runnable.lost, runnable.fence) == (2, 3)
    assert runnable.claim is not None
    assert runnable.claim.claim_hash == "h3"


def test_a_released_claim_is_no_lost_delivery() -> None:
    state = told(started(), scheduled(), claimed(fence=1), released(fence=1, visible_at=9), claimed(fence=2))
    assert state.runnables[STEP].lost == 0


def test_a_release_moves_the_visibility_and_frees_the_attempt() -> None:
    state = told(started(), scheduled(), claimed(fence=3), released(fence=3, visible_at=9))
    runnable = state.runnables[STEP]
    assert (runnable.visible_at, runnable.claim, runnable.fence) == (9, None, 3)


def test_only_snoozes_are_counted_as_snoozes() -> None:
    state = told(
        started(),
        scheduled(),
        claimed(fence=1),
        released(fence=1, reason="snooze"),
        claimed(fence=2),
        released(fence=2, reason="drain"),
        claimed(fence=3),
        released(fence=3, reason="snooze"),
    )
    assert state.runnables[STEP].snoozes == 2


def test_a_new_attempt_starts_its_counts_anew_and_keeps_fence_and_error() -> None:
    before = told(started(), scheduled(), claimed(fence=1), released(reason="snooze"), claimed(fence=2))
    state = evolve(evolve(before, claimed(fence=3)), failed(fence=3))
    runnable = evolve(state, scheduled(attempt=2, visible_at=7, cause="retry")).runnables[STEP]
    assert (runnable.attempt, runnable.lost, runnable.snoozes, runnable.fence) == (2, 0, 0, 3)
    assert (runnable.status, runnable.cause, runnable.visible_at) == ("scheduled", "retry", 7)
    assert runnable.error is not None
    assert runnable.error.code == "step_raised"


def test_outputs_and_decisions_become_the_context() -> None:
    state = told(started(), scheduled(), claimed(), completed(output={"pack": 1}), requested(), decided(key="word"))
    assert dict(state.context()) == {"miles": 7, "pack": 1, "council": {"decision": "approved"}}
    assert state.keys == {"word": "approved council"}
    assert (state.open_steps, state.open_gates) == ([], [])


def test_an_entry_is_one_revision_whatever_it_holds() -> None:
    state: RunState | None = None
    for number, entry in enumerate(ALL, start=1):
        state = fold(state, entry)
        assert state.revision == number


def test_the_end_is_remembered_with_its_reason() -> None:
    state = told(started(), facts.RunFailed(at=8, code="rejected", step="council", message="no"))
    assert (state.phase, state.ended_at, state.updated_at, state.ended) == ("failed", 8, 8, True)
    assert (state.failure_code, state.failure_step, state.failure_message) == ("rejected", "council", "no")
    assert state.run_id == RUN_ID
