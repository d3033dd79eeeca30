"""What only SQLite has beside the rows: places in the order, leases, and who waits for a concurrency key."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from squidmesh_sqlite import SqliteBackend

from squidmesh.clock import Instant
from squidmesh.ids import AttemptKey
from squidmesh.journal.rows import AttemptRow, RowChanges
from squidmesh.ports.journal_store import Group, Replacement, ThreadAt
from squidmesh.testing.journal_suite import append, attempt_row, thread_id

LEASE = timedelta(seconds=60)


def column(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def vandalise(path, sql):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


def crowd(backend: SqliteBackend, *names: str, **rest) -> dict[str, AttemptRow]:
    """A run with one attempt each, all visible at once: only their arrival tells who is first."""
    rows = {name: attempt_row(name, **rest) for name in names}
    groups = [Group(appends=(append(name, rows=RowChanges(put=(row,))),)) for name, row in rows.items()]
    backend.journal().commit(groups)
    return rows


def put(backend: SqliteBackend, name: str, *rows: AttemptRow, remove: tuple[AttemptKey, ...] = ()) -> None:
    at = (ThreadAt(thread=thread_id(name), revision=1),)
    changes = RowChanges(put=rows, remove=remove)
    assert backend.journal().replace_rows([Replacement(at=at, rows=changes)]) == [True]


def grant(backend: SqliteBackend, limit: int = 1, request: str = "r"):
    return backend.leases().claim(["default"], owner="sam@1", limit=limit, lease=LEASE, request_id=request).claims


def test_a_row_that_is_mended_keeps_its_place_and_one_that_was_lost_comes_back_to_its_own(backend, path):
    """The thread's last entry is the one that had put it, so the place is the very same."""
    rows = crowd(backend, "frodo", "sam", "merry", "pippin")
    before = column(path, "SELECT item, arrival FROM agenda ORDER BY arrival")
    vandalise(path, f"DELETE FROM agenda WHERE item = '{rows['sam'].item}'")
    vandalise(path, f"UPDATE agenda SET queue = 'mordor' WHERE item = '{rows['frodo'].item}'")
    put(backend, "frodo", rows["frodo"])
    put(backend, "sam", rows["sam"])
    assert column(path, "SELECT item, arrival FROM agenda ORDER BY arrival") == before
    assert [claim.item for claim in grant(backend, 4)] == [rows[name].item for name in rows]


def test_two_rows_of_one_entry_never_share_a_place(backend, path):
    rows = tuple(attempt_row("frodo", step=step) for step in ("bree", "moria", "rohan"))
    backend.journal().commit([Group(appends=(append("frodo", rows=RowChanges(put=rows)),))])
    vandalise(path, f"DELETE FROM agenda WHERE item = '{rows[1].item}'")
    put(backend, "frodo", rows[1])
    places = [arrival for (arrival,) in column(path, "SELECT arrival FROM agenda")]
    assert len(set(places)) == 3


def test_a_lease_outlives_the_loss_of_its_row(backend, path):
    rows = crowd(backend, "frodo")
    (claim,) = grant(backend)
    before = column(path, "SELECT * FROM leases")
    vandalise(path, "DELETE FROM agenda")
    put(backend, "frodo", rows["frodo"])
    assert column(path, "SELECT * FROM leases") == before
    assert grant(backend, request="other") == ()
    assert [beat.name for beat in backend.leases().heartbeat([claim])] == ["EXTENDED"]


def test_an_attempt_that_is_removed_takes_its_lease_along(backend, path):
    rows = crowd(backend, "frodo", "sam")
    assert len(grant(backend, 2)) == 2
    put(backend, "frodo", remove=(rows["frodo"].item,))
    assert column(path, "SELECT item FROM leases") == [(rows["sam"].item,)]


@pytest.mark.parametrize("leaves", ["another key", "the agenda"])
def test_who_waits_for_a_concurrency_key_is_called_when_one_that_seemed_to_have_it_leaves(backend, clock, path, leaves):
    """Sam stood in order for a key that is not his own, when the last lease of that key had called him."""
    key = {"concurrency_key": "k", "concurrency_limit": 1}
    rows = crowd(backend, "frodo", "sam", "merry", **key)
    grant(backend, 3)  # frodo holds the only place; the others are put aside
    assert column(path, "SELECT count(*) FROM agenda WHERE aside = 1") == [(2,)]
    held = column(path, "SELECT item FROM leases")
    vandalise(path, "DELETE FROM leases")  # its trigger calls the first that waits
    assert held == [(rows["frodo"].item,)]
    vandalise(path, f"DELETE FROM agenda WHERE item = '{rows['frodo'].item}'")
    waiting = f"SELECT aside FROM agenda WHERE item = '{rows['merry'].item}'"
    vandalise(path, f"UPDATE agenda SET aside = 1 WHERE item = '{rows['merry'].item}'")
    assert column(path, waiting) == [(1,)]
    if leaves == "the agenda":
        put(backend, "sam", remove=(rows["sam"].item,))
    else:
        put(backend, "sam", attempt_row("sam", concurrency_key="other", concurrency_limit=1))
    assert column(path, waiting) == [(0,)]


def test_what_was_put_is_delivered(backend, clock, path):
    late = attempt_row("frodo", visible_at=Instant(clock.now() + 1_000_000))
    crowd(backend, "frodo")
    put(backend, "frodo", late)
    assert grant(backend) == ()
    clock.advance(timedelta(seconds=2))
    assert [claim.item for claim in grant(backend, request="later")] == [late.item]
