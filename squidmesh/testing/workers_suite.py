"""What every journal store promises about the rows of those who work now. A backend's tests subclass this and provide
the fixture ``store``, over a plane whose clock is ``clock``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from squidmesh.clock import Instant
from squidmesh.journal.workers import MOST_FORGOTTEN, WorkerRow
from squidmesh.ports.journal_store import JournalStore
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import alone
from squidmesh.testing.threads import together

NEVER = Instant(0)
"""Nothing is older."""
MINUTE = timedelta(minutes=1)


def worker(name: str, **said: Any) -> WorkerRow:
    row = WorkerRow(
        name=name,
        host="shire",
        pid=4711,
        version="1.2.3",
        queues=("default", "tenant-*"),
        slots=4,
        busy=1,
        leases=2,
        draining=False,
        started_at=5,
    )
    return structs.replace(row, **said)


def names(store: JournalStore) -> list[str]:
    return [row.name for row in store.workers()]


class WorkersSuite:
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    def test_a_row_comes_back_as_it_was_put_with_the_stores_own_time(
        self, store: JournalStore, clock: VirtualClock
    ) -> None:
        assert store.workers() == []
        row = worker("sam@1", seen_at=99, pid=2**22, started_at=2**53)
        store.put_workers([row], stale=NEVER)
        assert store.workers() == [structs.replace(row, seen_at=clock.now())]

    def test_a_row_takes_the_place_of_the_one_of_its_name(self, store: JournalStore, clock: VirtualClock) -> None:
        store.put_workers([worker("sam@1"), worker("sam@2")], stale=NEVER)
        first = clock.now()
        clock.advance(MINUTE)
        changed = worker("sam@1", busy=0, leases=0, draining=True, queues=(), slots=9, host="mordor", version="2")
        store.put_workers([changed], stale=NEVER)
        assert store.workers() == [
            structs.replace(changed, seen_at=clock.now()),
            structs.replace(worker("sam@2"), seen_at=first),
        ]

    def test_those_that_are_forgotten_are_gone_and_no_others(self, store: JournalStore) -> None:
        store.put_workers([worker(name) for name in "abc"], stale=NEVER)
        store.forget_workers(["b", "nobody"])
        assert names(store) == ["a", "c"]
        store.forget_workers([])
        assert names(store) == ["a", "c"]

    def test_who_puts_takes_away_what_was_not_seen_since(self, store: JournalStore, clock: VirtualClock) -> None:
        store.put_workers([worker("old")], stale=NEVER)
        clock.advance(MINUTE)
        at = clock.now()
        store.put_workers([worker("young")], stale=NEVER)
        clock.advance(MINUTE)
        store.put_workers([worker("me")], stale=at)
        assert names(store) == ["me", "young"], "seen in that moment is not before it"
        store.put_workers([], stale=Instant(at + 1))
        assert names(store) == ["me"]

    def test_it_takes_away_a_bounded_number_at_once_the_oldest_first(
        self, store: JournalStore, clock: VirtualClock
    ) -> None:
        store.put_workers([worker("z-oldest")], stale=NEVER)
        clock.advance(MINUTE)
        store.put_workers([worker(f"b{n:03}") for n in range(MOST_FORGOTTEN)], stale=NEVER)
        clock.advance(MINUTE)
        store.put_workers([worker("me")], stale=clock.now())
        assert names(store) == [f"b{MOST_FORGOTTEN - 1:03}", "me"]
        store.put_workers([worker("me")], stale=clock.now())
        assert names(store) == ["me"]

    def test_pages_are_in_order_of_name_by_its_bytes(self, store: JournalStore) -> None:
        store.put_workers([worker(name) for name in ("b", "B", "a@2", "a@10", "_")], stale=NEVER)
        assert names(store) == ["B", "_", "a@10", "a@2", "b"]
        assert [row.name for row in store.workers(limit=2)] == ["B", "_"]
        assert [row.name for row in store.workers(limit=2, after="_")] == ["a@10", "a@2"]
        assert store.workers(after="b") == []

    def test_they_are_no_threads_and_no_rows_of_one(self, store: JournalStore) -> None:
        store.commit([alone("frodo", 0)])
        before = store.threads(), store.agenda_queues(), store.position()
        store.put_workers([worker("sam@1")], stale=NEVER)
        assert (store.threads(), store.agenda_queues(), store.position()) == before

    def test_many_write_at_once(self, store: JournalStore, clock: VirtualClock) -> None:
        store.put_workers([worker(f"old-{n}") for n in range(50)], stale=NEVER)
        clock.advance(MINUTE)
        at = clock.now()

        def beat(number: int) -> None:
            for busy in range(5):
                rows = [worker(name, busy=busy) for name in (f"sam@{number}", f"sam@{number}#2")]
                store.put_workers(rows, stale=at)

        together(4, beat)
        assert {row.name: row.busy for row in store.workers()} == {
            name: 4 for n in range(4) for name in (f"sam@{n}", f"sam@{n}#2")
        }
