"""The rows that a thread implies beside its own: what a child and its parent have to say to each other (I13)."""

import pytest
from msgspec import structs

from squidmesh.ids import ThreadId
from squidmesh.journal.facts import ParentRun
from squidmesh.journal.rows import ThreadRows
from squidmesh.journal.state import RunState
from squidmesh.planning.reindex import Parent, difference, open_signals, rows_of_run
from tests.unit.planning.errand import RUN, Errander, at
from tests.unit.planning.test_children import child, sending

NORTH = child("north")


def north(end: str | None = None) -> RunState:
    """The child that ``sending("north")`` has started."""
    run = Errander()
    if end == "cancelled":
        run.cancel()
    elif end == "failed":
        run.give_up("pack")
    return structs.replace(run.state, run_id=NORTH, parent=ParentRun(run_id=RUN, step="send", key="north"))


def said(state: RunState, parent: Parent | None) -> list[str]:
    return [signal.timer for signal in open_signals(state, parent)]


def test_what_is_no_child_has_nothing_to_say() -> None:
    assert said(at("pack").state, None) == []


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_an_end_is_said_until_it_is_heard(end: str) -> None:
    parent = sending("north")
    state = north(end)
    (signal,) = open_signals(state, Parent(state=parent.state))
    assert (signal.timer, signal.run_id, signal.kind) == (f"{NORTH}!ended", RUN, "child_ended")
    assert (signal.sender, signal.detail, signal.due_at) == (NORTH, end, state.ended_at)
    parent.child_ends("send", "north", end)
    assert said(state, Parent(state=parent.state)) == []


def test_a_child_that_goes_on_says_nothing() -> None:
    assert said(north(), Parent(state=sending("north").state)) == []


def test_a_parent_that_has_ended_or_is_gone_or_knows_of_no_such_child_is_told_nothing() -> None:
    parent = sending("north")
    parent.cancel()
    assert said(north("failed"), Parent(state=parent.state, cancels=True)) == []
    assert said(north("failed"), Parent(state=None)) == []
    assert said(north("failed"), Parent(state=sending("south").state)) == []


@pytest.mark.parametrize("cancels", [True, False])
def test_a_cancel_is_said_to_the_children_that_it_means_and_go_on(cancels: bool) -> None:
    parent = sending("north", "south")
    parent.child_ends("send", "south")
    parent.cancel(children="cancel" if cancels else "leave")
    its = Parent(state=parent.state, cancels=cancels)
    assert said(north(), its) == ([f"{NORTH}!cancel"] if cancels else [])
    if cancels:
        (signal,) = open_signals(north(), its)
        assert signal == parent.signals[f"{NORTH}!cancel"], "the very row that its commit has set"
    south = structs.replace(north(), run_id=child("south"))
    assert said(south, its) == [], "its end was heard"


def test_what_fails_is_not_cancelled() -> None:
    parent = sending("north")
    parent.cancel()
    failing = structs.replace(north(), phase="failing")
    assert said(failing, Parent(state=parent.state, cancels=True)) == []


@pytest.mark.parametrize("end", [None, "cancelled"])
def test_where_the_parent_can_not_be_read_signals_stay_as_they_stand(end: str | None) -> None:
    parent = sending("north")
    (signal,) = open_signals(north("cancelled"), Parent(state=parent.state))
    strange = structs.replace(signal, timer=f"{NORTH}!cancel")
    unreadable = Parent(state=None, readable=False)
    for standing in ((), (signal,), (strange, signal)):
        there = ThreadRows(thread=ThreadId(NORTH), timers=standing)
        wanted = rows_of_run(north(end), unreadable, there)
        assert tuple(timer for timer in wanted.timers if timer.sender) == standing


def test_what_differs_is_counted_once() -> None:
    state = at("pack").state
    wanted = rows_of_run(state, None, ThreadRows(thread=ThreadId(RUN)))
    assert wanted.run is not None
    (attempt,) = wanted.attempts
    strange = structs.replace(attempt, item=f"{RUN}/nowhere#1")
    wrong = structs.replace(wanted, run=structs.replace(wanted.run, status="failed"), attempts=(strange,))
    found = difference(wrong, wanted)
    assert (found.put, found.removed, found.changed, found.drop_run) == (1, 1, 1, None)
    assert (found.rows.run, found.rows.put, found.rows.remove) == (wanted.run, (attempt,), (strange.item,))
    assert not difference(wanted, wanted)
    nothing = difference(wrong, ThreadRows(thread=ThreadId(RUN)))
    assert (nothing.removed, nothing.drop_run, nothing.rows.run) == (2, RUN, None)
