"""What a store with a database that steps may write to promises of their transactions (protocol 5). A backend's tests
subclass this and provide the fixture ``store``, whose connections know ``execute``.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh.errors import TransactionMisused
from squidmesh.ports.journal_store import Committed, Conflict, JournalStore
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import alone, revisions

LIMIT = timedelta(seconds=30)


class TransactionSuite:
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture(autouse=True)
    def table(self, store: JournalStore) -> None:
        with store.transaction(LIMIT) as made:
            made.connection.execute("CREATE TABLE ledger (entry TEXT)")
            assert made.store.commit([alone("bilbo")]) == [Committed()]

    def told(self, store: JournalStore) -> list[str]:
        """What is in the ledger."""
        with store.transaction(LIMIT) as opened:
            return [entry for (entry,) in opened.connection.execute("SELECT entry FROM ledger ORDER BY entry")]

    def test_rows_and_entry_are_there_together(self, store: JournalStore) -> None:
        with store.transaction(LIMIT) as opened:
            opened.connection.execute("INSERT INTO ledger VALUES ('paid')")
            assert revisions(store, "frodo") == [], "nobody else sees any of it yet"
            assert opened.store.commit([alone("frodo")]) == [Committed()]
        assert (self.told(store), revisions(store, "frodo")) == (["paid"], [1])

    def test_without_a_commit_nothing_is_there(self, store: JournalStore) -> None:
        with store.transaction(LIMIT) as opened:
            opened.connection.execute("INSERT INTO ledger VALUES ('paid')")
        assert self.told(store) == []

    def test_an_exception_takes_all_of_it_back(self, store: JournalStore) -> None:
        with pytest.raises(ZeroDivisionError), store.transaction(LIMIT) as opened:
            opened.connection.execute("INSERT INTO ledger VALUES ('paid')")
            raise ZeroDivisionError
        assert self.told(store) == []

    def test_a_conflict_takes_the_rows_back_too(self, store: JournalStore) -> None:
        store.commit([alone("frodo")])
        with store.transaction(LIMIT) as opened:
            opened.connection.execute("INSERT INTO ledger VALUES ('paid')")
            (answer,) = opened.store.commit([alone("frodo")])
            assert isinstance(answer, Conflict)
        assert (self.told(store), revisions(store, "frodo")) == ([], [1])

    @pytest.mark.parametrize("word", ["COMMIT", "ROLLBACK"])
    def test_the_step_can_not_end_it_unnoticed(self, store: JournalStore, word: str) -> None:
        """Whether the word is refused, or found out afterwards: the misuse is told, and nothing of it is kept."""
        with pytest.raises(Exception, match=r".") as caught, store.transaction(LIMIT) as opened:
            opened.connection.execute("INSERT INTO ledger VALUES ('paid')")
            opened.connection.execute(word)
            opened.require_whole()
        assert not isinstance(caught.value, AssertionError)
        assert self.told(store) == []
        assert revisions(store, "frodo") == []
        assert isinstance(caught.value, TransactionMisused) or "not authorized" in str(caught.value)
