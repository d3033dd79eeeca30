"""What a journal store promises to whoever makes its rows again from the threads (protocol 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from squidmesh.errors import InvalidInput
from squidmesh.ids import RunId, ThreadId
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import PausedQueueRow, RowChanges, ThreadRows
from squidmesh.ports.journal_store import Committed, JournalStore, Replacement, RunQuery, ThreadAt
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import (
    alone,
    attempt_row,
    dead_letter_row,
    run_row,
    thread_id,
    timer_row,
)

PAUSED = PausedQueueRow(queue="slow", actor="sam", comment="second breakfast", paused_at=7)


def of(name: str) -> dict[str, object]:
    """Every kind of row that a run may have, named as the core names them."""
    thread = thread_id(name)
    return {
        "run": run_row(name),
        "attempts": (attempt_row(name, 1, step="moria"), attempt_row(name, 2, step="pack")),
        "dead_letters": (dead_letter_row(name, step="bree"),),
        "timers": (
            timer_row(name, timer=f"{thread}!deadline"),
            timer_row(name, kind="child_ended", timer=f"{thread}!ended", sender=thread),
            timer_row(name, kind="gate", timer=f"{thread}/council!deadline", subject="council"),
        ),
    }


def rows(name: str) -> ThreadRows:
    return ThreadRows(thread=thread_id(name), **of(name))  # type: ignore[arg-type]


def changes(wanted: ThreadRows) -> RowChanges:
    return RowChanges(run=wanted.run, put=wanted.attempts, bury=wanted.dead_letters, set_timers=wanted.timers)


def at(name: str, revision: int) -> tuple[ThreadAt, ...]:
    return (ThreadAt(thread=thread_id(name), revision=revision),)


def walk(store: JournalStore, limit: int) -> list[ThreadAt]:
    found: list[ThreadAt] = []
    after: str | None = None
    for _ in range(1000):
        page = store.threads(after=after, limit=limit)
        found += page.threads
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages do not end")


def write(store: JournalStore, *names: str) -> None:
    store.commit([alone(name, rows=changes(rows(name))) for name in names])


def wipe(store: JournalStore, name: str, revision: int, found: ThreadRows) -> None:
    """Takes all of a thread's rows away."""
    none = RowChanges(
        remove=tuple(row.item for row in found.attempts),
        unbury=tuple(row.item for row in found.dead_letters),
        drop_timers=tuple(row.timer for row in found.timers),
        resume=(found.paused.queue,) if found.paused else (),
    )
    drop = found.run.run_id if found.run else None
    assert store.replace_rows([Replacement(at=at(name, revision), rows=none, drop_run=drop)]) == [True]


class ReindexSuite:
    """For every journal store. The fixture ``store`` is an empty one."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    # ------------------------------------------------------------------------------------------------- the threads

    @pytest.mark.parametrize("limit", [1, 2, 7, 1000])
    def test_every_thread_is_found_once_with_its_revision(self, store: JournalStore, limit: int) -> None:
        names = [f"hobbit-{number}" for number in range(9)]
        store.commit([alone(name) for name in names])
        store.commit([alone(name, 1) for name in names[:4]])
        expected = sorted((thread_id(name), 2 if name in names[:4] else 1) for name in names)
        assert [(one.thread, one.revision) for one in walk(store, limit)] == expected
        assert len(store.threads(limit=limit).threads) <= limit

    def test_there_may_be_none(self, store: JournalStore) -> None:
        assert walk(store, 10) == []

    @pytest.mark.parametrize("limit", [1, 3, 1000])
    def test_rows_of_no_thread_lead_to_its_name(self, store: JournalStore, limit: int) -> None:
        """Each kind of row by itself, beside one thread that is there and has the same kinds."""
        write(store, "frodo")
        lost = {
            "run": RowChanges(run=run_row("a-run")),
            "attempt": RowChanges(put=(attempt_row("an-attempt"),)),
            "letter": RowChanges(bury=(dead_letter_row("a-letter"),)),
            "timer": RowChanges(set_timers=(timer_row("a-timer", timer=f"{thread_id('a-timer')}!deadline"),)),
            "nonsense": RowChanges(set_timers=(timer_row("nobody", timer="nonsense"),)),
            "pause": RowChanges(pause=(PAUSED,)),
        }
        for number, change in enumerate(lost.values(), 1):
            store.commit([alone("frodo", number, rows=change)])
        expected = {thread_id(name) for name in ("a-run", "an-attempt", "a-letter", "a-timer")}
        expected |= {ThreadId("nonsense"), queue_thread("slow")}
        first, *others = walk(store, limit)
        assert (first.thread, first.revision) == (thread_id("frodo"), 1 + len(lost))
        assert {one.thread for one in others} == expected
        assert {one.revision for one in others} == {0}

    @pytest.mark.parametrize("bad", ["nonsense", "\xbf:x", "0:", ""])
    def test_a_cursor_is_the_next_of_a_page(self, store: JournalStore, bad: str) -> None:
        with pytest.raises(InvalidInput, match="allowed is the next of a page") as caught:
            store.threads(after=bad)
        assert caught.value.field == "after"

    # ---------------------------------------------------------------------------------------------------- the rows

    def test_all_rows_under_a_name_are_found_and_no_others(self, store: JournalStore) -> None:
        write(store, "frodo", "sam")
        store.commit([alone("slow", rows=RowChanges(pause=(PAUSED,)))])
        asked = [thread_id("sam"), queue_thread("slow"), thread_id("nobody"), thread_id("frodo")]
        nothing = ThreadRows(thread=thread_id("nobody"))
        paused = ThreadRows(thread=queue_thread("slow"), paused=PAUSED)
        assert store.rows_of(asked) == [rows("sam"), paused, nothing, rows("frodo")]
        assert store.rows_of([]) == []

    def test_names_that_begin_alike_are_kept_apart(self, store: JournalStore) -> None:
        """Of threads and of rows that no core would name so."""
        odd = ("a", "a-b", "a b", "a0", 'a"', "a!", "aa")
        named = [timer_row("nobody", timer=f"{name}!deadline") for name in odd]
        named += [timer_row("nobody", timer=name) for name in ("a", "ab", "a/b")]
        store.commit([alone("frodo", rows=RowChanges(set_timers=tuple(named)))])
        (found, other) = store.rows_of([ThreadId("a"), ThreadId("a-b")])
        assert [row.timer for row in found.timers] == ["a", "a!!deadline", "a!deadline", "a/b"]
        assert [row.timer for row in other.timers] == ["a-b!deadline"]

    # --------------------------------------------------------------------------------------------------- replacing

    def test_rows_of_every_kind_are_taken_away_and_put_back(self, store: JournalStore) -> None:
        write(store, "frodo", "sam")
        (found,) = store.rows_of([thread_id("frodo")])
        wipe(store, "frodo", 1, found)
        assert store.rows_of([thread_id("frodo")]) == [ThreadRows(thread=thread_id("frodo"))]
        assert store.run_row(thread_id("frodo")) is None
        assert store.rows_of([thread_id("sam")]) == [rows("sam")], "of others nothing is taken"
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=changes(found))]) == [True]
        assert store.rows_of([thread_id("frodo")]) == [found] == [rows("frodo")]
        assert {str(row.run_id) for row in store.runs(RunQuery()).rows} == {thread_id("frodo"), thread_id("sam")}

    def test_what_never_changes_by_itself_is_replaced_too(self, store: JournalStore) -> None:
        write(store, "frodo")
        wrong = RowChanges(
            run=run_row("frodo", 9, workflow="Nonsense", key="k", queue="mordor"),
            put=(attempt_row("frodo", 2, step="pack", run_id=RunId("x"), queue="mordor"),),
        )
        right = RowChanges(run=rows("frodo").run, put=rows("frodo").attempts[1:])
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=wrong)]) == [True]
        (found,) = store.rows_of([thread_id("frodo")])
        assert (found.run, found.attempts[1]) == (wrong.run, wrong.put[0])
        assert store.agenda_queues() == ["default", "mordor"]
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=right)]) == [True]
        assert store.rows_of([thread_id("frodo")]) == [rows("frodo")]
        assert store.agenda_queues() == ["default"]
        assert [row.run_id for row in store.runs(RunQuery(queue="default", workflow="RingErrand")).rows]
        assert store.runs(RunQuery(queue="mordor")).rows == ()

    def test_a_thread_that_has_moved_on_is_left_alone_and_the_others_are_not(self, store: JournalStore) -> None:
        write(store, "frodo", "sam")
        store.commit([alone("frodo", 1)])
        asked = [
            Replacement(at=at(name, 1), rows=RowChanges(run=run_row(name, status="failed")))
            for name in ("frodo", "sam")
        ]
        assert store.replace_rows(asked) == [False, True]
        (frodo, sam) = store.rows_of([thread_id("frodo"), thread_id("sam")])
        assert (frodo.run.status, sam.run.status) == ("running", "failed")  # type: ignore[union-attr]
        assert store.replace_rows([]) == []

    @pytest.mark.parametrize("moved", [(2, 1), (1, 2), (0, 1), (1, 0)])
    def test_all_threads_that_it_follows_from_are_compared(self, store: JournalStore, moved: Sequence[int]) -> None:
        write(store, "frodo", "sam")
        compared = tuple(
            one for name, revision in zip(("frodo", "sam"), moved, strict=True) for one in at(name, revision)
        )
        dropped = RowChanges(drop_timers=(f"{thread_id('frodo')}!ended",))
        assert store.replace_rows([Replacement(at=compared, rows=dropped)]) == [False]
        assert store.rows_of([thread_id("frodo")]) == [rows("frodo")]
        both = (*at("frodo", 1), *at("sam", 1))
        assert store.replace_rows([Replacement(at=both, rows=dropped)]) == [True]
        assert store.rows_of([thread_id("frodo")]) != [rows("frodo")]

    def test_a_thread_that_begins_meanwhile_keeps_its_rows(self, store: JournalStore) -> None:
        gone = RowChanges(remove=tuple(row.item for row in rows("frodo").attempts))
        write(store, "frodo")
        asked = Replacement(at=at("frodo", 0), rows=gone, drop_run=RunId(thread_id("frodo")))
        assert store.replace_rows([asked]) == [False]
        assert store.rows_of([thread_id("frodo")]) == [rows("frodo")]

    def test_a_paused_queue_is_put_and_taken_away(self, store: JournalStore) -> None:
        thread = queue_thread("slow")
        own = (ThreadAt(thread=thread, revision=0),)
        assert store.replace_rows([Replacement(at=own, rows=RowChanges(pause=(PAUSED,)))]) == [True]
        assert store.paused_queues() == [PAUSED]
        assert store.replace_rows([Replacement(at=own, rows=RowChanges(resume=("slow",)))]) == [True]
        assert store.paused_queues() == []

    # --------------------------------------------------------------------------------------------------- reconciler

    def test_what_is_put_is_found_as_a_change(self, store: JournalStore) -> None:
        write(store, "frodo", "sam")
        store.track_changes()
        mark = store.position()
        put = rows("frodo").attempts
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=RowChanges(put=put))]) == [True]
        assert store.position() > mark
        assert {row.item for row in store.changed("default", since=mark).rows} == {row.item for row in put}

    def test_what_is_not_put_is_no_change(self, store: JournalStore) -> None:
        write(store, "frodo")
        store.track_changes()
        mark = store.position()
        asked = Replacement(at=at("frodo", 1), rows=RowChanges(run=run_row("frodo", status="failed")))
        assert store.replace_rows([asked]) == [True]
        assert store.changed("default", since=mark).rows == ()

    def test_every_page_of_the_agenda_still_misses_nothing(self, store: JournalStore) -> None:
        """Rows that are put again do not stand in the same place as others."""
        many = tuple(attempt_row("frodo", number) for number in range(1, 9))
        store.commit([alone("frodo", rows=RowChanges(put=many))])
        lost = RowChanges(remove=tuple(row.item for row in many[::2]))
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=lost)]) == [True]
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=RowChanges(put=many[::2]))]) == [True]
        found: list[int] = []
        after: str | None = None
        while True:
            page = store.agenda("default", after=after, limit=1)
            found += [row.attempt for row in page.rows]
            after = page.next
            if after is None:
                break
        assert sorted(found) == [row.attempt for row in many]

    def test_the_next_entry_goes_on_from_the_rows_that_were_put(self, store: JournalStore) -> None:
        write(store, "frodo")
        (found,) = store.rows_of([thread_id("frodo")])
        wipe(store, "frodo", 1, found)
        assert store.replace_rows([Replacement(at=at("frodo", 1), rows=changes(found))]) == [True]
        closing = RowChanges(run=run_row("frodo", status="completed"), remove=(found.attempts[0].item,))
        assert store.commit([alone("frodo", 1, rows=closing)]) == [Committed()]
        assert [row.step for row in store.agenda("default").rows] == ["pack"]
