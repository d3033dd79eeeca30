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
    UNDO,
    awaited,
    cancelled,
    child_ended,
    child_started,
    children_awaited,
    children_ended,
    claimed,
    completed,
    dead,
    decided,
    discarded,
    ended,
    failed,
    fails,
    gate_closed,
    lost,
    passed,
    paused,
    received,
    released,
    repeated,
    replayed,
    requested,
    resumed,
    routed,
    run_cancelled,
    scheduled,
    started,
    taken,
    timed_out,
    told,
    undo_retried,
    undo_waived,
    undoing,
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
    facts.AttemptTimedOut: timed_out(),
    facts.AttemptCancelled: cancelled(),
    facts.DeliveryLost: lost(),
    facts.AttemptDeadLettered: dead(),
    facts.DeadLetterReplayed: replayed(),
    facts.DeadLetterDiscarded: discarded(),
    facts.ApprovalRequested: requested(),
    facts.ApprovalDecided: decided(),
    facts.PauseReached: paused(),
    facts.PauseResumed: resumed(),
    facts.EventAwaited: awaited(),
    facts.EventReceived: received(),
    facts.EventTaken: taken(),
    facts.ChildrenAwaited: children_awaited(),
    facts.ChildrenEnded: children_ended(),
    facts.GateTimedOut: passed(),
    facts.GateClosed: gate_closed(),
    facts.ChildStarted: child_started(),
    facts.ChildEnded: child_ended(),
    facts.RunFailing: fails(),
    facts.CompensationStarted: undoing(),
    facts.CompensationRetried: undo_retried(),
    facts.CompensationWaived: undo_waived(),
    facts.RunCancelled: run_cancelled(),
    facts.CommandRepeated: repeated(),
}
DONE = (scheduled(), claimed(), completed())
RUNS_IN: dict[str, tuple[AnyFact, ...]] = {
    "open": (started(), scheduled(), claimed(), requested()),
    "failing": (started(), *DONE, scheduled("moria"), claimed("moria"), fails()),
    "compensating": (started(), *DONE, fails(), undoing(), scheduled(UNDO, cause="undo")),
    "completed": (started(), ended()),
    "failed": (started(), *DONE, ended(well=False)),
    "cancelled": (started(), *DONE, run_cancelled()),
}
ATTEMPTS_IN: dict[str | None, tuple[AnyFact, ...]] = {
    None: (started(),),
    "scheduled": (started(), scheduled(), claimed(), released()),
    "claimed": (started(), scheduled(), claimed()),
    "completed": (started(), *DONE),
    "failed": (started(), scheduled(), claimed(), failed()),
    "dead": (started(), scheduled(), claimed(), dead(fence=2)),
    "cancelled": (started(), scheduled(), claimed(), cancelled()),
}
GATES_IN: dict[str | None, tuple[AnyFact, ...]] = {
    None: (started(),),
    "open": (started(), received(), awaited()),
    "approved": (started(), requested(), decided()),
    "rejected": (started(), requested(), decided(decision="rejected")),
    "resumed": (started(), paused(), resumed()),
    "taken": (started(), received(), awaited(), taken()),
    "ended": (started(), children_awaited(), children_ended()),
    "timed_out": (started(), requested(), passed()),
    "closed": (started(), requested(), gate_closed()),
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
    assert {status for status, _ in GATE} | set(GATE.values()) == set(GATES_IN) - {"rejected"}, "as the decision says"
    for phase, before in RUNS_IN.items():
        assert told(*before).phase == phase
    for status, before in ATTEMPTS_IN.items():
        runnable = told(*before).runnables.get(STEP)
        assert (runnable.status if runnable else None) == status
    for status, before in GATES_IN.items():
        gate = told(*before).gates.get("council")
        assert (gate.status if gate else None) == status


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
    assert (state.runnables[STEP].death is not None) == (
        state.runnables[STEP].status == "dead" or (status == "dead" and kind is facts.AttemptCancelled)
    ), "what a cancelled attempt had died of stays known"
    assert (state.runnables[STEP].claim is not None) == (state.runnables[STEP].status == "claimed")


@pytest.mark.parametrize(("status", "kind"), GATE, ids=lambda part: getattr(part, "__name__", str(part)))
def test_what_a_gate_can_do_leads_where_the_table_says(status: str | None, kind: type[facts.Fact]) -> None:
    state = evolve(told(*GATES_IN[status]), A_FACT_OF_EACH[kind])
    assert state.gates["council"].status == GATE[status, kind]  # type: ignore[index]
    assert state.open_gates == (["council"] if status is None else [])


@pytest.mark.parametrize(
    ("before", "fact"),
    [
        ((started(),), ended()),
        ((started(),), ended(well=False)),
        ((started(),), run_cancelled()),
        ((started(),), fails()),
        (RUNS_IN["failing"], cancelled("moria")),
        ((started(), fails()), undoing()),
        ((started(), fails()), ended(well=False)),
        ((started(), fails(), undoing()), ended(well=False)),
    ],
)
def test_what_moves_a_run_leads_where_the_table_says(before: tuple[AnyFact, ...], fact: AnyFact) -> None:
    state = told(*before)
    expected = RUN[state.phase, type(fact)]
    assert evolve(state, fact).phase == expected


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


@pytest.mark.parametrize("make", [completed, failed, timed_out, released, lost, child_started])
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


@pytest.mark.parametrize("end", [ended(), ended(well=False), run_cancelled()])
@pytest.mark.parametrize(
    "left", [(scheduled(),), (scheduled(), claimed()), (scheduled(), claimed(), dead()), (requested(),), (paused(),)]
)
def test_nothing_is_left_open_behind_the_end_of_a_run(end: AnyFact, left: tuple[AnyFact, ...]) -> None:
    with pytest.raises(IllegalFact, match="is open"):
        evolve(told(started(), *left), end)


@pytest.mark.parametrize("fact", [repeated("never"), repeated("word")])
def test_a_command_comes_again_only_after_it_has_come(fact: AnyFact) -> None:
    with pytest.raises(IllegalFact, match="never there"):
        evolve(told(started(), requested(), decided()), fact)


def test_a_step_takes_an_event_of_its_name_only() -> None:
    with pytest.raises(IllegalFact, match="there is none"):
        evolve(told(started(), received("moth"), awaited(event="eagle")), taken())


def test_a_child_is_started_once() -> None:
    """I12."""
    with pytest.raises(IllegalFact, match="twice"):
        evolve(told(started(), scheduled(), claimed(), child_started()), child_started())


def test_a_child_is_started_under_a_claim() -> None:
    with pytest.raises(IllegalFact):
        evolve(told(started(), scheduled(), claimed(), released()), child_started())


@pytest.mark.parametrize("heard", [(), (child_started(), child_ended())])
def test_the_end_of_a_child_is_heard_once(heard: tuple[AnyFact, ...]) -> None:
    with pytest.raises(IllegalFact, match="not open"):
        evolve(told(started(), scheduled(), claimed(), *heard), child_ended())


def compensating(*steps: str) -> tuple[AnyFact, ...]:
    """``pack`` and ``moria`` are done, and the run has failed."""
    moria = (scheduled("moria"), claimed("moria"), completed("moria"))
    return (started(), *DONE, *moria, fails(), undoing(*steps))


def test_steps_are_undone_in_the_order_that_was_decided() -> None:
    """I15."""
    with pytest.raises(IllegalFact, match="moria, pack"):
        evolve(told(*compensating("moria", "pack")), scheduled(UNDO, cause="undo"))


def test_a_step_is_undone_once() -> None:
    """I15."""
    undone = (scheduled(UNDO, cause="undo"), claimed(UNDO), completed(UNDO))
    with pytest.raises(IllegalFact):
        evolve(told(*compensating("pack"), *undone), scheduled(UNDO, 2, cause="undo"))


@pytest.mark.parametrize("word", [undo_retried(), undo_waived()])
@pytest.mark.parametrize("done", [(), (scheduled(UNDO),), (scheduled(UNDO), claimed(UNDO))])
def test_only_a_compensation_that_has_failed_waits_for_an_operator(word: AnyFact, done: tuple[AnyFact, ...]) -> None:
    with pytest.raises(IllegalFact, match="does not wait"):
        evolve(told(*compensating("pack"), *done), word)


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
    assert state.writers == {"pack": "pack", "council": "council"}
    (command,) = state.commands
    assert (command.verb, command.subject, command.actor) == ("approve", "council", "elrond")
    assert state.keys == {"word": 0}
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


def test_what_a_compensation_gives_is_no_part_of_the_context() -> None:
    before = told(*compensating("moria", "pack"), scheduled("moria!undo", cause="undo"), claimed("moria!undo"))
    state = evolve(before, completed("moria!undo", output={"result": "closed"}))
    assert dict(state.context()) == {"miles": 7}
    assert (state.undone, state.to_undo) == ({"moria": {"result": "closed"}}, ["pack"])
    assert list(state.completed) == ["pack", "moria"], "what was done stays known"


def test_a_waived_compensation_makes_room_for_the_next() -> None:
    failed_undo = (scheduled("moria!undo", cause="undo"), claimed("moria!undo"), failed("moria!undo", final=True))
    state = told(*compensating("moria", "pack"), *failed_undo, undo_waived("moria!undo", key="enough"))
    assert (state.to_undo, state.undone) == (["pack"], {})
    assert [(it.verb, it.subject, it.key) for it in state.commands] == [("waive_compensation", "moria!undo", "enough")]


def test_a_retried_compensation_counts_its_attempts_from_there() -> None:
    failed_undo = (scheduled(UNDO, cause="undo"), claimed(UNDO), failed(UNDO, final=True))
    state = told(*compensating("pack"), *failed_undo, undo_retried(), scheduled(UNDO, 2, cause="undo"))
    assert (state.runnables[UNDO].attempt, state.runnables[UNDO].forgiven) == (2, 1)


def test_claimed_attempts_are_counted() -> None:
    state = told(started(), scheduled(), scheduled("moria"), scheduled("lorien"), scheduled("home"))
    counts = []
    for fact in (
        claimed(),
        claimed("moria"),
        claimed("moria", fence=2),
        claimed("lorien"),
        claimed("home"),
        completed(),
        dead("moria"),
        lost("lorien"),
        cancelled("home"),
    ):
        counts.append(evolve(state, fact).claimed)
    assert counts == [1, 2, 2, 3, 4, 3, 2, 1, 0]


def test_events_are_kept_in_the_order_in_which_they_came() -> None:
    kept = (received("moth", 1), received("eagle", 2), received("eagle", 3))
    state = told(started(), *kept, awaited(event="eagle"), taken(output={"eagles": 2}))
    assert [(it.event, it.data) for it in state.events] == [("moth", 1), ("eagle", 3)]
    assert evolve(state, ended()).events == []


def test_a_repeated_command_is_counted() -> None:
    state = told(started(), received(key="word"), received(key="other"), repeated("word"), repeated("word"))
    assert [(it.key, it.repeats) for it in state.commands] == [("word", 2), ("other", 0)]
