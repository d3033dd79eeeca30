"""A commit whose answer was lost is repeated as it was, and its outcome is known in the end (protocol 3.5.7)."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from squidmesh.errors import BackendUnavailable, CommitUnknown, DataRefused, ThreadsLocked
from squidmesh.ids import EntryId, ThreadId
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Answer, Append, Committed, Conflict, Group
from squidmesh.runtime.commit import Appender, Patience
from tests.unit.runtime.rig import Rig

AWAY = BackendUnavailable("the store is away")
LOST = CommitUnknown("the answer was lost")


def append(thread: str, expected: int = 0, *, entry: str = "mine") -> Append:
    return Append(
        thread=ThreadId(thread), expected_revision=expected, entry_id=EntryId(entry), body=b"{}", rows=RowChanges()
    )


def group(*threads: str, expected: int = 0, entry: str = "mine") -> Group:
    return Group(appends=tuple(append(thread, expected, entry=entry) for thread in threads))


def commit(rig: Rig, *groups: Group, patience: Patience | None = None) -> list[Answer | ThreadsLocked]:
    return Appender(rig.store, patience or Patience(timedelta(0))).commit(groups)


def ids(rig: Rig, thread: str) -> list[str]:
    """The entry ids of a thread."""
    found = [rig.journal.entry(ThreadId(thread), revision) for revision in range(1, 9)]
    return [entry.entry_id for entry in found if entry is not None]


def tries(rig: Rig) -> list[Sequence[Group]]:
    return list(rig.store.calls["commit"])


# ----------------------------------------------------------------------------------------------- known outcomes


def test_a_commit_that_is_answered_is_not_repeated_or_looked_up(rig: Rig) -> None:
    assert commit(rig, group("a"), group("b", expected=3)) == [Committed(), Conflict(thread=ThreadId("b"), revision=0)]
    assert len(tries(rig)) == 1
    assert rig.store.calls["entry"] == []


def test_while_the_store_is_away_the_same_commit_is_tried_again(rig: Rig) -> None:
    rig.store.fail("commit", AWAY, AWAY, AWAY)
    assert commit(rig, group("a"), patience=Patience(None)) == [Committed()]
    assert len(tries(rig)) == 4
    assert all(tried == tries(rig)[0] for tried in tries(rig))
    assert rig.store.calls["entry"] == [], "nothing was unknown"


def test_data_that_the_store_refuses_is_not_tried_again(rig: Rig) -> None:
    rig.store.fail("commit", DataRefused("no"))
    with pytest.raises(DataRefused):
        commit(rig, group("a"), patience=Patience(None))
    assert len(tries(rig)) == 1


# --------------------------------------------------------------------------------------------- unknown outcomes


def test_a_commit_whose_answer_was_lost_after_it_happened_is_found_to_be_committed(rig: Rig) -> None:
    rig.store.fail("commit", LOST, after=True)
    assert commit(rig, group("a")) == [Committed()]
    assert ids(rig, "a") == ["mine"], "once"
    assert [tuple(tried) for tried in tries(rig)] == [(group("a"),)] * 2, "the same append"


def test_a_commit_whose_answer_was_lost_before_it_happened_is_committed_by_the_repetition(rig: Rig) -> None:
    rig.store.fail("commit", LOST)
    assert commit(rig, group("a")) == [Committed()]
    assert ids(rig, "a") == ["mine"]
    assert rig.store.calls["entry"] == [], "success needs no look"


def test_a_place_that_another_writer_took_meanwhile_is_a_conflict(rig: Rig) -> None:
    rig.store.fail("commit", LOST)
    rig.journal.commit([group("a", entry="another's")])
    assert commit(rig, group("a")) == [Conflict(thread=ThreadId("a"), revision=1)]
    assert ids(rig, "a") == ["another's"]


def test_it_is_found_even_if_others_have_written_after_it(rig: Rig) -> None:
    def before_the_first() -> None:
        rig.journal.before_commit = before_the_second

    def before_the_second() -> None:
        rig.journal.commit([group("a", expected=1, entry="another's")])

    rig.journal.before_commit = before_the_first
    rig.store.fail("commit", LOST, after=True)
    assert commit(rig, group("a")) == [Committed()]
    assert ids(rig, "a") == ["mine", "another's"]


def test_each_group_of_a_batch_has_its_own_outcome(rig: Rig) -> None:
    rig.journal.commit([group("taken", entry="another's")])
    rig.store.fail("commit", LOST, after=True)
    answers = commit(rig, group("a"), group("taken"), group("b"))
    assert answers == [Committed(), Conflict(thread=ThreadId("taken"), revision=1), Committed()]
    assert (ids(rig, "a"), ids(rig, "taken"), ids(rig, "b")) == (["mine"], ["another's"], ["mine"])


def test_a_group_of_several_threads_is_judged_by_the_thread_that_conflicts(rig: Rig) -> None:
    rig.store.fail("commit", LOST, after=True)
    assert commit(rig, group("a", "b")) == [Committed()]
    assert (ids(rig, "a"), ids(rig, "b")) == (["mine"], ["mine"])


def test_the_look_is_as_patient_as_the_commit(rig: Rig) -> None:
    rig.store.fail("commit", LOST, after=True)
    rig.store.fail("entry", AWAY, AWAY)
    assert commit(rig, group("a"), patience=Patience(None)) == [Committed()]


# ------------------------------------------------------------------------------------------------- locked threads


def locked(*threads: str) -> ThreadsLocked:
    return ThreadsLocked("somebody holds them", threads=threads)


def test_who_has_no_end_of_patience_goes_on_without_the_locked_groups(rig: Rig) -> None:
    error, other = locked("b", "elsewhere"), locked("d")
    rig.store.fail("commit", error, other)
    answers = commit(rig, group("a"), group("b", "c"), group("d"), group("e"), patience=Patience(None))
    assert answers == [Committed(), error, other, Committed()]
    assert [ids(rig, thread) for thread in "abcde"] == [["mine"], [], [], [], ["mine"]]


def test_what_an_earlier_answer_left_unknown_is_known_of_all_but_the_locked(rig: Rig) -> None:
    error = locked("b")
    rig.store.fail("commit", LOST, after=True)
    rig.store.fail("commit", error)
    assert commit(rig, group("a"), group("b"), patience=Patience(None)) == [Committed(), error]
    assert ids(rig, "a") == ["mine"]


def test_when_all_are_locked_nothing_is_asked_again(rig: Rig) -> None:
    error = locked("a")
    rig.store.fail("commit", error)
    assert commit(rig, group("a"), patience=Patience(None)) == [error]
    assert len(tries(rig)) == 1


def test_a_caller_waits_for_the_lock_as_for_anything_else(rig: Rig) -> None:
    rig.store.fail("commit", locked("a"), locked("a"))
    assert commit(rig, group("a"), patience=Patience(timedelta(seconds=60))) == [Committed()]
    rig.store.fail("commit", locked("b"), locked("b"))
    with pytest.raises(ThreadsLocked):
        commit(rig, group("b"))


# ---------------------------------------------------------------------------------------------- patience's end


def test_when_patience_ends_nothing_was_written_where_the_store_was_only_away(rig: Rig) -> None:
    rig.store.fail("commit", AWAY, AWAY, AWAY)
    with pytest.raises(BackendUnavailable):
        commit(rig, group("a"))
    assert ids(rig, "a") == []


def test_when_patience_ends_after_a_lost_answer_the_outcome_stays_unknown(rig: Rig) -> None:
    rig.store.fail("commit", LOST, after=True)
    rig.store.fail("commit", AWAY, AWAY)
    with pytest.raises(CommitUnknown, match="an earlier answer was lost"):
        commit(rig, group("a"))
    assert ids(rig, "a") == ["mine"]


def test_who_is_told_to_give_up_gives_up(rig: Rig) -> None:
    left = [False, False, True]
    rig.store.fail("commit", *[AWAY] * 9)
    with pytest.raises(BackendUnavailable):
        commit(rig, group("a"), patience=Patience(None, give_up=lambda: left.pop(0)))
    assert left == []


def test_every_error_but_the_last_is_noticed(rig: Rig) -> None:
    noticed: list[BaseException] = []
    rig.store.fail("commit", AWAY, LOST, AWAY)
    assert commit(rig, group("a"), patience=Patience(None, notice=noticed.append)) == [Committed()]
    assert [type(error).__name__ for error in noticed] == ["BackendUnavailable", "CommitUnknown", "CommitUnknown"]
