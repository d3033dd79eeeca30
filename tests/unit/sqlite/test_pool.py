"""Connections: how many there are, who closes them, and what an error of theirs means."""

import gc
import sqlite3
import threading
import weakref
from contextlib import closing

import pytest
from msgspec import structs
from squidmesh_sqlite import pool as pools

from squidmesh.errors import BackendUnavailable, CommitUnknown, DataRefused, StoreDamaged
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Group
from squidmesh.testing.journal_suite import add_run, alone, append, attempt_row, read, revisions, run_row
from squidmesh.testing.lease_suite import claim_one, item
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.threads import together


def counting(opened):
    class Counting(sqlite3.Connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            opened.append(self)

    return Counting


def is_closed(connection):
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return True
    return False


def failing(statement, code, *, after=lambda connection: None):
    """A connection on which one statement fails with an error of SQLite's, as long as ``broken`` is set."""

    class Failing(sqlite3.Connection):
        broken = False

        def execute(self, sql, *parameters):
            if type(self).broken and sql.startswith(statement):
                after(self)
                error = sqlite3.OperationalError("seen in a test")
                error.sqlite_errorcode = code
                error.sqlite_errorname = "SQLITE_SEEN"
                raise error
            return super().execute(sql, *parameters)

    return Failing


# ------------------------------------------------------------------------------------------------------- connections


def test_one_thread_needs_one_connection(open_store):
    opened: list[sqlite3.Connection] = []
    journal = open_store(counting(opened)).journal()
    before = len(opened)
    for expected in range(5):
        journal.commit([alone("frodo", expected)])
        revisions(journal, "frodo")
    assert len(opened) - before == 1


def test_threads_get_a_connection_each_and_share_them_later(open_store):
    opened: list[sqlite3.Connection] = []
    journal = open_store(counting(opened)).journal()
    before = len(opened)
    meeting = threading.Barrier(3)

    def read(_):
        with journal._pool.read():
            meeting.wait()

    for _ in range(3):
        together(3, read)
    assert len(opened) - before == 3


def test_everything_is_closed_with_the_backend(open_store):
    opened: list[sqlite3.Connection] = []
    backend = open_store(counting(opened))
    plane = JournalPlane(backend.journal(), backend.leases())
    plane.publish(item("ring"))
    claim_one(plane)
    assert not all(is_closed(connection) for connection in opened)

    backend.close()

    assert all(is_closed(connection) for connection in opened)
    backend.close()


def test_a_connection_that_is_in_use_is_closed_when_it_is_given_back(backend):
    journal = backend.journal()
    with journal._pool.read() as connection:
        backend.close()
        assert not is_closed(connection)
    assert is_closed(connection)


def test_no_connection_is_left_to_the_garbage_collector(open_store):
    backend = open_store()
    add_run(backend.journal(), "frodo")
    backend.close()
    del backend
    gc.collect()  # a ResourceWarning would be an error here


def test_what_is_closed_is_let_go(backend):
    handed_out = [backend.journal(), backend.leases(), backend.wakeup()]
    gone = [weakref.ref(one) for one in handed_out]
    while handed_out:
        handed_out.pop().close()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert backend._handed_out == set()


def test_a_backend_that_was_closed_may_be_opened_again(backend):
    add_run(backend.journal(), "frodo")
    backend.close()
    assert backend.journal().count_runs() == {"running": 1}


def test_the_journal_waits_for_the_disk_and_leases_need_not(backend):
    """What a power cut takes of the leases was held by processes of the same machine."""
    for pool, synchronous in ((backend.journal()._pool, 2), (backend.leases()._pool, 1)):
        with pool.read() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
            assert connection.execute("PRAGMA temp_store").fetchone() == (2,)


# ------------------------------------------------------------------------------------------------------------- busy


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(pools, "BUSY_TIMEOUT", 0.01)


def test_a_writer_that_waits_too_long_for_another_program_may_try_again(path, backend, impatient):
    plane = JournalPlane(backend.journal(), backend.leases())
    plane.publish(item("ring"))
    plane.leases.close()
    plane = JournalPlane(backend.journal(), backend.leases())  # with the short patience
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="SQLITE_BUSY"):
            plane.journal.commit([alone("frodo")])
        with pytest.raises(BackendUnavailable, match="SQLITE_BUSY"):
            claim_one(plane)
        assert revisions(plane.journal, "frodo") == [], "readers do not wait"
        other.execute("ROLLBACK")

    assert plane.journal.commit([alone("frodo")]) == [Committed()]
    assert claim_one(plane).fence == 1


def test_a_writer_that_waits_too_long_for_another_thread_may_try_again(backend, impatient):
    journal = backend.journal()
    with journal._pool.write(), pytest.raises(BackendUnavailable, match="another thread"):
        together(1, lambda _: journal.commit([alone("frodo")]))
    assert journal.commit([alone("frodo")]) == [Committed()]


def test_a_busy_commit_writes_nothing(open_store):
    factory = failing("COMMIT", sqlite3.SQLITE_BUSY)
    journal = open_store(factory).journal()
    factory.broken = True
    with pytest.raises(BackendUnavailable, match="SQLITE_SEEN"):
        journal.commit([alone("frodo")])
    factory.broken = False
    assert revisions(journal, "frodo") == []
    assert journal.commit([alone("frodo")]) == [Committed()]


# ---------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_FULL])
@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_that_fails_is_unknown(open_store, code, happened):
    """Protocol 3.5.7: the caller repeats the same append, and finds out."""

    def carry_out(connection):
        if happened:
            sqlite3.Connection.execute(connection, "COMMIT")

    factory = failing("COMMIT", code, after=carry_out)
    journal = open_store(factory).journal()
    factory.broken = True
    with pytest.raises(CommitUnknown):
        journal.commit([alone("frodo", entry_id="lost")])
    factory.broken = False

    answer = journal.commit([alone("frodo", entry_id="lost")])

    assert (answer == [Committed()]) is not happened
    assert [entry.entry_id for entry in read(journal, "frodo").tail] == ["lost"]


def test_a_lease_call_whose_commit_fails_may_simply_be_repeated(open_store):
    factory = failing("COMMIT", sqlite3.SQLITE_IOERR)
    backend = open_store(factory)
    plane = JournalPlane(backend.journal(), backend.leases())
    plane.publish(item("ring"))
    factory.broken = True
    with pytest.raises(BackendUnavailable):
        claim_one(plane)
    factory.broken = False
    assert claim_one(plane).fence == 1


def test_a_full_disk_is_loud_and_half_acknowledges_nothing(open_store):
    class Small(sqlite3.Connection):
        def executescript(self, script):
            super().executescript(script)
            return super().execute("PRAGMA max_page_count = 60")

    journal = open_store(Small).journal()
    big = [alone(f"orc-{number}", body=b"x" * 20_000) for number in range(20)]

    with pytest.raises(BackendUnavailable, match="SQLITE_FULL"):
        journal.commit(big)

    assert [revisions(journal, f"orc-{number}") for number in range(20)] == [[]] * 20
    assert journal.commit([alone("frodo")]) == [Committed()]


def test_a_store_that_became_read_only_is_loud(open_store):
    class ReadOnly(sqlite3.Connection):
        def executescript(self, script):
            return super().executescript(script + "PRAGMA query_only = ON;")

    open_store().migrate()
    journal = open_store(ReadOnly).journal()
    with pytest.raises(BackendUnavailable, match="SQLITE_READONLY"):
        journal.commit([alone("frodo")])
    assert revisions(journal, "frodo") == []


def test_a_file_that_is_gone_is_not_made_again(path, backend):
    journal = backend.journal()
    path.unlink()
    with pytest.raises(BackendUnavailable, match="SQLITE_CANTOPEN"):
        journal.commit([alone("frodo")])
    assert not path.exists()


def test_a_file_that_was_damaged_is_loud(path, open_store):
    first = open_store()
    for number in range(50):
        add_run(first.journal(), f"orc-{number}")
    first.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreDamaged, match=r"must be restored.*SQLITE_CORRUPT"):
        revisions(open_store().journal(), "orc-1")


def test_a_file_that_was_cut_short_is_damaged_and_still_ours(path, open_store):
    first = open_store()
    first.migrate()
    first.close()
    with path.open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(StoreDamaged, match="SQLITE_CORRUPT"):
        open_store().journal()


def test_a_file_that_is_overwritten_under_way_is_damaged(path, backend):
    journal = backend.journal()
    add_run(journal, "frodo")
    backend.close()
    journal = backend.journal()
    with path.open("r+b") as file:
        file.write(b"Three Rings for the Elven-kings under the sky" * 100)
    with pytest.raises(StoreDamaged, match="SQLITE_NOTADB"):
        journal.count_runs()


def test_tables_that_are_missing_are_damage(path, open_store):
    """Nobody need try again for that."""
    store = open_store()
    journal = store.journal()
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE runs")
        other.execute("DROP TABLE checkpoints")
    for use in (journal.count_runs, lambda: read(journal, "frodo")):
        with pytest.raises(StoreDamaged, match=r"no such table.*SQLITE_ERROR"):
            use()


# ------------------------------------------------------------------------------------------------------------ values

UNSTORABLE = {
    "a lone surrogate": alone("frodo", rows=RowChanges(run=run_row("frodo", step="\ud800"))),
    "a surrogate in an id": alone("frodo", entry_id="\udfff"),
    "a surrogate in a thread's id": Group(appends=(structs.replace(append("frodo"), thread="\ud800"),)),
    "a number beyond 64 bits": alone("frodo", rows=RowChanges(put=(attempt_row("frodo", visible_at=2**63),))),
    "text where bytes belong": alone("frodo", body="text"),
    "an object": alone("frodo", rows=RowChanges(run=run_row("frodo", step=object()))),
    "nothing where something belongs": alone("frodo", rows=RowChanges(run=run_row("frodo", workflow=None))),
}


@pytest.mark.parametrize("group", UNSTORABLE.values(), ids=UNSTORABLE.keys())
def test_data_that_can_not_be_held_is_refused_with_its_whole_batch(backend, group):
    """Protocol 5: the pump then finds the one group by trying them alone."""
    journal = backend.journal()
    with pytest.raises(DataRefused):
        journal.commit([alone("sam"), group])
    assert (revisions(journal, "sam"), revisions(journal, "frodo")) == ([], [])
    assert journal.commit([alone("sam")]) == [Committed()]


def test_data_that_is_too_big_is_refused(open_store):
    class Limited(sqlite3.Connection):
        def executescript(self, script):
            self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
            return super().executescript(script)

    journal = open_store(Limited).journal()
    with pytest.raises(DataRefused):
        journal.commit([Group(appends=(append("frodo", body=b"x" * 20_000),))])
    assert revisions(journal, "frodo") == []
