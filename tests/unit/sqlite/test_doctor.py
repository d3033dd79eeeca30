"""What a doctor sees of a file, well or ill: and that nothing is changed by the look."""

import sqlite3
from collections import namedtuple
from contextlib import closing
from hashlib import sha256

import pytest
from squidmesh_sqlite import doctor

from squidmesh.journal.rows import RowChanges
from squidmesh.testing.journal_suite import alone, run_row


def told(backend, name):
    (found,) = [one for one in backend.doctor() if one.name == f"sqlite.{name}"]
    return found.level, found.found


def refused(backend):
    return {one.name.removeprefix("sqlite."): one.found for one in backend.doctor() if one.level == "refused"}


@pytest.fixture
def full(backend):
    """A file with some pages in it, that nobody has open."""
    store = backend.journal()
    store.commit([alone(f"hobbit-{n}", rows=RowChanges(run=run_row(f"hobbit-{n}"))) for n in range(200)])
    backend.close()
    return backend


def set_pragma(path, sql):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


def test_a_file_that_is_well(full, path):
    assert {one.name: one.level for one in full.doctor()} == {
        f"sqlite.{name}": "ok"
        for name in ("file_system", "file", "schema", "journal_mode", "synchronous", "quick_check", "disk")
    }
    assert str(path) in told(full, "file")[1]


def test_a_look_leaves_the_file_as_it_is(full, path):
    before = sha256(path.read_bytes()).digest()
    full.doctor()
    with full.reading() as reading:
        reading.journal.count_runs()
    assert sha256(path.read_bytes()).digest() == before


def test_what_is_read_can_not_be_written(full):
    with full.reading() as reading, pytest.raises(Exception, match="readonly"):
        reading.journal.commit([alone("sauron")])


def test_a_file_that_is_not_there_is_not_made(backend, path):
    level, found = told(backend, "file")
    assert (level, "not there yet" in found) == ("warning", True)
    assert not path.exists()


def test_a_folder_that_is_not_there(open_store, tmp_path):
    (why,) = refused(open_store(at=tmp_path / "nowhere" / "journal.db")).values()
    assert "does not exist" in why


def test_a_file_of_somebody_else(open_store, path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rings (one TEXT)")
    assert "of another program" in refused(open_store())["file"]
    path.write_text("no database at all, and longer than a page of five hundred bytes" * 20)
    assert "no SQLite database" in refused(open_store())["file"]


def test_a_schema_that_is_too_old_or_too_new(full, path):
    set_pragma(path, "PRAGMA user_version = 3")
    assert refused(full) == {"schema": "3"}
    set_pragma(path, "PRAGMA user_version = 99")
    assert "only" in refused(full)["schema"]


def test_a_journal_mode_that_a_copy_has(full, path):
    set_pragma(path, "PRAGMA journal_mode = DELETE")
    assert told(full, "journal_mode") == ("warning", "delete")
    assert told(full, "journal_mode") == ("warning", "delete"), "the look has not changed it"


def test_a_file_that_is_damaged(full, path):
    whole = path.read_bytes()
    for spoilt in (whole[:8192] + bytes([7]) * 8192 + whole[16384:], whole[: len(whole) // 2]):
        path.write_bytes(spoilt)
        assert refused(full), "whatever it is"


def test_a_file_whose_check_takes_too_long(full, monkeypatch):
    monkeypatch.setattr(doctor, "CHECK_LIMIT", -1.0)
    monkeypatch.setattr(doctor, "_EVERY", 10)
    level, found = told(full, "quick_check")
    assert (level, "not done within" in found) == ("warning", True)


def test_a_disk_that_is_nearly_full(full, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(9, 9, 5000))
    assert told(full, "disk") == ("warning", "4.9 KiB free")


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /srv rw,relatime shared:7 - nfs4 server:/srv rw
31 30 0:31 / /srv/local rw,relatime - xfs /dev/vdb rw
32 22 0:32 / /data/with\\040space rw - cifs //server/share rw
33 22 0:33 / /bag/end rw - ext4 /dev/vdc rw
34 33 0:34 / /bag/end rw - fuse.sshfs bag:/end rw
rubbish
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/deep/er", "nfs4"),
        ("/srv/local/db", "xfs"),
        ("/srvother", "ext4"),
        ("/data/with space", "cifs"),
        ("/bag/end/db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder(tmp_path, folder, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert doctor.file_system(type(tmp_path)(folder), mounts) == kind


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "refused"), ("cifs", "refused"), ("smb3", "refused"), ("fuse.sshfs", "refused"), ("ext4", "ok"),
     ("xfs", "ok"), ("tmpfs", "ok"), ("apfs", "ok"), ("fuse.ntfs", "ok"), (None, "ok")],
)  # fmt: skip
def test_a_disk_of_another_machine_is_refused(full, monkeypatch, kind, level):
    monkeypatch.setattr(doctor, "file_system", lambda folder: kind)
    assert told(full, "file_system") == (level, kind or "not known")


def test_where_nobody_tells_of_mounts_nothing_is_known(tmp_path):
    assert doctor.file_system(tmp_path, tmp_path / "nowhere") is None


def test_a_file_that_is_busy_can_be_looked_at(full, path):
    store = full.journal()
    with store._pool.write():
        assert refused(full) == {}
