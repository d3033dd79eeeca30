"""What every backend that holds a journal tells of itself to operators: what it is, and what would be done to it."""

from __future__ import annotations

import pytest

from squidmesh.errors import SchemaOutOfDate
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.backend import Backend
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import alone, run_row, thread_id


class DoctorSuite:
    """The fixture ``made`` is a backend whose schema is up to date and empty; ``unmade`` one of the same kind at an
    address where there is nothing yet.
    """

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    def test_migrations_are_numbered_and_have_their_sql(self, unmade: Backend) -> None:
        found = unmade.migrations(every=True)
        assert [one.number for one in found] == list(range(1, 1 + len(found)))
        assert all(one.name and one.sql.strip() for one in found)
        assert unmade.migrations() == found

    def test_what_is_printed_is_what_is_applied(self, unmade: Backend) -> None:
        printed = [one.name for one in unmade.migrations()]
        assert unmade.migrate() == printed
        assert unmade.migrations() == []

    def test_nothing_is_to_be_done_where_all_is_made(self, made: Backend) -> None:
        assert made.migrations() == []
        assert made.migrate() == []

    def test_nothing_that_only_looks_makes_anything(self, unmade: Backend) -> None:
        before = unmade.migrations()
        findings = unmade.doctor()
        if before:
            with pytest.raises(SchemaOutOfDate), unmade.reading():
                raise AssertionError("there is nothing to read")
        assert unmade.migrations() == before
        again = [(one.name, one.level, one.wanted) for one in unmade.doctor()]  # but for counts, which others move
        assert again == [(one.name, one.level, one.wanted) for one in findings]
        assert "refused" not in {one.level for one in findings}

    def test_a_store_that_is_well_is_told_to_be_well(self, made: Backend) -> None:
        findings = made.doctor()
        assert findings
        assert len({one.name for one in findings}) == len(findings), "each is told once"
        assert all(one.found and one.wanted for one in findings)
        assert "refused" not in {one.level for one in findings}

    def test_what_stands_there_can_be_read_beside_who_writes(self, made: Backend) -> None:
        store = made.journal()
        for revision in range(2):
            rows = RowChanges(run=run_row("frodo", status="running" if revision else "waiting"))
            store.commit([alone("frodo", revision, rows=rows)])
            with made.reading() as reading:
                assert reading.journal is not None
                found = reading.journal.run_row(thread_id("frodo"))
                assert found == rows.run
                assert reading.journal.plane() is None
                assert reading.leases.marker() is None
        assert store.commit([alone("frodo", 2)]), "who writes goes on"
