"""A process that forks: SQLite's locks stay behind, so no connection may come along."""

import sqlite3
from contextlib import closing

import pytest

from squidmesh.testing.journal_suite import alone, revisions
from tests.unit.sqlite.processes import child


def is_sound(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("how", ["as it was", "opened anew"])
def test_nothing_that_was_acknowledged_after_a_fork_is_lost(open_store, path, how):
    """The parent closes, another process comes and goes, and the child writes on."""
    with child("fork and close", path, how) as process:
        said = [process.stdout.readline() for _ in range(3)]
        assert said == ["parent wrote 1\n", "child wrote 3\n", "closed\n"]
        other = open_store()
        assert len(revisions(other.journal(), "child")) == 3
        other.journal().commit([alone("other", 0)])
        other.close()
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.read().splitlines() == ["child wrote 5", "parent wrote 2", "child ended 0"]

    journal = open_store().journal()

    assert [len(revisions(journal, name)) for name in ("parent", "child", "other")] == [3, 8, 1]
    assert is_sound(path)


def test_a_fork_waits_until_no_thread_uses_a_connection(open_store, path):
    with child("fork while writing", path) as process:
        *wrote, ended = process.stdout.read().splitlines()
    assert ended == "children ended" + 10 * " 0"

    journal = open_store().journal()

    assert len(wrote) == 12
    for line in wrote:
        name, _, times = line.split()
        assert len(revisions(journal, name)) == int(times)
    assert is_sound(path)


def test_a_sleeper_sleeps_on_through_a_fork(path):
    with child("fork with a sleeper", path) as process:
        assert process.stdout.read().splitlines() == ["child wrote 1", "woken"]


def test_a_child_refuses_what_was_in_use_at_the_fork(open_store, path):
    """By whatever name it is opened; the parent goes on, and other files can be used."""
    with child("fork in a transaction", path) as process:
        said = process.stdout.read().splitlines()
    assert said == ["forked"] * 7 + ["elsewhere wrote 1", "parent wrote 1", "child ended 0"]
    assert revisions(open_store().journal(), "parent") == [1]
    assert is_sound(path)


def test_a_child_of_a_fork_that_python_was_not_told_of_refuses_what_was_open(path):
    with child("fork behind our back", path) as process:
        assert process.stdout.read().splitlines() == ["parent wrote 1", "forked", "forked", "forked"]
