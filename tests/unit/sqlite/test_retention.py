"""What a prune asks of SQLite, what it costs the others, and what is left when it is killed in its transaction."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from squidmesh_sqlite import schema, statements
from squidmesh_sqlite.migrating import add_functions
from squidmesh_sqlite.statements import load, migrations

from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Conflict, Group
from squidmesh.testing.journal_suite import add_run, alone, append, read, run_row, thread_id
from squidmesh.testing.retention_suite import LONG_AFTER, ended, pruning

ROOT = Path(__file__).parents[3]
GIVEN = {"until": 9, "ended_at": 0, "run_id": "", "limit": 9}


@pytest.fixture
def database():
    with closing(sqlite3.connect(":memory:")) as connection:
        add_functions(connection)
        for migration in migrations():
            for statement in migration.statements():
                connection.execute(statement)
        yield connection


@pytest.mark.parametrize("name", sorted(load("retention")))
def test_every_statement_goes_by_an_index_in_its_order(database, name):
    sql = load("retention")[name]
    values = GIVEN if ":until" in sql else ("[]",) * max(sql.count("?"), 1) if "?1" not in sql else ("x",)
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]

    assert not [step for step in steps if step.startswith("SCAN") and "json_each" not in step], steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


def test_what_may_be_pruned_is_found_without_a_look_at_what_is_open(database):
    (step,) = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {load('retention')['ended']}", GIVEN)]
    assert step.startswith("SEARCH runs USING INDEX runs_ended (")


def test_only_an_append_that_begins_a_thread_asks_for_tombstones(watched, asked):
    journal = watched.journal()
    asked.clear()
    journal.commit([alone("frodo")])
    asking = [sql for sql in asked if "tombstones" in sql]
    asked.clear()
    journal.commit([alone("frodo", 1), alone("sam", 1)])
    journal.commit([alone("frodo", 1, rows=RowChanges(run=run_row("frodo", ended_at=1)))])

    assert len(asking) == 1
    assert [sql for sql in asked if "tombstones" in sql] == []


@pytest.mark.parametrize("size", [1, 16, 64])
def test_starts_ask_once_for_all_of_them(watched, asked, size):
    journal = watched.journal()
    journal.commit([alone("first")])
    asked.clear()
    journal.commit([alone(f"orc-{number}") for number in range(size)])

    assert len([sql for sql in asked if "tombstones" in sql]) == 1


@pytest.mark.parametrize("size", [1, 100])
def test_a_prune_is_one_transaction_of_a_dozen_statements(watched, asked, size):
    journal = watched.journal()
    for number in range(size):
        ended(journal, f"orc-{number}", 5)
    asked.clear()
    assert journal.prune([pruning(f"orc-{number}", derived=True) for number in range(size)]) == Committed()

    assert (len(asked), asked.count("COMMIT;")) == (11, 1)


def test_a_step_can_not_write_tombstones(backend):
    with backend.journal().transaction(timedelta(seconds=9)) as opened:
        for table in ("tombstones", "pauses", "run_tallies"):
            with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
                opened.connection.execute(f"DELETE FROM {table}")


def test_a_step_can_not_stop_the_tallies(backend):
    with backend.journal().transaction(timedelta(seconds=9)) as opened:
        for trigger in ("run_ended", "run_is_gone"):
            with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
                opened.connection.execute(f"DROP TRIGGER {trigger}")


def test_runs_of_an_older_schema_are_there_and_may_be_pruned(open_store, path, monkeypatch):
    names = [migration.name for migration in migrations()]
    before = names.index("0010_retention")
    monkeypatch.setattr(schema, "migrations", lambda: statements.migrations()[:before])
    open_store().migrate()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO entries VALUES (?, 1, 'e', x'00')", (thread_id("frodo"),))
        connection.execute(
            "INSERT INTO runs VALUES (?, 'w', '1', 't', 'k', 'q', 'completed', NULL, NULL, 1, NULL, 5)",
            (thread_id("frodo"),),
        )
        connection.commit()
    monkeypatch.undo()
    opened = open_store()
    assert opened.migrate() == names[before:]
    journal = opened.journal()

    (row,) = journal.prunable(LONG_AFTER)
    assert (row.run_id, row.parent) == (thread_id("frodo"), None)
    assert journal.prune([pruning("frodo", derived=True)]) == Committed()
    assert journal.commit([alone("frodo")]) == [Conflict(thread=thread_id("frodo"), revision=1)]


KILLED = """
import os, signal, sqlite3, sys
import msgspec
from squidmesh.ports.journal_store import Pruning
from squidmesh.runtime.chance import SystemClock
from squidmesh_sqlite import SqliteBackend

class Dies(sqlite3.Connection):
    left = 0

    def reach(self):
        Dies.left -= 1
        if Dies.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, sql, *given):
        self.reach()
        return super().execute(sql, *given)

    def executemany(self, sql, *given):
        self.reach()
        return super().executemany(sql, *given)

def prune(place):
    Dies.left = place
    store = SqliteBackend(f"sqlite:///{sys.argv[1]}", clock=SystemClock(), factory=Dies).journal()
    store.prune(msgspec.json.decode(sys.argv[2], type=list[Pruning]))
    os._exit(0)

def found():
    connection = sqlite3.connect(sys.argv[1])
    tables = ("entries", "checkpoints", "runs", "tombstones")
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    connection.close()
    return counts

ended, place = None, 0
while ended != 0:
    place += 1
    child = os.fork() or prune(place)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(ended, *found())
"""


def test_a_process_that_is_killed_in_the_middle_of_a_prune_leaves_whole_runs_or_none(backend, path):
    """SIGKILL before each statement: the process has no say in what becomes of its transaction."""
    journal = backend.journal()
    for name in ("frodo", "sam"):
        ended(journal, name, 5)
        journal.commit([alone(name, 1, checkpoint=b"state")])
    backend.close()
    asked = msgspec.json.encode([pruning(name, 2, derived=True) for name in ("frodo", "sam")]).decode()

    told = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), asked],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])},
        capture_output=True,
        text=True,
        timeout=60,
    )

    *deaths, last = told.stdout.splitlines()
    assert set(deaths) == {f"{-signal.SIGKILL} 4 2 2 0"}, told.stderr
    assert len(deaths) > 10, "it died at more than ten places, and nothing of it was done there"
    assert last == "0 0 0 0 2"


def test_a_group_of_parent_and_pruned_child_is_refused_in_one_statement_more(watched, asked):
    journal = watched.journal()
    add_run(journal, "gandalf")
    ended(journal, "frodo", 5)
    journal.prune([pruning("frodo", derived=True)])
    asked.clear()
    (answer,) = journal.commit([Group(appends=(append("gandalf", 1), append("frodo")))])

    assert answer == Conflict(thread=thread_id("frodo"), revision=1)
    assert read(journal, "gandalf").tail[-1].revision == 1
