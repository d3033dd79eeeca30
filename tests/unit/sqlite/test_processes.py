"""Several processes on one file, and one that is killed in the middle of it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from squidmesh.errors import ForeignStore
from squidmesh.ports.journal_store import Checkpoint, Committed
from squidmesh.testing.journal_suite import alone, read, revisions, thread_id
from squidmesh.testing.lease_suite import item, key
from squidmesh.testing.planes import JournalPlane
from tests.unit.sqlite.processes import child


def test_processes_never_share_an_item(open_store, path):
    """I6."""
    store = open_store()
    plane = JournalPlane(store.journal(), store.leases())
    crowd = [f"orc-{number}" for number in range(200)]
    plane.publish(*(item(name) for name in crowd))

    with child("claim", path, "one@1") as one, child("claim", path, "two@1") as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        shares = [[line.split()[0] for line in process.stdout] for process in (one, two)]

    assert sorted(shares[0] + shares[1]) == sorted(key(name) for name in crowd)
    assert [(stats.ready, stats.leased) for stats in plane.leases.stats(["default"])] == [(0, 200)]


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_a_process_that_is_killed_leaves_a_consistent_file(open_store, path, acknowledged):
    with child("commit", path) as process:
        for _ in range(acknowledged):
            process.stdout.readline()
        process.kill()

    journal = open_store().journal()

    written = revisions(journal, "frodo")
    last = len(written)
    assert last >= acknowledged
    assert written == revisions(journal, "sam") == list(range(1, last + 1))
    assert read(journal, "frodo").checkpoint == Checkpoint(revision=last, body=b"state-%d" % last)
    assert [row.attempt for row in journal.open_attempts()] == [last]
    assert journal.run_row(thread_id("frodo")).step == f"step-{last}"
    assert journal.commit([alone("frodo", last)]) == [Committed()]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_to_open_the_file_again_takes_no_lock_from_what_is_open(open_store, path):
    """Else the next process that closes it removes the log into which this one goes on writing."""
    journal = open_store().journal()
    journal.commit([alone("frodo", 0)])
    for use in ("journal", "leases", "migrate"):
        getattr(open_store(), use)()

    with child("write", path, "other") as process:
        assert process.stdout.read() == "other wrote 1\n"
    journal.commit([alone("frodo", 1)])

    assert path.with_name("journal.db-wal").exists()
    with child("write", path, "frodo") as process:
        assert process.stdout.read() == "frodo wrote 1\n"
    assert (revisions(journal, "frodo"), revisions(journal, "other")) == ([1, 2, 3], [1])


def test_to_refuse_a_file_takes_no_lock_from_its_owner_in_this_process(open_store, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as host:
        host.execute("CREATE TABLE invoices (id)")
        host.execute("BEGIN IMMEDIATE")
        with pytest.raises(ForeignStore):
            open_store().journal()
        with child("write to", path, "invoices") as process:
            assert process.stdout.read() == "database is locked\n"
        host.execute("ROLLBACK")


@pytest.fixture
def public_folder():
    """Where every user may look, and only we may write."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_a_folder_that_this_user_may_not_write_is_named(public_folder):
    public_folder.chmod(0o555)
    with child("open", public_folder / "mesh.db") as process:
        said = process.stdout.read().splitlines()
    assert said == [f"{public_folder}/mesh.db can not be used: its folder can not be written to"] * 3
    assert list(public_folder.iterdir()) == []


def test_a_file_that_this_user_may_not_write_is_named(public_folder, open_store):
    store = open_store(at=public_folder / "mesh.db")
    store.journal()
    store.close()
    store.path.chmod(0o444)
    public_folder.chmod(0o777)
    with child("open", store.path) as process:
        said = process.stdout.read().splitlines()
    assert said == [f"{store.path} can not be used: it can not be written to"] * 3


def test_a_folder_into_which_this_user_may_not_look_is_named(public_folder):
    (public_folder / "inner").mkdir()
    public_folder.chmod(0)  # not even for its owner, who may be the child too
    with child("open", public_folder / "inner" / "mesh.db") as process:
        said = process.stdout.read().splitlines()
    public_folder.chmod(0o700)
    assert len(said) == 3
    assert all(line.endswith("Permission denied") for line in said)
