"""What a journal store answers a reconciler (protocol 3.8): what is due, what has changed, and in which past."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from squidmesh.clock import Instant
from squidmesh.journal.rows import AttemptRow, RowChanges
from squidmesh.ports.journal_store import TOKENS_KEPT, AgendaPage, JournalStore, ThreadRead
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import alone, attempt_row, thread_id


def put(store: JournalStore, *rows: AttemptRow, remove: tuple[AttemptRow, ...] = ()) -> None:
    """One entry of frodo's thread, with these rows."""
    (history,) = store.read([ThreadRead(thread=thread_id("frodo"))], whole=True)
    changes = RowChanges(put=rows, remove=tuple(row.item for row in remove))
    store.commit([alone("frodo", len(history.tail), rows=changes)])


def all_pages(ask: Callable[[str | None], AgendaPage]) -> list[AttemptRow]:
    rows: list[AttemptRow] = []
    after: str | None = None
    for _ in range(1000):
        page = ask(after)
        rows += page.rows
        after = page.next
        if after is None:
            return rows
    raise AssertionError("the pages do not end")


def steps(rows: list[AttemptRow] | tuple[AttemptRow, ...]) -> list[str]:
    return [row.step for row in rows]


class AgendaSuite:
    """For every journal store. The fixture ``store`` is an empty one."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    def test_attempts_are_found_by_item(self, store: JournalStore) -> None:
        first, second = attempt_row("frodo", step="pack"), attempt_row("frodo", step="moria", owner="sam@1")
        put(store, first, second)
        asked = [second.item, attempt_row("sam").item]
        assert store.attempts(asked) == [second]
        assert store.attempts([]) == []

    def test_queues_with_open_attempts_are_named(self, store: JournalStore) -> None:
        assert store.agenda_queues() == []
        rows = [attempt_row("frodo", n, queue=queue) for n, queue in enumerate(["slow", "default", "slow"], 1)]
        put(store, *rows)
        assert store.agenda_queues() == ["default", "slow"]
        put(store, remove=(rows[1],))
        assert store.agenda_queues() == ["slow"]

    def test_a_queue_is_read_in_pages_that_miss_nothing(self, store: JournalStore) -> None:
        rows = [
            attempt_row(
                "frodo", n, step=f"s{n}", priority=n % 3, visible_at=n % 5, queue="slow" if n % 7 else "default"
            )
            for n in range(1, 60)
        ]
        put(store, *rows)
        expected = sorted(row.step for row in rows if row.queue == "slow")
        for limit in (1, 2, 7, 1000):
            found = all_pages(lambda after, limit=limit: store.agenda("slow", after=after, limit=limit))  # type: ignore[misc]
            assert sorted(steps(found)) == expected
        assert store.agenda("nowhere") == AgendaPage(rows=(), next=None)

    def test_a_full_last_page_is_the_last(self, store: JournalStore) -> None:
        put(store, *(attempt_row("frodo", n) for n in range(1, 5)))
        first = store.agenda("default", limit=2)
        assert first.next is not None
        assert store.agenda("default", after=first.next, limit=2).next is None

    def test_a_window_of_time_has_both_its_ends(self, store: JournalStore) -> None:
        put(store, *(attempt_row("frodo", n, visible_at=n, priority=n % 2) for n in range(1, 9)))
        found = all_pages(
            lambda after: store.agenda("default", since=Instant(3), until=Instant(6), after=after, limit=1)
        )
        assert sorted(row.visible_at for row in found) == [3, 4, 5, 6]
        assert {row.visible_at for row in store.agenda("default", until=Instant(2)).rows} == {1, 2}
        assert {row.visible_at for row in store.agenda("default", since=Instant(8)).rows} == {8}

    # ------------------------------------------------------------------------------------------------ what changed

    def test_nothing_is_tracked_until_somebody_asks(self, store: JournalStore) -> None:
        put(store, attempt_row("frodo"))
        assert store.position() == 0
        store.track_changes()
        assert store.position() > 0
        assert store.changed("default", since=0).rows == ()

    def test_what_is_written_is_found_from_the_position_before_it(self, store: JournalStore) -> None:
        store.track_changes()
        begin = store.position()
        put(store, attempt_row("frodo", 1))
        middle = store.position()
        put(store, attempt_row("frodo", 2))
        end = store.position()
        store.track_changes()

        assert begin < middle < end == store.position()
        assert [row.attempt for row in store.changed("default", since=begin).rows] == [1, 2]
        assert [row.attempt for row in store.changed("default", since=middle).rows] == [2]
        assert store.changed("default", since=end).rows == ()
        assert store.changed("slow", since=begin).rows == ()

    def test_a_row_that_is_written_again_has_changed_again(self, store: JournalStore) -> None:
        store.track_changes()
        put(store, attempt_row("frodo", 1), attempt_row("frodo", 2))
        mark = store.position()
        claimed = attempt_row("frodo", 1, owner="sam@1", claim_hash="c0ffee", lease=60, fence=1)
        put(store, claimed)
        assert store.changed("default", since=mark).rows == (claimed,)

    def test_a_closed_attempt_is_no_change_to_offer(self, store: JournalStore) -> None:
        store.track_changes()
        mark = store.position()
        put(store, attempt_row("frodo"))
        put(store, remove=(attempt_row("frodo"),))
        assert store.changed("default", since=mark).rows == ()

    def test_a_position_is_never_used_again(self, store: JournalStore) -> None:
        """Else what is written after the last row was closed would stand below a cursor that has passed it."""
        store.track_changes()
        put(store, attempt_row("frodo", 1))
        mark = store.position()
        put(store, remove=(attempt_row("frodo", 1),))
        put(store, attempt_row("frodo", 2))
        assert [row.attempt for row in store.changed("default", since=mark).rows] == [2]

    def test_changes_come_in_pages_that_miss_nothing(self, store: JournalStore) -> None:
        store.track_changes()
        mark = store.position()
        for n in range(1, 8):
            put(store, *(attempt_row("frodo", 10 * n + k) for k in range(3)))
        for limit in (1, 2, 4, 100):
            found = all_pages(lambda after, limit=limit: store.changed("default", since=mark, after=after, limit=limit))  # type: ignore[misc]
            assert [row.attempt for row in found] == [10 * n + k for n in range(1, 8) for k in range(3)]

    def test_an_append_that_conflicts_changes_nothing(self, store: JournalStore) -> None:
        store.track_changes()
        put(store, attempt_row("frodo", 1))
        mark = store.position()
        store.commit([alone("frodo", 7, rows=RowChanges(put=(attempt_row("frodo", 2),)))])
        assert store.changed("default", since=mark).rows == ()

    # ----------------------------------------------------------------------------------------------------- tokens

    def test_tokens_are_kept_by_queue(self, store: JournalStore) -> None:
        store.put_token("mellon", ["default", "slow"])
        assert store.has_token("mellon", "default")
        assert store.has_token("mellon", "slow")
        assert not store.has_token("mellon", "mordor")
        assert not store.has_token("friend", "default")

    def test_the_newest_tokens_are_kept(self, store: JournalStore) -> None:
        for n in range(TOKENS_KEPT + 3):
            store.put_token(f"word-{n}", ["default"])
        kept = [store.has_token(f"word-{n}", "default") for n in range(TOKENS_KEPT + 3)]
        assert kept == [False] * 3 + [True] * TOKENS_KEPT
