"""Child runs: one a key (I12), under the parent's claim (I4); their ends are heard once, and open what waits."""

from __future__ import annotations

import pytest

from squidmesh import define
from squidmesh.errors import NotAllowed, StaleClaim
from squidmesh.ids import child_run_id
from squidmesh.journal.facts import ChildEnded, ChildStarted, ParentRun
from squidmesh.journal.rows import TimerRow
from squidmesh.workflow.authoring import Workflow, manual, pause, step, wait_for_children
from tests.unit.planning.errand import RUN, SECOND, Empty, Errander, kinds, walk


class Scouts(Workflow):
    version = "1"
    leave = manual(Empty)
    send = step(walk)
    back = wait_for_children(output="back")
    again = wait_for_children(output="again")
    home = step(walk)
    flow = send >> back >> again >> home


SCOUTS = define(Scouts)


def sending(*keys: str) -> Errander:
    run = Errander(SCOUTS)
    run.claim("send")
    for key in keys:
        run.start_child("send", key)
    return run


def waiting(*keys: str) -> Errander:
    run = sending(*keys)
    run.complete("send")
    return run


def child(key: str) -> str:
    return child_run_id(RUN, "send", key)


# --------------------------------------------------------------------------------------------------------- starting


def test_a_child_is_started_under_the_claim_of_its_step() -> None:
    run = Errander(SCOUTS)
    run.claim("send")
    (fact,) = run.start_child("send", "north")
    assert fact == ChildStarted(
        at=0, step="send", attempt=1, fence=1, key="north", run_id=child("north"), workflow="Scouting"
    )


def test_the_same_key_starts_nothing_again_in_this_attempt_or_a_later_one() -> None:
    run = sending("north")
    assert run.start_child("send", "north") == []
    run.claim("send")
    assert run.start_child("send", "north") == []
    assert kinds(run.start_child("send", "south")) == ["ChildStarted"]
    assert list(run.state.children) == [child("north"), child("south")]


def test_a_child_that_has_ended_is_not_started_again() -> None:
    run = sending("north")
    run.child_ends("send", "north", "failed")
    assert run.start_child("send", "north") == []


@pytest.mark.parametrize("known", [(), ("north",)])
def test_a_stale_claim_starts_no_child(known: tuple[str, ...]) -> None:
    run = sending(*known)
    run.claim("send")
    with pytest.raises(StaleClaim):
        run.start_child("send", "north", fence=1)


@pytest.mark.parametrize("end", ["release", "fail", "complete", "cancel"])
def test_who_has_ended_its_claim_starts_no_child(end: str) -> None:
    run = sending()
    run.cancel() if end == "cancel" else getattr(run, end)("send")
    with pytest.raises(StaleClaim):
        run.start_child("send")


def test_a_run_that_fails_starts_no_child_any_more() -> None:
    class Two(Workflow):
        version = "1"
        leave = manual(Empty)
        send = step(walk)
        other = step(walk)
        join = step(walk, after=[send, other])

    run = Errander(define(Two))
    run.claim("send")
    run.start_child("send", "north")
    run.give_up("other")
    assert run.state.phase == "failing"
    with pytest.raises(NotAllowed, match="is failing"):
        run.start_child("send", "south")
    assert run.start_child("send", "north") == [], "which is there"


# ---------------------------------------------------------------------------------------------------------- waiting


def test_where_no_child_is_open_nobody_is_waited_for() -> None:
    run = sending("north")
    run.child_ends("send", "north", "failed")
    facts = run.complete("send")
    assert kinds(facts)[1:] == [
        *["RouteTaken", "ChildrenAwaited", "ChildrenEnded"] * 2,
        "RouteTaken",
        "AttemptScheduled",
    ]
    assert run.state.open_steps == ["home"]


def test_the_last_child_opens_the_gate_and_not_one_before() -> None:
    run = waiting("north", "south", "east")
    assert kinds(run.child_ends("send", "south")) == ["ChildEnded"]
    assert kinds(run.child_ends("send", "north", "failed")) == ["ChildEnded"]
    assert run.state.open_gates == ["back"]
    assert kinds(run.child_ends("send", "east", "cancelled"))[:2] == ["ChildEnded", "ChildrenEnded"]
    told = run.state.context()["back"]
    assert (told["completed"], told["failed"], told["cancelled"]) == (1, 1, 1)
    assert told["runs"][0] == {
        "run_id": child("north"),
        "workflow": "Scouting",
        "step": "send",
        "key": "north",
        "status": "failed",
    }
    assert [one["status"] for one in told["runs"]] == ["failed", "completed", "cancelled"]


def test_a_gate_that_the_end_of_the_last_child_leads_to_opens_with_it() -> None:
    run = waiting("north")
    run.child_ends("send", "north")
    assert run.state.open_steps == ["home"]
    assert run.state.outputs["again"] == run.state.outputs["back"]
    assert run.state.outputs["again"]["completed"] == 1


def test_every_gate_that_waits_for_children_opens_at_once() -> None:
    class Both(Workflow):
        version = "1"
        leave = manual(Empty)
        send = step(walk)
        rest = pause(after=[send])
        back = wait_for_children(after=[send])
        again = wait_for_children(after=[rest])
        home = step(walk, after=[back, again])

    run = Errander(define(Both))
    run.claim("send")
    run.start_child("send")
    run.complete("send")
    run.resume()
    assert run.state.open_gates == ["back", "again"]
    run.child_ends("send")
    assert run.state.open_steps == ["home"]


def test_the_end_of_a_child_is_heard_once() -> None:
    run = waiting("north", "south")
    (heard,) = run.child_ends("send", "north", "failed")
    assert heard == ChildEnded(at=0, run_id=child("north"), status="failed", signal=f"{child('north')}!ended")
    with pytest.raises(NotAllowed):
        run.child_ends("send", "north", "failed")
    assert run.heard == [f"{child('north')}!ended"]


def test_the_end_of_a_stranger_is_not_heard() -> None:
    with pytest.raises(NotAllowed):
        waiting("north").child_ends("send", "west")


def test_a_run_that_has_ended_listens_no_more() -> None:
    run = waiting("north")
    run.cancel()
    with pytest.raises(NotAllowed):
        run.child_ends("send", "north")


# ---------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_child_tells_its_parent_how_it_ended(status: str) -> None:
    run = Errander(SCOUTS, parent=ParentRun(run_id="1a", step="send", key="k"))
    run.later(3)
    assert run.signals == {}
    if status == "cancelled":
        run.cancel()
    elif status == "failed":
        run.give_up("send")
    else:
        run.do("send")
        run.do("home")
    assert run.state.phase == status
    assert run.signals == {
        f"{RUN}!ended": TimerRow(
            timer=f"{RUN}!ended",
            run_id="1a",  # type: ignore[arg-type]
            kind="child_ended",
            due_at=3 * SECOND,
            sender=RUN,
            detail=status,
        )
    }


def test_a_cancelled_run_cancels_the_children_that_are_open() -> None:
    run = waiting("north", "south", "east")
    run.child_ends("send", "south")
    run.later(2)
    run.cancel()
    assert {(row.timer, row.run_id, row.kind, row.due_at, row.sender) for row in run.signals.values()} == {
        (f"{child(key)}!cancel", child(key), "cancel", 2 * SECOND, RUN) for key in ("north", "east")
    }


def test_children_may_be_left_alone() -> None:
    run = waiting("north")
    run.cancel(children="leave")
    assert run.signals == {}


def test_a_failure_leaves_children_alone() -> None:
    run = sending("north")
    run.fail("send", retryable=False)
    assert (run.state.phase, run.signals) == ("failed", {})


def test_a_cancel_that_follows_the_word_of_a_parent_closes_its_signal() -> None:
    run = Errander(SCOUTS, parent=ParentRun(run_id="1a", step="send", key="k"))
    run.cancel(signal=f"{RUN}!cancel")
    assert f"{RUN}!cancel" in run.changed.drop_timers
    assert list(run.signals) == [f"{RUN}!ended"], "and the parent hears of it"
