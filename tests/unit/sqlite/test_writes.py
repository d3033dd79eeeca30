"""What steps mostly write has short ways of its own: whatever they meet, the rows are those of the long way."""

import sqlite3
from contextlib import closing
from shutil import copy
from typing import Any

import msgspec
import pytest
from squidmesh_sqlite import SqliteBackend, leases, writes

from squidmesh.ids import ClaimId
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Group
from squidmesh.ports.lease_backend import Handover, Settlement
from squidmesh.testing import VirtualClock
from squidmesh.testing.journal_suite import append, attempt_row, run_row, thread_id
from squidmesh.testing.lease_suite import claim, item
from squidmesh.testing.planes import JournalPlane

TABLES = ("agenda", "leases", "runs", "entries")
NAMES = ("frodo", "sam")
HELD: dict[str, Any] = {"owner": "sam@1", "claim_hash": "abc", "lease": 60_000_000}

ODD = {
    "nothing": "",
    "the attempt is not there": "DELETE FROM agenda WHERE step = 'pack' AND run_id = :sam",
    "the next attempt is there": "INSERT INTO agenda SELECT replace(item, 'pack', 'walk'), run_id, 'walk', attempt,"
    " queue, priority, visible_at, generation, fence, owner, claim_hash, lease, 7, writer, concurrency_key,"
    " concurrency_limit, aside FROM agenda WHERE run_id = :sam",
    "it was put aside": "UPDATE agenda SET aside = 1, concurrency_key = 'k', concurrency_limit = 1 WHERE run_id = :sam",
    "it shares a key": "UPDATE agenda SET concurrency_key = 'k', concurrency_limit = 1 WHERE run_id = :sam",
    "it is on another queue": "UPDATE agenda SET queue = 'mordor' WHERE run_id = :sam",
    "it was visible at another time": "UPDATE agenda SET visible_at = 3 WHERE run_id = :sam",
    "nobody holds it": "DELETE FROM leases WHERE item LIKE :sam || '%'",
    "its lease is of another queue": "UPDATE leases SET queue = 'mordor' WHERE item LIKE :sam || '%'",
    "its lease counts for a key": "UPDATE leases SET concurrency_key = 'k' WHERE item LIKE :sam || '%'",
    "leases on it had lapsed": "UPDATE leases SET lapsed = 2 WHERE item LIKE :sam || '%'",
    "the next one is held by a newer claim": "INSERT INTO leases SELECT replace(item, 'pack', 'walk'), queue,"
    " generation, 9, 9, 'orc@1', claim_hash, NULL, position, lease, expires_at, lapsed, concurrency_key FROM leases"
    " WHERE item LIKE :sam || '%'",
    "the next one is held by an older claim": "INSERT INTO leases SELECT replace(item, 'pack', 'walk'), queue,"
    " generation, 1, 1, 'orc@1', claim_hash, NULL, position, lease, expires_at, 2, concurrency_key FROM leases"
    " WHERE item LIKE :sam || '%'",
    "somebody asks what has changed": "INSERT INTO changes (one, position) VALUES (1, 5)",
    "the run has another version": "UPDATE runs SET version = '0' WHERE run_id = :sam",
    "the run was active at another time": "UPDATE runs SET active_at = -10000000 WHERE run_id = :sam",
    "the run is not there": "DELETE FROM runs WHERE run_id = :sam",
}


def started(plane):
    """Both runs, claimed in the leases."""
    groups = [
        Group(appends=(append(name, rows=RowChanges(run=run_row(name), put=(attempt_row(name),))),)) for name in NAMES
    ]
    assert plane.journal.commit(groups) == [Committed()] * 2
    return claim(plane, request="once").claims


def claim_recorded(granted):
    """Of each run: its first claim."""
    rows = {name: RowChanges(run=run_row(name), put=(attempt_row(name, fence=1, **HELD),)) for name in NAMES}
    return [Group(appends=(append(name, 1, rows=rows[name]),)) for name in NAMES]


def gone_on(granted, **rest):
    """Of each run: the first step has ended, and the second one is claimed."""
    groups = []
    for name, one in zip(NAMES, granted, strict=True):
        following = attempt_row(name, step="walk", fence=2, visible_at=5, priority=4, **HELD, **rest)
        rows = RowChanges(run=run_row(name, step="walk"), put=(following,), remove=(one.item,))
        offered = msgspec.structs.replace(item(name), key=following.item, priority=4)
        handover = Handover(item=offered, claim_id=ClaimId("next:0"), fence=2)
        settled = Settlement(claim=one, handover=handover)
        groups.append(Group(appends=(append(name, 1, rows=rows),), leases=(settled,)))
    return groups


def gone_on_to_what_ends_before(granted):
    """What is claimed next leaves the agenda too, and comes back: all in one entry."""
    groups = []
    for group in gone_on(granted):
        (one,) = group.appends
        rows = msgspec.structs.replace(one.rows, remove=(*one.rows.remove, one.rows.put[0].item))
        groups.append(msgspec.structs.replace(group, appends=(msgspec.structs.replace(one, rows=rows),)))
    return groups


def gone_on_under_a_key(granted):
    return gone_on(granted, concurrency_key="k", concurrency_limit=2)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A file with both runs, and their grants."""
    path = tmp_path_factory.mktemp("begun") / "journal.db"
    backend = SqliteBackend(f"sqlite:///{path}", clock=VirtualClock())
    granted = started(JournalPlane(backend.journal(), backend.leases()))
    backend.close()
    return path, granted


def written(backend, odd, groups):
    """All rows, after the groups met what is odd."""
    with closing(sqlite3.connect(backend.path, isolation_level=None)) as by_hand:
        if odd:
            by_hand.execute(odd, {"sam": thread_id("sam")})
        assert backend.journal().commit(groups) == [Committed()] * 2
        return {table: sorted(by_hand.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


@pytest.fixture
def the_long_way(monkeypatch):
    def long_way():
        monkeypatch.setattr(writes.Writes, "_follow", lambda self, *rest: not self._followed)
        monkeypatch.setattr(writes.Writes, "_claim", lambda self, *rest: not self._claimed)
        monkeypatch.setattr(leases, "_pass_on", lambda *rest: False)
        add = writes.Writes._add

        def add_in_full(self, one):
            add(self, one)
            self._runs, self._moved = [*self._runs, *self._moved], []

        monkeypatch.setattr(writes.Writes, "_add", add_in_full)

    return long_way


@pytest.fixture
def compared(begun, open_store, tmp_path, the_long_way):
    """Asserts that the rows are the same."""

    def compared(odd, groups):
        file, granted = begun
        short, long = (open_store(at=copy(file, tmp_path / name)) for name in ("short.db", "long.db"))
        found = written(short, odd, groups(granted))
        the_long_way()
        assert found == written(long, odd, groups(granted))

    return compared


@pytest.mark.parametrize("groups", [claim_recorded, gone_on])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_the_short_ways_meet_the_rows_are_those_of_the_long_way(compared, groups, odd):
    compared(odd, groups)


def test_a_lease_that_is_passed_on_stays_where_it_was_passed_to(compared):
    compared(ODD["nothing"], gone_on_to_what_ends_before)


def test_a_lease_that_begins_to_count_for_a_key_is_that_of_the_long_way(compared):
    compared(ODD["nothing"], gone_on_under_a_key)


def test_steps_that_are_as_expected_write_no_row_twice(watched, asked):
    plane = JournalPlane(watched.journal(), watched.leases())
    granted = started(plane)
    asked.clear()
    plane.journal.commit(gone_on(granted))
    wrote = [sql.split()[:4] for sql in asked if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
    assert [words[0] for words in wrote] == ["INSERT", "UPDATE", "UPDATE", "UPDATE"], wrote
