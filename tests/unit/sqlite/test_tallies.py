"""How many runs have ended is tallied by the transaction that ends them: always what counting them would say."""

import sqlite3
from contextlib import closing

import pytest
from squidmesh_sqlite.migrating import add_functions

from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Conflict
from squidmesh.testing.journal_suite import add_run, alone, run_row
from squidmesh.testing.retention_suite import ended, pruning


def counted(path):
    """One by one, by status; and for each workflow alone."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT workflow, status, count(*) FROM runs GROUP BY workflow, status").fetchall()
    found: dict[str | None, dict[str, int]] = {}
    for workflow, status, runs in rows:
        for name in (None, workflow):
            found.setdefault(name, {}).setdefault(status, 0)
            found[name][status] += runs
    return found


def told(journal, *workflows):
    found = {name: journal.count_runs(workflow=name) for name in (None, *workflows)}
    return {name: counts for name, counts in found.items() if counts}


def ends(name, status="completed", expected=1):
    return alone(name, expected, rows=RowChanges(run=run_row(name, ended_at=5, status=status, step=None)))


@pytest.fixture
def journal(backend):
    return backend.journal()


def test_what_is_pruned_is_counted_no_more(journal, path):
    for number in range(6):
        ended(journal, f"orc-{number}", 5)
    ended(journal, "ent", 5, workflow="Entmoot")
    add_run(journal, "frodo", status="paused")
    assert told(journal, "Entmoot", "RingErrand") == counted(path)

    gone = [pruning(name, derived=name == "orc-1") for name in ("orc-0", "orc-1", "ent")]
    assert journal.prune(gone) == Committed()

    assert told(journal, "Entmoot", "RingErrand") == counted(path)
    assert journal.count_runs() == {"completed": 4, "paused": 1}
    assert journal.count_runs(workflow="Entmoot") == {}


def test_a_prune_that_is_refused_leaves_the_tallies_alone(journal, path):
    ended(journal, "frodo", 5)
    ended(journal, "sam", 5)
    assert isinstance(journal.prune([pruning("frodo"), pruning("sam", revision=9)]), Conflict)
    assert told(journal, "RingErrand") == counted(path) == {None: {"completed": 2}, "RingErrand": {"completed": 2}}


def test_what_was_rolled_back_has_not_ended(journal, path):
    add_run(journal, "frodo")
    add_run(journal, "sam")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        add_functions(connection)
        connection.execute("BEGIN IMMEDIATE")
        assert journal.commit_in(connection, [ends("frodo"), ends("sam", "failed")]) == [Committed(), Committed()]
        assert connection.execute("SELECT sum(runs) FROM run_tallies").fetchone() == (2,)
        connection.execute("ROLLBACK")
    assert told(journal, "RingErrand") == counted(path)
    assert journal.count_runs() == {"running": 2}

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        add_functions(connection)
        connection.execute("BEGIN IMMEDIATE")
        assert journal.commit_in(connection, [ends("frodo")]) == [Committed()]
        connection.execute("COMMIT")
    assert told(journal, "RingErrand") == counted(path)
    assert journal.count_runs() == {"running": 1, "completed": 1}


def test_an_end_that_came_too_late_is_not_counted(journal, path):
    add_run(journal, "frodo")
    assert journal.commit([ends("frodo")]) == [Committed()]
    (answer,) = journal.commit([ends("frodo", "failed")])
    assert isinstance(answer, Conflict)
    assert told(journal, "RingErrand") == counted(path) == {None: {"completed": 1}, "RingErrand": {"completed": 1}}


def test_a_run_that_goes_on_again_is_counted_as_it_stands(journal, path):
    """A dead letter that is replayed, for one: what has failed is at work again, and may fail or complete anew."""
    add_run(journal, "frodo")
    journal.commit([ends("frodo", "failed")])
    journal.commit([alone("frodo", 2, rows=RowChanges(run=run_row("frodo")))])
    assert journal.count_runs() == {"running": 1}
    journal.commit([ends("frodo", "completed", 3)])
    assert told(journal, "RingErrand") == counted(path) == {None: {"completed": 1}, "RingErrand": {"completed": 1}}
