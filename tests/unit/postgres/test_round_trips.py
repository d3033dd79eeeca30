"""What each path asks of the server: counted, so it is the same on every machine."""

import json
import random
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from msgspec import structs
from squidmesh_postgres.raw import Raw

from benchmarks.journals import linear, open_backend
from squidmesh.ids import ThreadId, parse_attempt_key
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.backend import nobody_listens
from squidmesh.ports.journal_store import Committed, Group, ThreadRead
from squidmesh.testing.journal_suite import alone, append, attempt_row

STEPS = 3
RUNS = 64
WORKFLOW = linear(STEPS)


@pytest.fixture
def asked(monkeypatch):
    """How many statements this process has sent, and how many pipelines of several at once."""
    found: Counter[str] = Counter()
    execute, pipeline = psycopg.Cursor.execute, psycopg.Connection.pipeline

    def counted(self, *arguments, **options):
        found["statements"] += 1
        return execute(self, *arguments, **options)

    @contextmanager
    def counted_pipeline(self):
        before = found["statements"]
        with pipeline(self) as opened:
            yield opened
        found["spared"] += max(0, found["statements"] - before - 1)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    monkeypatch.setattr(psycopg.Connection, "pipeline", counted_pipeline)
    return found


def journeys(asked):
    return asked["statements"] - asked["spared"]


@pytest.fixture
def journal(backend, monkeypatch):
    """Whose pumps look at nothing now and then: what is counted does not depend on how long it takes."""
    monkeypatch.setattr("squidmesh.runtime.engine.BUSY_LOOK", 3600.0)
    monkeypatch.setattr("squidmesh.runtime.pauses.AGE", timedelta(hours=1))
    with open_backend(backend, WORKFLOW) as opened:
        opened.mesh.execute_next()
        opened.start(WORKFLOW, 1)
        opened.finish(capacity=1)  # what is asked once
        yield opened


def test_a_thread_that_begins_is_one_statement(store, asked):
    store.commit([alone("frodo")])  # its session is opened
    asked.clear()
    assert store.commit([alone("sam"), alone("merry")]) == [Committed()] * 2
    assert (asked["statements"], journeys(asked)) == (1, 1)


def test_threads_that_begin_beside_others_are_one_journey(store, asked):
    store.commit([alone("frodo")])
    asked.clear()
    assert store.commit([alone("frodo", 1), alone("sam")]) == [Committed()] * 2
    assert (asked["statements"], journeys(asked)) == (2, 1)


def test_a_start_is_a_statement_and_a_word(journal, asked):
    journal.start(WORKFLOW, 1)
    assert (asked["statements"], journeys(asked)) == (2, 2)


def test_a_bulk_start_costs_no_more(journal, asked):
    journal.start(WORKFLOW, RUNS)
    assert (asked["statements"], journeys(asked)) == (2, 2)


def test_what_is_equal_in_a_bulk_start_is_said_once(journal, monkeypatch):
    said = []
    execute = Raw.execute

    def heard(self, connection, parameters, **options):
        said.append(parameters)
        return execute(self, connection, parameters, **options)

    monkeypatch.setattr(Raw, "execute", heard)
    journal.start(WORKFLOW, RUNS)
    (written,) = [each for each in said if "definitions" in each]
    assert [len(json.loads(written[part])) for part in ("runs", "put", "definitions")] == [1, 1, 1]
    assert len(json.loads(written["runs"])[0]["run_id"]) == RUNS
    names = 5 * 36  # a run's id four times, an entry's once; and what stands around them
    assert (len(written["appends"]) + len(written["runs"]) + len(written["put"])) / RUNS < names + 60


def test_a_journal_whose_work_is_delivered_elsewhere_says_no_word(journal, asked):
    nobody_listens(journal.engine.store)
    journal.start(WORKFLOW, 1)
    assert (asked["statements"], journeys(asked)) == (1, 1)


MOST = {1: (6.5, 5.5), 16: (0.6, 0.5), 64: (0.25, 0.2)}
"""By how many are in flight: statements a run, and journeys. One alone: a claim (two statements, one journey) with the
run's history, the claim's entry, and one for each step; and what is looked at now and then."""


@pytest.mark.parametrize("in_flight", MOST)
def test_many_in_flight_share_statements_and_journeys(journal, asked, in_flight):
    journal.start(WORKFLOW, RUNS)
    pump = journal.pump(capacity=in_flight)
    asked.clear()
    while not pump.turn().idle_for:
        pass
    assert journal.mesh.count_runs() == {"completed": RUNS + 1}
    statements, journeys_ = MOST[in_flight]
    assert asked["statements"] / RUNS < statements
    assert journeys(asked) / RUNS < journeys_


def test_the_log_of_a_step_stays_small(journal, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:

        def written():
            ((found,),) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchall()
            return int(found)

        connection.execute("CHECKPOINT")
        journal.start(WORKFLOW, 2 * RUNS)
        journal.finish(capacity=64)  # whole pages are written for the first time
        before = written()
        journal.start(WORKFLOW, 2 * RUNS)
        started = written()
        journal.finish(capacity=64)
        ended = written()
    assert (started - before) / (2 * RUNS) < 3_000
    assert (ended - started) / (2 * RUNS) / STEPS < 3_500


def test_a_first_claim_brings_the_history_and_a_later_one_does_not(journal, backend):
    leases, store = backend.leases(), journal.engine.store
    journal.start(WORKFLOW, 2)
    begun, goes_on = (row.run_id for row in store.open_attempts())
    second = Group(appends=(structs.replace(append("second", 1), thread=ThreadId(goes_on)),))
    assert store.commit([second]) == [Committed()]
    grants = leases.claim(["default"], owner="sam", limit=9, lease=timedelta(seconds=9), request_id="one")
    assert {parse_attempt_key(claimed.item)[0] for claimed in grants.claims} == {begun, goes_on}
    (history,) = store.read([ThreadRead(thread=ThreadId(begun))])
    ((item, first),) = grants.begun.items()
    assert (parse_attempt_key(item)[0], first) == (begun, (history.tail[0].entry_id, history.tail[0].body))


@pytest.mark.parametrize("size", [0, 6_000, 10_000, 250_000])
def test_a_large_first_entry_does_not_come_with_the_claim(journal, backend, size):
    """All that comes is one row: hundreds of large ones would keep the claim from being answered in time."""
    told = append("large", body=b"1:" + random.Random(1).randbytes(size), rows=RowChanges(put=(attempt_row("large"),)))
    assert journal.engine.store.commit([Group(appends=(told,))]) == [Committed()]
    grants = backend.leases().claim(["default"], owner="sam", limit=9, lease=timedelta(seconds=9), request_id="one")
    assert len(grants.claims) == 1
    assert list(grants.begun.values()) == ([(told.entry_id, told.body)] if size < 8_192 else [])
