"""Eight processes at one journal: locks are taken in one order, so there is no deadlock, and nobody starves."""

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend

from squidmesh.ports.journal_store import ThreadRead
from squidmesh.testing.journal_suite import thread_id
from tests.support.appenders import PROCESSES, append_to_one, append_to_own, append_to_shared, processes
from tests.support.parts import aside


@pytest.fixture(scope="module")
def at_once():
    with processes() as at_once:
        yield at_once


@pytest.fixture
def url(postgres_url):
    PostgresBackend(postgres_url).migrate()
    return postgres_url


def read(url, *names):
    backend = PostgresBackend(url)
    histories = backend.journal().read([ThreadRead(thread=thread_id(name)) for name in names])
    backend.close()
    return [history.tail for history in histories]


def deadlocks(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        return connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()


@pytest.mark.parametrize("rounds", [8, aside(30)])
def test_appends_to_disjoint_runs_never_conflict(at_once, url, rounds):
    assert at_once(append_to_own, url, rounds, 16) == [0] * PROCESSES
    assert deadlocks(url) == (0,)


def test_batches_over_the_same_runs_never_deadlock(at_once, url):
    """Whoever was in a deadlock would have raised; the server counts them besides."""
    told = at_once(append_to_shared, url, 75, 64)
    done, conflicts = map(sum, zip(*told, strict=True))
    assert done + conflicts == PROCESSES * 75 * 64
    assert conflicts > 0, "they did not meet"
    assert deadlocks(url) == (0,)

    tails = read(url, *(f"shared-{run}" for run in range(64)))
    assert all([entry.revision for entry in tail] == list(range(1, len(tail) + 1)) for tail in tails)
    assert sum(map(len, tails)) == done


def test_one_run_takes_the_entries_of_all_in_turn(at_once, url):
    """Each has to get in thirty times, and does: a writer that waits is in the line for the lock."""
    again = at_once(append_to_one, url, 30)
    (tail,) = read(url, "fought-over")
    assert [entry.revision for entry in tail] == list(range(1, PROCESSES * 30 + 1))
    assert len({entry.entry_id for entry in tail}) == PROCESSES * 30
    assert sum(again) > 0, "they did not meet"
