"""The judge can not be fooled: each lie of a journal turns the invariant red that it breaks, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from chaos.history import Place
from chaos.invariants.case import fold_whole
from chaos.judge import judge
from chaos.ledger import Deed
from squidmesh.ids import ThreadId
from squidmesh.journal.codec import encode_state
from squidmesh.journal.facts import (
    ApprovalDecided,
    ApprovalRequested,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    ChildStarted,
    CommandRepeated,
    CompensationStarted,
    DeadLetterReplayed,
    GateClosed,
    PauseResumed,
    RunFailed,
    RunStarted,
)
from squidmesh.journal.rows import ThreadRows
from squidmesh.ports.journal_store import Checkpoint
from tests.chaos.load import SECRET, Day
from tests.chaos.spoil import Spoilt

Lie = Callable[[Spoilt], None]
JOURNAL: dict[str, tuple[Lie, set[str]]] = {}
"""What each lie breaks, where no history tells what was written."""


def breaks(*invariants: str) -> Callable[[Lie], Lie]:
    def note(lie: Lie) -> Lie:
        JOURNAL[lie.__name__] = lie, set(invariants)
        return lie

    return note


@breaks("I1")
def a_gap_in_the_revisions(spoilt: Spoilt) -> None:
    entries = spoilt.entries("walk")
    entry, facts = entries[-1]
    spoilt.write("walk", [*entries[:-1], (structs.replace(entry, revision=entry.revision + 1), facts)])


@breaks("I1")
def an_entry_that_can_not_be_read(spoilt: Spoilt) -> None:
    first, *others = spoilt.dump("walk").entries
    spoilt.lie("walk", entries=(structs.replace(first, body=first.body.replace(b"lembas", b"bread")), *others))
    last = others[-1]
    spoilt.lie("walk", entries=(first, *others[:-1], structs.replace(last, body=last.body[:-1] + b" ")))


@breaks("I1")
def the_entry_of_a_claim_is_dropped(spoilt: Spoilt) -> None:
    entries = spoilt.entries("doom")
    del entries[spoilt.place("doom", AttemptClaimed, nth=-1)]
    spoilt.write("doom", entries)


@breaks("I4")
def a_claim_and_its_result_are_swapped(spoilt: Spoilt) -> None:
    entries = spoilt.entries("walk")
    place = spoilt.place("walk", AttemptCompleted, "pack")
    (one, claim), (other, result) = entries[place - 1 : place + 1]
    entries[place - 1 : place + 1] = [(one, result), (other, claim)]
    spoilt.write("walk", entries)


@breaks("I1", "I4", "I5", "I9")
def the_last_entry_is_there_twice(spoilt: Spoilt) -> None:
    entries = spoilt.entries("doom")
    entry, facts = entries[-1]
    spoilt.write("doom", [*entries, (structs.replace(entry, revision=entry.revision + 1), facts)])


@breaks("I2")
def a_checkpoint_that_says_something_else(spoilt: Spoilt) -> None:
    state = fold_whole(spoilt.entries("walk")[:4]).state
    assert state is not None
    state.outputs["lembas"] = 8
    spoilt.lie("walk", checkpoint=Checkpoint(revision=4, body=encode_state(state)))


@breaks("I2")
def a_fact_that_its_state_does_not_allow(spoilt: Spoilt) -> None:
    """And of which no other invariant speaks."""
    spoilt.append("open", CommandRepeated(at=spoilt.day.journal.now, key="never-used"))


@breaks("I3")
def a_fence_that_does_not_grow(spoilt: Spoilt) -> None:
    first = spoilt.place("doom", AttemptClaimed)
    fence = next(f.fence for f in spoilt.entries("doom")[first][1] if isinstance(f, AttemptClaimed))
    spoilt.change("doom", AttemptClaimed, nth=1, fence=fence)


@breaks("I4")
def a_stale_fence_is_accepted(spoilt: Spoilt) -> None:
    """The zombie's result, in place of that of the worker which took over."""
    spoilt.change("walk", AttemptCompleted, "pack", fence=1)


@breaks("I4", "I5")
def an_attempt_succeeds_twice(spoilt: Spoilt) -> None:
    def again(fact: AttemptCompleted) -> list[Any]:
        return [fact, fact]

    spoilt.map("doom", AttemptCompleted, again)


@breaks("I5")
def a_runnable_succeeds_twice(spoilt: Spoilt) -> None:
    """Under another fence, which somebody entered."""
    done = spoilt.place("doom", AttemptCompleted)
    (claimed,) = [f for f in spoilt.entries("doom")[done - 1][1] if isinstance(f, AttemptClaimed)]
    (result,) = [f for f in spoilt.entries("doom")[done][1] if isinstance(f, AttemptCompleted)]
    spoilt.append("doom", result, structs.replace(claimed, fence=claimed.fence + 1), at=done)
    spoilt.change("doom", AttemptCompleted, nth=1, fence=claimed.fence + 1)
    entered = next(d for _, d in spoilt.deeds[0] if isinstance(d, Deed) and d.run == spoilt.runs["doom"])
    spoilt.deeds[0].append((Place("forged", 1), structs.replace(entered, fence=claimed.fence + 1)))


@breaks("I7")
def a_wait_is_claimed_before_it_is_over(spoilt: Spoilt) -> None:
    claimed = next(
        f for _, facts in spoilt.entries("walk") for f in facts if isinstance(f, AttemptClaimed) and f.step == "rest"
    )
    spoilt.change("walk", AttemptClaimed, "rest", at=claimed.at - 15_000_000)


@breaks("I8")
def an_attempt_too_many(spoilt: Spoilt) -> None:
    """A step without a policy fails, and is tried again."""
    for kind in (AttemptScheduled, AttemptClaimed, AttemptCompleted):
        spoilt.change("feast", kind, "serve", attempt=2)
    for place, (where, deed) in enumerate(spoilt.deeds[0]):
        if isinstance(deed, Deed) and (deed.run, deed.step) == (spoilt.runs["feast"], "serve"):
            spoilt.deeds[0][place] = where, structs.replace(deed, attempt=2)


@breaks("I8")
def a_dead_letter_that_counts_what_was_not(spoilt: Spoilt) -> None:
    spoilt.change("doom", AttemptDeadLettered, lost=5)


@breaks("I9")
def an_entry_after_the_end(spoilt: Spoilt) -> None:
    spoilt.append("walk", CommandRepeated(at=spoilt.day.journal.now, key="walk"))


@breaks("I10", "I18", "I20")
def a_run_that_waits_for_nothing(spoilt: Spoilt) -> None:
    """Its approval was never asked for; and it has lived through a kill and a loss of all leases."""
    spoilt.remove("open", ApprovalRequested)


@breaks("I12")
def a_key_that_has_started_two_runs(spoilt: Spoilt) -> None:
    true = spoilt.dump("feast")
    name = "0190a000-0000-7000-8000-000000000000"
    spoilt.add(
        structs.replace(
            true,
            thread=ThreadId(name),
            entries=tuple(structs.replace(entry, thread=ThreadId(name)) for entry in true.entries),
            rows=ThreadRows(thread=ThreadId(name)),
        )
    )
    spoilt.deeds = []
    spoilt.change(name, RunStarted, run_id=name)


@breaks("I12")
def a_child_key_that_is_used_twice(spoilt: Spoilt) -> None:
    def again(fact: ChildStarted) -> list[Any]:
        return [fact, structs.replace(fact, run_id=spoilt.runs["feast"])]

    spoilt.map("party", ChildStarted, again)


@breaks("I13")
def a_row_that_says_something_else(spoilt: Spoilt) -> None:
    rows = spoilt.dump("late").rows
    wrong = (structs.replace(rows.attempts[0], priority=0), *rows.attempts[1:])
    spoilt.lie("late", rows=structs.replace(rows, attempts=wrong))


@breaks("I13")
def a_row_of_a_run_that_has_ended(spoilt: Spoilt) -> None:
    rows = spoilt.dump("walk").rows
    assert rows.run is not None
    spoilt.lie("walk", rows=structs.replace(rows, run=structs.replace(rows.run, status="running", ended_at=None)))


@breaks("I14")
def a_join_before_its_sibling(spoilt: Spoilt) -> None:
    entries = spoilt.entries("feast")
    place = spoilt.place("feast", AttemptScheduled, "serve")
    (join,) = [f for f in entries[place][1] if isinstance(f, AttemptScheduled)]
    spoilt.remove("feast", AttemptScheduled, "serve")
    spoilt.map("feast", AttemptCompleted, lambda fact: [join, fact], nth=0)


@breaks("I8", "I14")
def a_join_that_begins_twice(spoilt: Spoilt) -> None:
    def again(fact: AttemptScheduled) -> list[Any]:
        return [fact, fact]

    spoilt.map("feast", AttemptScheduled, again, "serve")


@breaks("I15")
def compensations_in_the_order_of_completion(spoilt: Spoilt) -> None:
    other = {"flight!undo": "hotel!undo", "hotel!undo": "flight!undo"}
    entries = spoilt.entries("journey")
    told = []
    for entry, facts in entries:
        new: list[Any] = []
        for fact in facts:
            step = getattr(fact, "step", "")
            if isinstance(fact, CompensationStarted):
                new.append(structs.replace(fact, steps=fact.steps[::-1]))
            else:
                new.append(structs.replace(fact, step=other[step]) if step in other else fact)
        told.append((entry, new))
    spoilt.write("journey", told)
    spoilt.deeds = []


@breaks("I15")
def a_step_that_is_not_compensated(spoilt: Spoilt) -> None:
    place = spoilt.place("journey", AttemptScheduled, "flight!undo")
    failed = spoilt.entries("journey")[-1][1][-1]
    assert isinstance(failed, RunFailed)
    entries = spoilt.entries("journey")[: place + 1]
    entry, facts = entries[-1]
    kept: list[Any] = [f for f in facts if not (isinstance(f, AttemptScheduled) and f.step == "flight!undo")]
    spoilt.write("journey", [*entries[:-1], (entry, [*kept, structs.replace(failed, at=kept[-1].at)])])
    assert kept


@breaks("I15")
def a_compensation_while_a_sibling_is_claimed(spoilt: Spoilt) -> None:
    """The step that failed never said so."""
    spoilt.remove("journey", AttemptFailed, "pay")


@breaks("I16")
def a_replay_without_an_actor(spoilt: Spoilt) -> None:
    spoilt.change("doom", DeadLetterReplayed, actor="")


@breaks("I16")
def a_replay_that_leaves_out_a_generation(spoilt: Spoilt) -> None:
    spoilt.change("doom", DeadLetterReplayed, generation=3)
    spoilt.change("doom", AttemptClaimed, nth=-1 % 3, generation=3)


@breaks("I17")
def an_approval_that_nobody_gave(spoilt: Spoilt) -> None:
    spoilt.remove("walk", ApprovalDecided)


@breaks("I17")
def a_pause_that_somebody_without_a_name_ended(spoilt: Spoilt) -> None:
    spoilt.change("walk", PauseResumed, actor="")


@breaks("I17")
def a_gate_that_closes_by_itself(spoilt: Spoilt) -> None:
    spoilt.append("open", GateClosed(at=spoilt.day.journal.now, step="council"))
    spoilt.append(
        "open",
        AttemptScheduled(
            at=spoilt.day.journal.now,
            step="camp",
            attempt=1,
            queue="default",
            priority=5,
            visible_at=spoilt.day.journal.now,
            cause="route",
        ),
    )


@pytest.mark.parametrize("name", JOURNAL)
def test_a_lie_of_the_journal_is_found_for_what_it_is(day: Day, name: str) -> None:
    lie, broken = JOURNAL[name]
    spoilt = Spoilt(day, alone=True)
    lie(spoilt)
    verdict = judge(spoilt.evidence(), not_applicable={"I6": "no history tells what was lent"})
    assert verdict.red == broken, verdict.table()
    assert all(verdict[number].problems for number in broken)


@pytest.mark.all
@pytest.mark.parametrize(
    "name", [name for name, (_, broken) in JOURNAL.items() if "I2" not in broken and "I13" not in broken]
)
def test_and_for_a_lie_where_histories_tell_what_was_written(day: Day, name: str) -> None:
    """I4 may tell too that a claim is not as it was granted."""
    lie, broken = JOURNAL[name]
    spoilt = Spoilt(day)
    lie(spoilt)
    verdict = judge(spoilt.evidence())
    assert verdict.red - {"I4"} == (broken | {"I1"}) - {"I4"}, verdict.table()


def test_a_payload_that_was_changed_is_found_by_the_history_of_its_writer(day: Day) -> None:
    spoilt = Spoilt(day)
    spoilt.change("walk", RunStarted, payload={"ring": "another", "word": SECRET})
    verdict = judge(spoilt.evidence())
    assert verdict.red == {"I1"}, verdict.table()
    (problem,) = verdict["I1"].problems
    assert problem.where == f"{day.runs['walk']}@1"


def test_so_is_an_acknowledged_entry_that_is_gone(day: Day) -> None:
    spoilt = Spoilt(day)
    spoilt.write("open", spoilt.entries("open")[:-1])
    red = judge(spoilt.evidence()).red
    assert "I1" in red
    assert red <= {"I1", "I10", "I11", "I18", "I20"}, "the wait that it ended is open again, and nobody comes for it"
