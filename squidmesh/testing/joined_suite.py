"""What a store promises whose runs may be started in the host's own transaction (protocol 3.4). A backend's tests
subclass these and provide the fixtures.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

import pytest

from squidmesh.clock import Instant
from squidmesh.errors import BackendUnavailable, DataRefused, InvalidInput, JournalConflict, UsageError
from squidmesh.ids import Fingerprint
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import Answer, Committed, Conflict, DefinitionRecord, Group, JournalStore, Wakeup
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import alone, append, attempt_row, read, revisions, run_row, thread_id, timer_row

LIMIT = timedelta(seconds=30)
AGES = timedelta(minutes=10)
"""Longer than any test may take: who waits that long was not woken."""
SOON = 60.0
"""Seconds after which a thread that has not ended never will."""
_TRIES = 200


class Host(Protocol):
    """An open transaction of a host's, at the level READ COMMITTED. ``connection``: what a start names; what the host
    does itself goes through the same.
    """

    @property
    def connection(self) -> object: ...

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that the statement gives, if it is one that gives any."""
        ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


Hosts: TypeAlias = Callable[[], Host]
"""Begins a new one. What a test leaves open is rolled back when it ends."""


def started(name: str, *, body: bytes = b"{}", entry_id: str = "") -> Group:
    """Revision 1 of a run with one attempt."""
    rows = RowChanges(run=run_row(name), put=(attempt_row(name),))
    return alone(name, rows=rows, body=body, entry_id=entry_id)


def items(*names: str) -> list[str]:
    return sorted(attempt_row(name).item for name in names)


def open_items(store: JournalStore) -> list[str]:
    return [row.item for row in store.open_attempts()]


def changed(store: JournalStore, since: int) -> list[str]:
    """The items of all pages, each of one row."""
    found: list[str] = []
    page = store.changed("default", since=since, limit=1)
    while True:
        found += [row.item for row in page.rows]
        if page.next is None:
            return sorted(found)
        page = store.changed("default", since=since, after=page.next, limit=1)


def stubborn(store: JournalStore, group: Group) -> Answer:
    """Tried again for as long as another transaction is in its way."""
    for _ in range(_TRIES):
        try:
            (answer,) = store.commit([group])
        except BackendUnavailable:
            continue
        return answer
    raise AssertionError("the other transaction does not end")


class WithHosts:
    """Provide ``host``, and ``store``, which is new and empty. Other transactions that are open in the same server may
    hold its position back: it is best nobody else's.
    """

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def host(self) -> Hosts:
        raise NotImplementedError("a backend's tests provide the fixture `host`")


class JoinedSuite(WithHosts):
    """A start and the host's rows are one transaction."""

    @pytest.fixture(autouse=True)
    def ledger(self, store: JournalStore, host: Hosts) -> None:
        """A table of the host's own."""
        made = host()
        made.execute("CREATE TABLE IF NOT EXISTS ledger (entry TEXT)")
        made.execute("DELETE FROM ledger")
        made.commit()

    def told(self, host: Hosts) -> list[str]:
        """What is in the ledger."""
        asked = host()
        entries = [entry for (entry,) in asked.execute("SELECT entry FROM ledger ORDER BY entry")]
        asked.rollback()
        return entries

    # ------------------------------------------------------------------------------------------- together, or not

    def test_a_commit_of_the_host_shows_run_agenda_and_its_own_rows(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        ours.execute("INSERT INTO ledger VALUES ('order')")
        assert store.joined(ours.connection).commit([started("frodo")]) == [Committed()]
        assert (revisions(store, "frodo"), store.run_row(thread_id("frodo"))) == ([], None), "nobody sees it yet"
        assert (open_items(store), self.told(host)) == ([], [])
        ours.commit()

        assert (revisions(store, "frodo"), store.run_row(thread_id("frodo"))) == ([1], run_row("frodo"))
        assert (store.open_attempts(), self.told(host)) == ([attempt_row("frodo")], ["order"])

    def test_a_rollback_of_the_host_leaves_nothing_of_it(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        ours.execute("INSERT INTO ledger VALUES ('order')")
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"{}")
        group = Group(appends=started("frodo").appends, definitions=(definition,))
        assert store.joined(ours.connection).commit([group]) == [Committed()]
        ours.rollback()

        assert (revisions(store, "frodo"), store.run_row(thread_id("frodo"))) == ([], None)
        assert (open_items(store), store.definition(Fingerprint("f")), self.told(host)) == ([], None, [])
        assert store.commit([started("frodo")]) == [Committed()], "its key is free"

    @pytest.mark.parametrize("ends", ["commit", "rollback"])
    def test_a_start_may_be_the_first_thing_that_the_transaction_does(
        self, store: JournalStore, host: Hosts, ends: str
    ) -> None:
        ours = host()
        assert store.joined(ours.connection).commit([started("frodo")]) == [Committed()]
        assert revisions(store, "frodo") == [], "it commits nothing by itself"
        getattr(ours, ends)()
        assert revisions(store, "frodo") == ([1] if ends == "commit" else [])

    def test_the_transaction_sees_what_it_has_started(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        joined = store.joined(ours.connection)
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"{}")
        joined.commit([Group(appends=started("frodo").appends, definitions=(definition,))])
        for again in (joined, store.joined(ours.connection)):
            assert revisions(again, "frodo") == [1]
            entry = again.entry(thread_id("frodo"), 1)
            assert entry is not None and entry.entry_id == append("frodo").entry_id
            assert again.run_row(thread_id("frodo")) == run_row("frodo")
            assert (again.open_attempts(), again.definition(Fingerprint("f"))) == ([attempt_row("frodo")], b"{}")

    def test_it_sees_what_others_have_committed_since(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        joined = store.joined(ours.connection)
        joined.commit([started("frodo")])
        store.commit([started("sam")])
        assert revisions(joined, "sam") == [1]

    def test_all_that_an_entry_brings_along_is_there_after_the_commit(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        timer = timer_row("frodo", due_at=5)
        rows = RowChanges(run=run_row("frodo"), put=(attempt_row("frodo"),), set_timers=(timer,))
        store.joined(ours.connection).commit([alone("frodo", rows=rows, body=b"facts", checkpoint=b"state")])
        ours.commit()

        history = read(store, "frodo")
        assert history.checkpoint is not None and history.checkpoint.body == b"state"
        assert read(store, "frodo", whole=True).tail[0].body == b"facts"
        assert store.due_timers(Instant(5)) == [timer]

    def test_several_starts_of_one_transaction_come_together(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        for names in (["frodo", "sam"], ["merry"]):
            answers = store.joined(ours.connection).commit([started(name) for name in names])
            assert answers == [Committed()] * len(names)
        assert store.joined(ours.connection).commit([]) == []
        ours.commit()
        assert open_items(store) == items("frodo", "sam", "merry")

    # ------------------------------------------------------------------------------------------------------- keys

    def test_a_key_of_this_transaction_is_taken(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        joined = store.joined(ours.connection)
        joined.commit([started("frodo", body=b"first")])
        assert joined.commit([started("frodo", body=b"second", entry_id="later")]) == [
            Conflict(thread=thread_id("frodo"), revision=1)
        ]
        assert [entry.body for entry in read(joined, "frodo").tail] == [b"first"]
        ours.commit()
        assert [entry.body for entry in read(store, "frodo").tail] == [b"first"]

    def test_a_key_that_was_started_before_is_taken(self, store: JournalStore, host: Hosts) -> None:
        store.commit([started("frodo", body=b"first")])
        ours = host()
        joined = store.joined(ours.connection)
        assert joined.commit([started("frodo", body=b"second", entry_id="later")]) == [
            Conflict(thread=thread_id("frodo"), revision=1)
        ]
        assert [entry.body for entry in read(joined, "frodo").tail] == [b"first"]
        ours.commit()
        assert revisions(store, "frodo") == [1]

    def test_a_key_that_is_started_while_the_transaction_is_open_is_taken(
        self, store: JournalStore, host: Hosts
    ) -> None:
        ours = host()
        ours.execute("INSERT INTO ledger VALUES ('order')")
        store.commit([started("frodo", body=b"first")])
        joined = store.joined(ours.connection)
        (answer,) = joined.commit([started("frodo", body=b"second", entry_id="later")])
        assert answer == Conflict(thread=thread_id("frodo"), revision=1)
        assert [entry.body for entry in read(joined, "frodo").tail] == [b"first"]

    @pytest.mark.parametrize("ends", ["commit", "rollback"])
    @pytest.mark.parametrize("by_a_host", [True, False])
    def test_of_two_who_start_one_key_at_once_one_does(
        self, store: JournalStore, host: Hosts, ends: str, by_a_host: bool
    ) -> None:
        """The other one waits for the transaction of the first, or tries again."""
        first = host()
        store.joined(first.connection).commit([started("frodo")])
        answers: list[Answer] = []

        def be_second() -> None:
            if not by_a_host:
                answers.append(stubborn(store, started("frodo", entry_id="second")))
                return
            second = host()
            answers.append(stubborn(store.joined(second.connection), started("frodo", entry_id="second")))
            second.commit()

        thread = threading.Thread(target=be_second, daemon=True)
        thread.start()
        getattr(first, ends)()
        thread.join(SOON)

        won = append("frodo").entry_id if ends == "commit" else "second"
        expected = Conflict(thread=thread_id("frodo"), revision=1) if ends == "commit" else Committed()
        assert answers == [expected]
        assert [entry.entry_id for entry in read(store, "frodo").tail] == [won]

    # ------------------------------------------------------------------------------------------- where it says no

    def test_after_a_conflict_the_hosts_transaction_is_usable(self, store: JournalStore, host: Hosts) -> None:
        store.commit([started("frodo")])
        ours = host()
        ours.execute("INSERT INTO ledger VALUES ('before')")
        joined = store.joined(ours.connection)
        (answer,) = joined.commit([started("frodo", entry_id="later")])
        assert isinstance(answer, Conflict)
        ours.execute("INSERT INTO ledger VALUES ('after')")
        assert joined.commit([started("sam")]) == [Committed()]
        ours.commit()
        assert (self.told(host), open_items(store)) == (["after", "before"], items("frodo", "sam"))

    def test_of_a_batch_each_start_stands_alone(self, store: JournalStore, host: Hosts) -> None:
        store.commit([started("sam")])
        ours = host()
        groups = [started("frodo"), started("sam", entry_id="later"), started("merry")]
        assert store.joined(ours.connection).commit(groups) == [
            Committed(),
            Conflict(thread=thread_id("sam"), revision=1),
            Committed(),
        ]
        ours.commit()
        assert open_items(store) == items("frodo", "merry", "sam")

    def test_what_the_store_can_not_take_leaves_the_transaction_as_it_was(
        self, store: JournalStore, host: Hosts
    ) -> None:
        ours = host()
        ours.execute("INSERT INTO ledger VALUES ('before')")
        joined = store.joined(ours.connection)
        joined.commit([started("frodo")])
        with pytest.raises(DataRefused):
            joined.commit([started("sam"), started("merry"), started("merry", entry_id="twice")])
        ours.execute("INSERT INTO ledger VALUES ('after')")
        ours.commit()
        assert (self.told(host), open_items(store)) == (["after", "before"], items("frodo"))

    def test_who_has_waited_long_enough_is_told_and_can_go_on(self, store: JournalStore, host: Hosts) -> None:
        first, second = host(), host()
        store.joined(first.connection).commit([started("frodo")])
        joined = store.joined(second.connection)
        with pytest.raises(BackendUnavailable):
            joined.commit([started("sam"), started("frodo", entry_id="second")])
        assert second.execute("SELECT 1") == [(1,)]
        assert joined.commit([started("merry")]) == [Committed()]
        second.commit()
        first.commit()
        assert open_items(store) == items("frodo", "merry"), "of what was refused, nothing is there"

    @pytest.mark.parametrize("given", [object(), "a connection", 5, [], {}, object])
    def test_what_is_no_connection_is_refused(self, store: JournalStore, given: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.joined(given)
        assert refused.value.field == "connection"

    # ------------------------------------------------------------------------- what a reconciler sees (protocol 3.8)

    def test_no_position_passes_a_transaction_that_is_open(self, store: JournalStore, host: Hosts) -> None:
        """It has begun to write before those that are committed by now."""
        store.track_changes()
        ours = host()
        store.joined(ours.connection).commit([started("frodo")])
        before = store.position()
        for name in ("sam", "merry", "pippin"):
            store.commit([started(name)])
        after = store.position()
        assert changed(store, before) == items("sam", "merry", "pippin")
        ours.commit()

        assert "frodo" in self.names(changed(store, after))
        assert "frodo" in self.names(changed(store, before))

    def test_transactions_that_end_in_another_order_than_they_began_are_all_found(
        self, store: JournalStore, host: Hosts
    ) -> None:
        """From one pass to the next, each of which begins where the one before took its mark."""
        store.track_changes()
        names = ["frodo", "sam", "merry", "pippin"]
        opened = {name: host() for name in names}
        for name, one in opened.items():
            store.joined(one.connection).commit([started(name)])
        seen: list[str] = []
        mark = store.position()
        for name in reversed(names):
            since, mark = mark, store.position()
            seen += self.names(changed(store, since))
            opened[name].commit()
            store.commit([started(f"after {name}")])
        seen += self.names(changed(store, mark))
        assert set(seen) == {*names, *(f"after {name}" for name in names)}

    def test_what_commits_between_two_pages_is_in_the_next_pass(self, store: JournalStore, host: Hosts) -> None:
        store.track_changes()
        since = store.position()
        ours = host()
        store.joined(ours.connection).commit([started("frodo")])
        for name in ("sam", "merry"):
            store.commit([started(name)])
        mark = store.position()
        first = store.changed("default", since=since, limit=1)
        assert first.next is not None
        ours.commit()
        second = store.changed("default", since=since, after=first.next)
        seen = {row.item for row in (*first.rows, *second.rows)}
        assert {*items("sam", "merry")} <= seen
        assert {*items("frodo")} <= seen | set(changed(store, mark))

    def test_what_was_rolled_back_is_no_change_and_holds_nothing_back(self, store: JournalStore, host: Hosts) -> None:
        store.track_changes()
        ours = host()
        store.joined(ours.connection).commit([started("frodo")])
        held = store.position()
        ours.rollback()
        store.commit([started("sam")])
        assert changed(store, held) == items("sam")
        assert store.position() > held

    def names(self, found: list[str]) -> list[str]:
        """Those whose items they are."""
        known = ["frodo", "sam", "merry", "pippin"]
        by_item = {attempt_row(name).item: name for name in [*known, *(f"after {name}" for name in known)]}
        return [by_item[item] for item in found]  # type: ignore[index]


class PostgresHostSuite(WithHosts):
    """What only PostgreSQL has: transactions that keep the picture that they took at their beginning, and settings of a
    transaction.
    """

    def begun(self, host: Hosts) -> Host:
        ours = host()
        ours.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert ours.execute("SELECT 1") == [(1,)]
        return ours

    def test_a_start_is_committed_with_it(self, store: JournalStore, host: Hosts) -> None:
        ours = self.begun(host)
        joined = store.joined(ours.connection)
        assert joined.commit([started("frodo")]) == [Committed()]
        assert isinstance(joined.commit([started("frodo", entry_id="later")])[0], Conflict)
        ours.commit()
        assert revisions(store, "frodo") == [1]

    def test_a_key_that_it_can_not_see_is_taken_all_the_same(self, store: JournalStore, host: Hosts) -> None:
        ours = self.begun(host)
        store.commit([started("frodo", body=b"first")])
        joined = store.joined(ours.connection)
        try:
            (answer,) = joined.commit([started("frodo", body=b"second", entry_id="later")])
        except JournalConflict:
            pass
        else:
            assert isinstance(answer, Conflict)
        assert ours.execute("SELECT 1") == [(1,)], "it is usable"
        ours.commit()
        assert [entry.body for entry in read(store, "frodo").tail] == [b"first"]

    def test_the_hosts_settings_are_as_they_were(self, store: JournalStore, host: Hosts) -> None:
        settings = ("lock_timeout", "statement_timeout", "search_path", "transaction_isolation", "role")
        blocking, ours = host(), host()
        store.joined(blocking.connection).commit([started("sam")])
        ours.execute("SET LOCAL lock_timeout = '77s'")

        def now() -> list[list[tuple[Any, ...]]]:
            return [ours.execute(f"SHOW {name}") for name in settings]

        before = now()
        joined = store.joined(ours.connection)
        joined.commit([started("frodo")])
        assert now() == before
        with pytest.raises(BackendUnavailable):
            joined.commit([started("sam", entry_id="later")])
        assert now() == before
        ours.rollback()
        assert ours.execute("SHOW lock_timeout") != before[0], "the setting ends with the transaction"


class InsideStepSuite(WithHosts):
    """For a store that has transactional steps too."""

    def test_a_transactional_step_joins_no_other_transaction(self, store: JournalStore, host: Hosts) -> None:
        ours = host()
        with store.transaction(LIMIT) as step:
            for connection in (ours.connection, step.connection):
                with pytest.raises(UsageError) as refused:
                    store.joined(connection)
                assert refused.value.code == "inside_transaction"


class AnnouncedSuite(WithHosts):
    """Provide ``backend``, whose journal is ``store``, too."""

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("a backend's tests provide the fixture `backend`")

    @pytest.fixture
    def wakeup(self, backend: Backend) -> Iterator[Wakeup]:
        made = backend.starts_announced()
        assert made is not None
        yield made
        made.close()

    def begin(self, store: JournalStore, host: Hosts, number: int) -> None:
        ours = host()
        store.joined(ours.connection).commit([started(f"run {number}")])
        ours.commit()

    def wake(self, wakeup: Wakeup, store: JournalStore, host: Hosts, first: int) -> None:
        """Somebody sleeps, and is woken by a commit. One that comes before he listens may go unheard."""
        thread = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
        thread.start()
        for number in range(first, first + _TRIES):
            self.begin(store, host, number)
            thread.join(0.05)
            if not thread.is_alive():
                return
        raise AssertionError("nobody was woken")

    def test_a_commit_with_a_start_wakes_whoever_waits(self, wakeup: Wakeup, store: JournalStore, host: Hosts) -> None:
        for turn in range(3):
            self.wake(wakeup, store, host, _TRIES * turn)

    def test_what_is_announced_between_two_waits_ends_the_next_one(
        self, wakeup: Wakeup, store: JournalStore, host: Hosts
    ) -> None:
        self.wake(wakeup, store, host, 0)  # from now on it listens
        wakeup.wait(timedelta(milliseconds=100))  # what was left over of those that woke it
        self.begin(store, host, _TRIES)
        thread = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
        thread.start()
        thread.join(SOON)
        assert not thread.is_alive()

    def test_a_poke_and_a_close_end_the_wait_too(self, wakeup: Wakeup) -> None:
        for end in (wakeup.poke, wakeup.close):
            thread = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
            thread.start()
            end()
            thread.join(SOON)
            assert not thread.is_alive()
