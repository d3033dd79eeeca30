"""3.5.5: when an attempt is given up, what operators may do about it, and what follows from that (I8, I16)."""

from datetime import timedelta

import pytest
from msgspec import structs

from squidmesh.errors import ClaimRefused, KeyReused, NotFound, NotWaiting, StaleClaim
from squidmesh.ids import claim_hash
from squidmesh.journal.facts import (
    AttemptClaimed,
    AttemptDeadLettered,
    CommandRepeated,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
    RouteTaken,
    RunFailed,
)
from squidmesh.planning.commands import DiscardDeadLetter, RecordLoss, ReplayDeadLetter
from squidmesh.planning.rows import changes, rebuild
from tests.unit.planning.errand import DEFINITION, SECOND, Errander, at


def lapse(told: Errander, times: int, *, step: str = "pack") -> None:
    """So many deliveries whose holder is never heard of again; the last one is still recorded."""
    for _ in range(times):
        told.claim(step)


def replay(told: Errander, step: str = "pack", attempt: int = 1, *, key: str | None = None) -> ReplayDeadLetter:
    return ReplayDeadLetter(now=told.now, step=step, attempt=attempt, actor="elrond", comment="mended", key=key)


def discard(told: Errander, step: str = "pack", attempt: int = 1, *, key: str | None = None) -> DiscardDeadLetter:
    return DiscardDeadLetter(now=told.now, step=step, attempt=attempt, actor="elrond", reason="too deep", key=key)


def lose(told: Errander, step: str = "pack", *, fence: int | None = None) -> RecordLoss:
    number = told.state.runnables[step].fence if fence is None else fence
    return RecordLoss(
        now=told.now,
        step=step,
        attempt=told.state.runnables[step].attempt,
        claim_hash=claim_hash(f"claim {number}"),
        fence=number,
        cause="signal 9 (SIGKILL)",
        delay=timedelta(seconds=1),
    )


def given_up() -> Errander:
    told = Errander()
    lapse(told, 6)
    return told


# ------------------------------------------------------------------------------------------------------- giving up


def test_after_the_last_allowed_loss_the_claim_becomes_a_dead_letter() -> None:
    """Five may be lost: the sixth grant finds it out, and does not run."""
    told = Errander()
    for number in range(1, 6):
        (fact,) = told.claim("pack")
        assert isinstance(fact, AttemptClaimed), f"delivery {number}"
    (dead,) = told.claim("pack")
    assert isinstance(dead, AttemptDeadLettered)
    assert (dead.lost, dead.fence, dead.cause, dead.owner) == (5, 6, "lost_deliveries", "sam@1")
    runnable = told.state.runnables["pack"]
    assert (runnable.status, runnable.lost, runnable.claim) == ("dead", 5, None)
    assert told.state.status(told.now) == "waiting"  # type: ignore[arg-type]
    assert told.state.standing_at() == "pack"


def test_a_loss_that_its_worker_reports_counts_as_one_that_lapsed() -> None:
    told = Errander()
    for _ in range(5):
        told.claim("pack")
        (fact,) = told.tell(lose(told))
        assert isinstance(fact, DeliveryLost)
        told.now += SECOND
    (dead,) = told.claim("pack")
    assert isinstance(dead, AttemptDeadLettered)
    assert (dead.lost, dead.detail) == (5, "signal 9 (SIGKILL)")


def test_a_loss_makes_the_attempt_visible_again_later() -> None:
    told = Errander()
    told.claim("pack")
    told.tell(lose(told))
    runnable = told.state.runnables["pack"]
    assert (runnable.status, runnable.lost, runnable.visible_at) == ("scheduled", 1, told.now + SECOND)
    with pytest.raises(ClaimRefused, match="not visible yet"):
        told.claim("pack")


def test_a_loss_is_reported_under_the_current_claim_only() -> None:
    told = Errander()
    told.claim("pack")
    told.claim("pack")
    with pytest.raises(StaleClaim):
        told.tell(lose(told, fence=1))


@pytest.mark.parametrize(("lapsed", "given"), [(14, False), (15, True)])
def test_what_nobody_could_even_record_is_given_up_later(lapsed: int, given: bool) -> None:
    told = Errander()
    command = told.to_claim("pack")
    (fact,) = told.tell(structs.replace(command, lapsed=lapsed))
    assert isinstance(fact, AttemptDeadLettered) is given
    if isinstance(fact, AttemptDeadLettered):
        assert (fact.cause, fact.lost, fact.lapsed) == ("lost_before_recording", 0, 15)


def test_a_wait_that_is_over_is_never_given_up() -> None:
    told = Errander()
    told.claim("pack")
    told.complete("pack")
    told.now += 100 * SECOND
    facts = told.tell(structs.replace(told.to_claim("rest"), lapsed=99))
    assert not any(isinstance(fact, AttemptDeadLettered) for fact in facts)


def test_nothing_of_a_dead_letter_can_be_claimed_or_completed() -> None:
    told = given_up()
    with pytest.raises(ClaimRefused) as refused:
        told.claim("pack", fence=7)
    assert refused.value.settle
    with pytest.raises(StaleClaim):
        told.complete("pack")


def test_its_rows_say_so() -> None:
    told = Errander()
    lapse(told, 5)
    facts = told.claim("pack")
    found = changes(None, facts, told.state)
    assert found.put == ()
    assert [str(item).partition("/")[2] for item in found.remove] == ["pack#1"]
    assert [(row.step, row.lost, row.workflow) for row in found.bury] == [("pack", 5, told.state.workflow)]
    assert rebuild(told.state).bury == found.bury
    assert rebuild(told.state).put == ()


# ------------------------------------------------------------------------------------------------------- replaying


def test_a_replay_is_the_same_attempt_in_a_new_generation() -> None:
    told = given_up()
    (fact,) = told.tell(replay(told))
    assert fact == DeadLetterReplayed(
        at=told.now, step="pack", attempt=1, generation=1, visible_at=told.now, actor="elrond", comment="mended"
    )
    runnable = told.state.runnables["pack"]
    assert (runnable.status, runnable.attempt, runnable.generation, runnable.lost) == ("scheduled", 1, 1, 0)
    assert told.state.dead_steps == []
    found = changes(None, [fact], told.state)
    assert [row.generation for row in found.put] == [1]
    assert len(found.unbury) == 1
    assert found.bury == ()


def test_fences_go_on_growing_and_deliveries_count_anew() -> None:
    told = given_up()
    told.tell(replay(told))
    with pytest.raises(ClaimRefused):
        told.claim("pack", generation=0, fence=7)
    for fence in range(7, 12):
        (fact,) = told.claim("pack", generation=1, fence=fence)
        assert isinstance(fact, AttemptClaimed)
    (dead,) = told.claim("pack", generation=1, fence=12)
    assert isinstance(dead, AttemptDeadLettered)
    assert dead.lost == 5


def test_a_replayed_attempt_can_complete() -> None:
    told = given_up()
    told.tell(replay(told))
    told.claim("pack", generation=1)
    told.complete("pack")
    assert told.state.runnables["pack"].status == "completed"


# ------------------------------------------------------------------------------------------------------ discarding


def test_a_discard_fails_the_run_where_no_error_route_leads_on() -> None:
    told = given_up()
    discarded, failed = told.tell(discard(told))
    assert isinstance(discarded, DeadLetterDiscarded)
    assert (discarded.actor, discarded.reason, discarded.error.code) == ("elrond", "too deep", "dead_letter_discarded")
    assert isinstance(failed, RunFailed)
    assert told.state.phase == "failed"
    assert told.state.runnables["pack"].error == discarded.error


def test_a_discard_takes_the_error_route() -> None:
    source = next(route.source for route in DEFINITION.routes if route.on == "error")
    told = at(source)
    lapse(told, 6, step=source)
    facts = told.tell(discard(told, source, told.state.runnables[source].attempt))
    assert [type(fact) for fact in facts[:2]] == [DeadLetterDiscarded, RouteTaken]
    assert told.state.phase == "open"


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("deed", [replay, discard])
def test_only_what_is_dead_can_be_moved(deed) -> None:
    told = Errander()
    with pytest.raises(NotWaiting, match="pack#1 is no dead letter; it is scheduled"):
        told.tell(deed(told))
    with pytest.raises(NotFound, match="no attempt pack#2"):
        told.tell(deed(told, attempt=2))
    with pytest.raises(NotFound, match="no attempt nowhere#1"):
        told.tell(deed(told, "nowhere"))


@pytest.mark.parametrize("deed", [replay, discard])
def test_the_same_key_again_changes_nothing_but_a_count(deed) -> None:
    told = given_up()
    other = discard if deed is replay else replay
    told.tell(deed(told, key="once"))
    ended = told.state.ended  # a discard, which no route leads on from
    assert told.tell(deed(told, key="once")) == ([] if ended else [CommandRepeated(at=0, key="once")])
    assert [it.repeats for it in told.state.commands] == [0 if ended else 1]
    with pytest.raises(KeyReused):
        told.tell(other(told, key="once"))
