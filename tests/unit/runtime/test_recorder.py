"""One commit for many intents, each run on its own; a conflict is decided again; one bad value hurts only itself."""

from datetime import timedelta
from typing import Any

import pytest

from squidmesh.errors import (
    BackendUnavailable,
    ClaimRefused,
    CommitUnknown,
    CorruptHistory,
    DataRefused,
    JournalConflict,
    NotFound,
    NotWaiting,
    StaleClaim,
)
from squidmesh.ids import AttemptKey, ClaimId, ThreadId
from squidmesh.journal.facts import AttemptFailed
from squidmesh.planning.commands import NextClaim
from squidmesh.ports.journal_store import Append, Conflict
from squidmesh.ports.lease_backend import Release, Settlement
from squidmesh.runtime.recorder import Intent
from tests.support.audit import audit
from tests.unit.runtime.rig import (
    InJournal,
    Rig,
    Writer,
    approve,
    cancel,
    claim,
    complete,
    fail,
    give_back,
    kinds,
    lease,
)

AWAY = BackendUnavailable("the store is away")
LOST = CommitUnknown("the answer was lost")


def appends(rig: Rig) -> list[list[Append]]:
    """Of each commit, what it asked for."""
    return [[append for group in groups for append in group.appends] for groups in rig.store.calls["commit"]]


def claimed(rig: Rig, run_id: str = "a", *, writer: Writer | None = None) -> Writer:
    """A writer that holds a recorded claim on ``pack``."""
    writer = writer or rig.writer()
    rig.start(run_id)
    assert writer.one(claim(run_id)).error is None
    rig.store.calls.clear()
    return writer


# ------------------------------------------------------------------------------------------------------ accepted


def test_what_is_accepted_is_in_the_journal_and_in_the_run_that_is_given_back(rig: Rig) -> None:
    rig.start("a")
    verdict = rig.writer().one(claim("a"))
    assert (verdict.error, kinds(verdict)) == (None, ["AttemptClaimed"])
    assert verdict.run is not None
    assert verdict.run.state == audit(rig.store, "a")
    assert verdict.run.state.revision == 2


def test_many_runs_share_one_commit_and_each_is_a_group(rig: Rig) -> None:
    for run_id in "abc":
        rig.start(run_id)
    verdicts = rig.writer().record(*[claim(run_id) for run_id in "abc"])
    assert [kinds(verdict) for verdict in verdicts] == [["AttemptClaimed"]] * 3
    (groups,) = rig.store.calls["commit"]
    assert [len(group.appends) for group in groups] == [1, 1, 1]


def test_all_intents_for_one_run_are_one_entry(rig: Rig) -> None:
    rig.start("a")
    verdicts = rig.writer().record(claim("a", fence=1), give_back("a", fence=1), claim("a", fence=2))
    assert [kinds(verdict) for verdict in verdicts] == [["AttemptClaimed"], ["ClaimReleased"], ["AttemptClaimed"]]
    assert rig.revision("a") == 2
    audit(rig.store, "a")


def test_a_refused_intent_does_not_hold_up_its_neighbours(rig: Rig) -> None:
    writer = claimed(rig)
    rig.start("b")
    refused, unknown, accepted, beside = writer.record(
        complete("a", fence=7), claim("nowhere"), complete("a", fence=1), claim("b")
    )
    assert isinstance(refused.error, StaleClaim)
    assert isinstance(unknown.error, NotFound)
    assert kinds(accepted)[0] == "AttemptCompleted"
    assert kinds(beside) == ["AttemptClaimed"]
    assert (rig.revision("a"), rig.revision("b")) == (3, 2)


def test_what_is_all_refused_is_not_committed(rig: Rig) -> None:
    writer = claimed(rig)
    assert isinstance(writer.one(complete("a", fence=7)).error, StaleClaim)
    assert rig.store.calls["commit"] == []


def test_a_repeated_command_is_accepted_and_counted(rig: Rig) -> None:
    writer = waiting_for_council(rig)
    assert writer.one(approve("a", key="word")).error is None
    before = rig.revision("a")
    again = rig.writer().one(approve("a", key="word"))
    assert (again.error, kinds(again)) == (None, ["CommandRepeated"])
    assert again.run is not None
    assert [it.repeats for it in again.run.state.commands] == [1]
    assert rig.revision("a") == before + 1


def test_a_repeated_command_is_accepted_without_an_entry_once_its_run_has_ended(rig: Rig) -> None:
    """I9."""
    writer = waiting_for_council(rig)
    assert kinds(writer.one(cancel("a", key="word")))[-1] == "RunCancelled"
    before = rig.revision("a")
    again = rig.writer().one(cancel("a", key="word"))
    assert (again.error, again.facts) == (None, [])
    assert again.run is not None
    assert rig.revision("a") == before


def waiting_for_council(rig: Rig) -> Writer:
    writer = claimed(rig)
    writer.one(complete("a"))
    rig.clock.advance(timedelta(seconds=10))
    assert kinds(writer.one(claim("a", "rest")))[-1] == "ApprovalRequested"
    return writer


def test_an_unchanged_run_row_is_not_written_again(rig: Rig) -> None:
    writer = claimed(rig)
    writer.one(give_back("a"))
    writer.one(claim("a", fence=2))
    writer.one(complete("a", fence=2))
    assert [append.rows.run is not None for (append,) in appends(rig)] == [False, False, True]


def test_a_run_that_has_ended_is_let_go_and_whoever_waits_is_told(rig: Rig) -> None:
    writer = claimed(rig)
    with rig.endings.awaited("a"):
        looks = rig.endings.looks("a", first=3600.0)
        next(looks)
        for attempt in (1, 2, 3):
            rig.clock.advance(timedelta(seconds=60))
            writer.record(claim("a", attempt=attempt, fence=attempt + 1), fail("a", attempt=attempt, fence=attempt + 1))
        assert writer.runs.get("a") is None
        next(looks)
        ended = rig.endings.of("a")
        assert ended is not None and ended.state == audit(rig.store, "a")
    assert rig.endings.of("a") is None, "nobody waits for it any more"


def test_a_run_that_nobody_waits_for_is_not_kept(rig: Rig) -> None:
    writer = claimed(rig)
    with rig.endings.awaited("b"):
        for attempt in (1, 2, 3):
            rig.clock.advance(timedelta(seconds=60))
            writer.record(claim("a", attempt=attempt, fence=attempt + 1), fail("a", attempt=attempt, fence=attempt + 1))
        assert audit(rig.store, "a").ended_at is not None
        assert rig.endings.of("a") is None


# ----------------------------------------------------------------------------------------------------- conflicts


def test_a_conflict_is_decided_again_on_what_the_journal_holds_then(rig: Rig) -> None:
    stale = rig.writer()
    rig.start("a")
    stale.runs.load(["a"])
    rig.writer().record(claim("a", fence=1), give_back("a", fence=1))
    verdict = stale.one(claim("a", fence=2))
    assert (verdict.error, kinds(verdict)) == (None, ["AttemptClaimed"])
    assert rig.revision("a") == 3
    assert verdict.run is not None
    assert verdict.run.state == audit(rig.store, "a")


def test_a_conflict_may_end_in_a_refusal(rig: Rig) -> None:
    zombie = claimed(rig)
    heir = rig.writer()
    assert heir.one(claim("a", fence=2, trust=False)).error is None
    before = rig.revision("a")
    verdict = zombie.one(complete("a", fence=1))
    assert isinstance(verdict.error, StaleClaim)
    assert (verdict.facts, rig.revision("a")) == ([], before)
    assert kinds(heir.one(complete("a", fence=2)))[0] == "AttemptCompleted"
    audit(rig.store, "a")


def test_two_decisions_at_the_same_moment_become_one(rig: Rig) -> None:
    waiting_for_council(rig)
    one, other = rig.writer(), rig.writer()

    def meanwhile() -> None:
        assert kinds(other.one(approve("a")))[0] == "ApprovalDecided"

    rig.journal.before_commit = meanwhile
    assert isinstance(one.one(approve("a")).error, NotWaiting)
    audit(rig.store, "a")


def test_a_command_is_made_anew_for_each_decision(rig: Rig) -> None:
    rig.start("a")
    made: list[int] = []
    asked = claim("a", fence=5)
    command = asked.command

    def noted(now: Any) -> Any:
        made.append(now)
        return command(now)

    def meanwhile() -> None:
        rig.clock.advance(timedelta(seconds=3))
        rig.writer().one(claim("a", fence=1, trust=False))

    asked.command = noted
    rig.journal.before_commit = meanwhile
    verdict = rig.writer().one(asked)
    assert len(made) == 2
    assert made[1] - made[0] == 3_000_000
    assert verdict.facts[0].at == made[1]


def test_a_conflict_of_one_run_does_not_hold_up_the_others(rig: Rig) -> None:
    stale = rig.writer()
    for run_id in "ab":
        rig.start(run_id)
    stale.runs.load(["a", "b"])
    rig.writer().one(claim("a", fence=1))
    first, second = stale.record(claim("a", fence=2), claim("b"))
    assert (first.error, second.error) == (None, None)
    assert [[append.thread for append in commit] for commit in appends(rig)][1:] == [["a", "b"], ["a"]]
    audit(rig.store, "a")
    audit(rig.store, "b")


def test_who_never_gets_through_is_told_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.start("a")
    monkeypatch.setattr(rig.journal, "commit", lambda groups: [Conflict(thread=ThreadId("a"), revision=1)])
    verdict = rig.writer().one(claim("a"))
    assert isinstance(verdict.error, JournalConflict)
    assert (verdict.facts, len(rig.store.calls["commit"])) == ([], 100)


# -------------------------------------------------------------------------------------------------------- poison


def test_a_result_that_the_store_can_not_hold_is_recorded_as_the_failure_of_its_attempt(rig: Rig) -> None:
    writer = claimed(rig)
    verdict = writer.one(complete("a", word="poison"))
    assert verdict.error is None
    failed = verdict.facts[0]
    assert isinstance(failed, AttemptFailed)
    assert (failed.error.code, failed.error.type, failed.final) == ("unstorable_result", "UnstorableResult", True)
    assert audit(rig.store, "a").phase == "failed"


def test_poison_hurts_only_its_own_run(rig: Rig) -> None:
    writer = rig.writer()
    for run_id in "abc":
        claimed(rig, run_id, writer=writer)
    before, poisoned, after = writer.record(complete("a"), complete("b", word="poison"), complete("c"))
    assert kinds(before)[0] == kinds(after)[0] == "AttemptCompleted"
    assert kinds(poisoned)[0] == "AttemptFailed"
    for run_id in "abc":
        assert rig.revision(run_id) == 3
        audit(rig.store, run_id)


def test_poison_in_the_last_place_may_meet_a_conflict_too(rig: Rig) -> None:
    zombie = claimed(rig)
    rig.writer().one(claim("a", fence=2, trust=False))
    assert isinstance(zombie.one(complete("a", word="poison")).error, StaleClaim)
    audit(rig.store, "a")


def test_poison_without_a_replacement_is_refused_and_the_run_is_loaded_anew(rig: Rig) -> None:
    writer = claimed(rig)
    verdict = writer.one(complete("a", word="poison", replace=False))
    assert isinstance(verdict.error, DataRefused)
    assert (verdict.facts, rig.revision("a"), writer.runs.get("a")) == ([], 2, None)
    assert kinds(writer.one(complete("a")))[0] == "AttemptCompleted"


def test_poison_is_recorded_as_a_failure_though_a_refused_intent_came_with_it(rig: Rig) -> None:
    """A lease has ended, and its own worker was granted the attempt again while its result was on the way."""
    writer = claimed(rig)
    poisoned, grant = writer.record(complete("a", word="poison"), claim("a", fence=2))
    assert isinstance(grant.error, ClaimRefused), "the attempt is closed by the result that was reported"
    assert kinds(poisoned)[:1] == ["AttemptFailed"]


# ------------------------------------------------------------------------------------------------------ bad runs


def test_a_history_that_can_not_be_read_holds_one_run(rig: Rig) -> None:
    for run_id in "ab":
        rig.start(run_id)
    rig.add("a", b"rubbish")
    held, fine = rig.writer().record(claim("a"), claim("b"))
    assert isinstance(held.error, CorruptHistory)
    assert (held.error.thread, held.error.revision) == ("a", 2)
    assert kinds(fine) == ["AttemptClaimed"]


def test_a_command_that_makes_no_sense_holds_one_run(rig: Rig) -> None:
    for run_id in "ab":
        rig.start(run_id)

    def nonsense(now: int) -> Any:
        raise ZeroDivisionError

    writer = rig.writer()
    held, fine = writer.record(Intent(run_id="a", command=nonsense), claim("b"))
    assert isinstance(held.error, CorruptHistory)
    assert kinds(fine) == ["AttemptClaimed"]
    assert kinds(writer.one(claim("a"))) == ["AttemptClaimed"]


# -------------------------------------------------------------------------------------------------------- trouble


def test_a_commit_whose_answer_was_lost_is_not_recorded_twice(rig: Rig) -> None:
    writer = claimed(rig)
    rig.store.fail("commit", LOST, after=True)
    assert kinds(writer.one(complete("a")))[0] == "AttemptCompleted"
    assert rig.revision("a") == 3
    audit(rig.store, "a")


@pytest.mark.parametrize("error", [AWAY, LOST])
def test_when_patience_ends_the_intents_can_be_recorded_again(rig: Rig, error: Exception) -> None:
    writer = claimed(rig)
    rig.store.fail("commit", error, error)
    with pytest.raises(type(error)):
        writer.record(complete("a"))
    assert writer.runs.get("a") is None, "what was decided ahead is forgotten"
    assert kinds(writer.one(complete("a")))[0] == "AttemptCompleted"
    audit(rig.store, "a")


def test_what_was_recorded_before_patience_ended_refuses_to_be_recorded_twice(rig: Rig) -> None:
    writer = claimed(rig)
    rig.store.fail("commit", LOST, LOST, after=True)
    with pytest.raises(CommitUnknown):
        writer.record(complete("a"))
    assert isinstance(writer.one(complete("a")).error, StaleClaim)
    assert rig.revision("a") == 3


# ------------------------------------------------------------------------------------------------- live effects


def test_live_effects_follow_the_durable_facts(rig: Rig) -> None:
    writer = claimed(rig)
    seen: list[int] = []
    rig.leases.inner.settle = lambda settlements: seen.append(rig.revision("a"))
    writer.one(complete("a"))
    assert seen == [3]
    ((settlement,),) = rig.leases.calls["settle"]
    assert settlement.claim == lease("a")
    (offer,) = settlement.offers
    assert (offer.key, offer.delay, offer.floor) == (AttemptKey("a/rest#1"), timedelta(seconds=10), 0)


def test_a_retry_is_offered_above_the_fences_of_its_step(rig: Rig) -> None:
    writer = claimed(rig)
    writer.one(fail("a"))
    ((settlement,),) = rig.leases.calls["settle"]
    (offer,) = settlement.offers
    assert (offer.key, offer.floor) == (AttemptKey("a/pack#2"), 1)


def test_a_release_gives_the_item_back_with_its_delay_and_floor(rig: Rig) -> None:
    writer = claimed(rig)
    writer.one(give_back("a", seconds=8))
    assert rig.leases.calls["release"] == [[Release(claim=lease("a"), delay=timedelta(seconds=8), floor=1)]]
    assert rig.leases.calls["settle"] == []


def test_an_approval_offers_what_it_opens(rig: Rig) -> None:
    writer = waiting_for_council(rig)
    rig.leases.calls.clear()
    writer.one(approve("a"))
    assert [[item.key for item in items] for items in rig.leases.calls["offer"]] == [["a/moria#1"]]


def test_what_was_not_written_has_no_effect(rig: Rig) -> None:
    zombie = claimed(rig)
    rig.writer().one(claim("a", fence=2, trust=False))
    rig.leases.calls.clear()
    zombie.one(complete("a", fence=1))
    zombie.one(complete("a", fence=2, word="poison", replace=False))
    assert rig.leases.calls == {}


@pytest.mark.parametrize("error", [AWAY, LOST])
def test_a_lease_backend_that_is_away_takes_nothing_back(rig: Rig, error: Exception) -> None:
    writer = claimed(rig)
    rig.leases.fail("settle", error)
    assert kinds(writer.one(complete("a")))[0] == "AttemptCompleted"
    assert rig.observer.events == ["lease_backend_unavailable"]
    assert rig.revision("a") == 3


def test_on_journal_leases_their_changes_ride_in_the_append(rig: Rig) -> None:
    writer = claimed(rig, writer=rig.writer(leases=InJournal()))
    writer.one(give_back("a", seconds=8))
    writer.record(claim("a", fence=2))
    rig.clock.advance(timedelta(seconds=8))
    writer.record(claim("a", fence=3), complete("a", fence=3))
    changes = [group.leases for (group,) in rig.store.calls["commit"]]
    released = Release(claim=lease("a"), delay=timedelta(seconds=8), floor=1)
    assert changes[0] == (released,)
    ((settlement,),) = changes[1:]
    assert isinstance(settlement, Settlement)
    assert settlement.claim == lease("a", fence=3)


def test_on_other_leases_the_append_carries_none(rig: Rig) -> None:
    writer = claimed(rig)
    writer.one(complete("a"))
    assert [group.leases for (group,) in rig.store.calls["commit"]] == [()]


# -------------------------------------------------------------------------------------------------------- going on


def at_moria(rig: Rig) -> Writer:
    writer = waiting_for_council(rig)
    writer.record(approve("a"), claim("a", "moria"))
    rig.leases.calls.clear()
    return writer


def go_on(road: str) -> Intent:
    """``moria`` has ended; its worker wants the next step too."""
    asked = complete("a", "moria")
    command = asked.command
    steps = frozenset({"lorien"})
    wish = NextClaim(owner="sam@1", claim_hash="next", lease=timedelta(seconds=60), steps=steps)

    def completion(now: Any) -> Any:
        made = command(now)
        return type(made)(
            **{name: getattr(made, name) for name in made.__struct_fields__}
            | {
                "then": wish,
                "output": {"moria": {"road": road}},
            }
        )

    asked.command = completion
    asked.following_id = ClaimId("next claim")
    return asked


def test_who_goes_on_is_handed_the_next_item_with_its_lease(rig: Rig) -> None:
    verdict = at_moria(rig).one(go_on("bridge"))
    assert kinds(verdict) == ["AttemptCompleted", "RouteTaken", "AttemptScheduled", "AttemptClaimed"]
    following = verdict.following
    assert following is not None
    assert (following.item, following.fence, following.claim_id) == ("a/lorien#1", 1, "next claim")
    ((settlement,),) = rig.leases.calls["settle"]
    assert (settlement.offers, settlement.handover.claim_id, settlement.handover.fence) == ((), "next claim", 1)
    assert settlement.handover.item.key == "a/lorien#1"
    audit(rig.store, "a")


def test_who_can_not_go_on_is_handed_nothing(rig: Rig) -> None:
    verdict = at_moria(rig).one(go_on("nowhere"))
    assert (kinds(verdict)[-1], verdict.following) == ("RunFailed", None)
