"""What a store in PostgreSQL says when something is wrong, and that it goes on when that is over."""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import BaseModel
from squidmesh_postgres import PostgresBackend, pool, schema
from squidmesh_postgres.faults import translate, translate_commit
from squidmesh_postgres.raw import Raw

from chaos.wires.postgres_wire import STEP_COMMITS, PostgresWire
from squidmesh import Context, Mesh, Workflow, complete, manual, step
from squidmesh.errors import (
    AccessRefused,
    BackendUnavailable,
    CommitUnknown,
    DataRefused,
    SchemaOutOfDate,
    StoreDamaged,
    ThreadsLocked,
    TransactionLost,
    TransactionMisused,
    UsageError,
)
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, Conflict, Group, ThreadRead
from squidmesh.testing.journal_suite import alone, append, attempt_row, revisions, run_row, thread_id
from squidmesh.testing.postgres_programs import Account
from tests.support.postgreses import VERSIONS, started

LIMIT = timedelta(seconds=30)
LOST = "the answer to a commit was lost"


@pytest.fixture(scope="module")
def server(tmp_path_factory, postgres_templates):
    """Ours alone, to be killed and frozen."""
    with started(VERSIONS[0], tmp_path_factory.mktemp("trouble"), templates=postgres_templates) as server:
        yield server


@pytest.fixture
def url(server):
    found = server.create_database("trouble")
    PostgresBackend(found).migrate()
    yield found
    drop(server)


def drop(server):
    """As soon as it takes commands: it may still be about to recover from what a test did to it."""
    ends = time.monotonic() + LIMIT.total_seconds()
    while True:
        try:
            return server.drop_database("trouble")
        except psycopg.errors.InvalidCatalogName:
            return None  # an earlier try, whose answer was lost
        except psycopg.OperationalError:
            assert time.monotonic() < ends
            time.sleep(0.05)


@contextmanager
def opened(url):
    backend = PostgresBackend(url)
    try:
        yield backend.journal()
    finally:
        backend.close()


@pytest.fixture
def store(url):
    with opened(url) as store:
        yield store


def word(name="frodo", expected=0):
    """An append that makes work claimable, so that words go behind it."""
    rows = RowChanges(run=run_row(name), put=(attempt_row(name),))
    return Group(appends=(append(name, expected, rows=rows),))


def count(store, names="frodo sam"):
    return [len(revisions(store, name)) for name in names.split()]


# ------------------------------------------------------------------------------------------------------ what it is


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("22001", DataRefused),
        ("22P05", DataRefused),
        ("23505", DataRefused),
        ("54000", DataRefused),
        ("XX001", StoreDamaged),
        ("XX002", StoreDamaged),
        ("3F000", SchemaOutOfDate),
        ("42P01", SchemaOutOfDate),
        ("42703", SchemaOutOfDate),
        ("42501", UsageError),
        ("08006", BackendUnavailable),
        ("25006", BackendUnavailable),
        ("25P03", BackendUnavailable),
        ("28000", AccessRefused),
        ("28P01", AccessRefused),
        ("3D000", AccessRefused),
        ("40001", BackendUnavailable),
        ("40P01", BackendUnavailable),
        ("53100", BackendUnavailable),
        ("53200", BackendUnavailable),
        ("53300", BackendUnavailable),
        ("55P03", BackendUnavailable),
        ("57014", BackendUnavailable),
        ("57P01", BackendUnavailable),
        ("57P03", BackendUnavailable),
        ("58030", BackendUnavailable),
        ("XX000", BackendUnavailable),
    ],
)
def test_every_state_of_the_server_has_its_error(url, state, error):
    with psycopg.connect(url) as connection:
        raised = psycopg.errors.lookup(state)("the road goes ever on")
        assert type(translate(raised, "the shire")) is error
        assert type(translate_commit(raised, connection, "the shire")) is error
        assert "the shire" in str(translate(raised, "the shire"))
        assert "the road goes ever on" in str(translate(raised, "the shire"))


def test_a_state_that_is_not_known_may_pass():
    assert type(translate(psycopg.OperationalError("the line is dead"), "the shire")) is BackendUnavailable


# ------------------------------------------------------------------------------------------------- it is not there


def test_nobody_is_there(server, url, store):
    server.stop()
    with pytest.raises(BackendUnavailable, match="can not be used now"):
        PostgresBackend(url).migrate()
    with pytest.raises(BackendUnavailable, match="can not be used now"):
        PostgresBackend(url).journal()
    with pytest.raises(BackendUnavailable):
        store.commit([alone("frodo")])
    with pytest.raises(BackendUnavailable):
        store.read([ThreadRead(thread=thread_id("frodo"))])
    server.start()
    assert store.commit([alone("frodo")]) == [Committed()]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_what_was_idle_when_the_server_ended_costs_nobody_an_error(server, store, how):
    """It is found out before it is used."""
    with ThreadPoolExecutor(3) as threads:
        meet = threading.Barrier(3)
        list(threads.map(lambda name: (meet.wait(), store.commit([alone(name)])), ["frodo", "sam", "merry"]))
    if how == "kill":
        server.kill()
        server.start()
    else:
        server.restart()
    assert store.commit([alone("frodo", 1)]) == [Committed()]
    assert count(store) == [2, 1]


def test_a_session_that_is_ended_while_it_is_idle_costs_nobody_an_error(server, store):
    store.commit([alone("frodo")])
    for _ in range(3):
        for pid in server.backends():
            server.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert store.commit([alone("frodo", count(store)[0])]) == [Committed()]


def test_one_process_of_the_server_is_killed_and_takes_all_along(server, store):
    store.commit([alone("frodo")])
    os.kill(server.backends()[0], signal.SIGKILL)
    ends, answer = time.monotonic() + 20, None
    while answer is None:
        try:
            (answer,) = store.commit([alone("frodo", 1)])
        except (BackendUnavailable, CommitUnknown):
            assert time.monotonic() < ends
    assert answer in (Committed(), Conflict(thread=thread_id("frodo"), revision=2))
    assert count(store) == [2, 0]


def test_the_database_is_missing(server):
    url = f"postgresql://postgres@127.0.0.1:{server.port}/mordor"
    for ask in (PostgresBackend(url).migrate, PostgresBackend(url).journal):
        with pytest.raises(BackendUnavailable, match='database "mordor" does not exist'):
            ask()


@contextmanager
def in_front_of_hba(server, line):
    """A rule of who may come in."""
    file = Path(server.execute("SHOW hba_file")[0][0])
    before = file.read_text()
    file.write_text(f"{line}\n{before}")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        file.write_text(before)
        server.execute("SELECT pg_reload_conf()")


def test_the_password_is_wrong(server, url):
    server.execute("CREATE ROLE gandalf LOGIN SUPERUSER PASSWORD 'mellon'")
    with in_front_of_hba(server, "host all gandalf 127.0.0.1/32 scram-sha-256"):
        right, wrong = (url.replace("postgres@", f"gandalf:{said}@") for said in ("mellon", "friend"))
        with opened(right) as store:
            assert store.commit([alone("frodo")]) == [Committed()]
        with pytest.raises(AccessRefused, match="password authentication failed") as caught, opened(wrong):
            pass
        assert "friend" not in str(caught.value)
        with (
            pytest.raises(AccessRefused, match="no password supplied"),
            opened(url.replace("postgres@", "gandalf@")),
        ):
            pass
    server.execute("DROP ROLE gandalf")


def test_there_is_no_connection_left(server, url):
    server.execute("CREATE ROLE pippin LOGIN CONNECTION LIMIT 0")
    with pytest.raises(BackendUnavailable, match="too many connections"), opened(url.replace("postgres@", "pippin@")):
        pass
    server.execute("DROP ROLE pippin")


def test_a_role_without_rights_is_told_so(server, url):
    server.execute("CREATE ROLE grima LOGIN")
    with pytest.raises(UsageError, match="permission denied") as caught, opened(url.replace("postgres@", "grima@")):
        pass
    assert caught.value.code == "not_permitted"
    server.execute("DROP ROLE grima")


def test_a_server_that_is_too_old_is_not_migrated(server, monkeypatch):
    monkeypatch.setattr(schema, "OLDEST_SERVER", 99)
    with pytest.raises(BackendUnavailable, match=r"is PostgreSQL 18; allowed is 99 or newer"):
        PostgresBackend(server.url).migrate()


# ------------------------------------------------------------------------------------------------- it only reads


def test_a_replica_is_refused_until_it_is_the_primary(server, url):
    """Also where whoever wrote the address would take any server."""
    mark = Path(server.execute("SHOW data_directory")[0][0]) / "standby.signal"
    server.stop()
    mark.touch()
    Account.of_servers().own(mark)
    server.start()
    try:
        with pytest.raises(BackendUnavailable, match=r"read-only|hot standby"), opened(url):
            pass
        any_server, why = f"{url}?target_session_attrs=any", "is a replica, which only reads; allowed is the primary"
        with pytest.raises(BackendUnavailable, match=why), opened(any_server):
            pass
    finally:
        server.execute("SELECT pg_promote()")
    with opened(url) as store:
        assert store.commit([alone("frodo")]) == [Committed()]


def test_a_database_that_is_read_only_by_habit_is_written_to_where_the_address_says_so(server, url):
    server.execute("ALTER DATABASE trouble SET default_transaction_read_only = on")
    with pytest.raises(BackendUnavailable, match="read-only"), opened(url):
        pass
    with opened(f"{url}?target_session_attrs=any") as store:
        assert store.commit([alone("frodo")]) == [Committed()]


# ----------------------------------------------------------------------------------------------------- it refuses


def test_what_it_can_not_hold_hurts_nobody_else(store):
    bad = Group(appends=(append("frodo", rows=RowChanges(run=run_row("frodo", error="a\0b"))),))
    with pytest.raises(DataRefused):
        store.commit([bad, alone("sam")])
    assert count(store) == [0, 0]
    assert store.commit([alone("sam")]) == [Committed()]


# ----------------------------------------------------------------------------------------------------- it is slow


@contextmanager
def locked(url, name="frodo"):
    """Somebody else has that thread."""
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM squidmesh.threads WHERE thread = %s FOR UPDATE", [thread_id(name)])
        yield


def test_a_lock_is_not_waited_for_for_ever(url, monkeypatch):
    monkeypatch.setattr(pool, "LOCK_TIMEOUT", 0.2)
    with opened(url) as store:
        store.commit([alone("frodo")])
        with locked(url), pytest.raises(ThreadsLocked, match="holds 1 of its threads locked"):
            store.commit([alone("sam"), alone("frodo", 1)])
        assert count(store) == [1, 0]
        assert store.commit([alone("sam"), alone("frodo", 1)]) == [Committed(), Committed()]


def test_a_statement_does_not_take_for_ever(url, monkeypatch):
    monkeypatch.setattr(pool, "STATEMENT_TIMEOUT", 0.3)
    with opened(url) as store:
        store.commit([alone("frodo")])
        with locked(url), pytest.raises(BackendUnavailable, match=r"statement timeout.*57014"):
            store.commit([alone("frodo", 1)])
        assert store.commit([alone("frodo", 1)]) == [Committed()]


def test_a_server_that_says_nothing_at_all_is_given_up(server, url, monkeypatch):
    """What was asked of it is done all the same, when it goes on: the same append finds itself there."""
    monkeypatch.setattr(pool, "PATIENCE", 1.0)
    with opened(f"{url}?connect_timeout=2") as store, ThreadPoolExecutor(2) as threads:
        store.commit([alone("frodo")])
        meet = threading.Barrier(2)
        list(threads.map(lambda name: (meet.wait(), store.read([])), range(2)))  # two sessions
        server.freeze()
        try:
            began = time.monotonic()
            commit = threads.submit(store.commit, [alone("frodo", 1)])
            read = threads.submit(store.read, [ThreadRead(thread=thread_id("frodo"))])
            with pytest.raises(CommitUnknown, match=LOST):
                commit.result(30)
            with pytest.raises(BackendUnavailable, match="can not be used now"):
                read.result(30)
            with pytest.raises(BackendUnavailable, match="timeout"):
                store.commit([alone("frodo", 1)])
            assert 1 < time.monotonic() - began < 25
        finally:
            server.resume()
        again = store.commit([alone("frodo", 1)])
        assert again in ([Committed()], [Conflict(thread=thread_id("frodo"), revision=2)])
        assert count(store) == [2, 0]


# ----------------------------------------------------------------------------------------------- an answer is lost


@pytest.fixture
def proxy(server):
    with PostgresWire(server.port) as proxy:
        yield proxy


@pytest.fixture
def far(server, url, proxy):
    """The store, through the proxy."""
    with opened(url.replace(f":{server.port}/", f":{proxy.port}/")) as store:
        yield store


def test_what_is_asked_for_in_the_middle_of_a_pipeline_passes_the_proxy(server, url, proxy):
    with (
        psycopg.connect(url.replace(f":{server.port}/", f":{proxy.port}/"), autocommit=True) as connection,
        connection.pipeline(),
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.execute("SELECT 2").fetchone() == (2,)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("expected", [0, 1], ids=["a_thread_begins", "a_thread_goes_on"])
def test_a_commit_whose_answer_was_lost_is_unknown_and_repeating_it_tells(far, proxy, early, expected):
    if expected:
        far.commit([word()])
    proxy.lose(1, early=early)
    with pytest.raises(CommitUnknown, match=LOST):
        far.commit([word(expected=expected)])
    (again,) = far.commit([word(expected=expected)])
    ours = append("frodo", expected).entry_id
    assert far.entry(thread_id("frodo"), expected + 1).entry_id == ours
    if not early:
        assert again == Conflict(thread=thread_id("frodo"), revision=expected + 1)
    assert count(far) == [expected + 1, 0]


def test_a_read_whose_answer_was_lost_may_be_repeated(far, proxy):
    far.commit([alone("frodo")])
    proxy.lose(1, re.compile("FROM squidmesh.entries"))
    with pytest.raises(BackendUnavailable) as caught:
        far.read([ThreadRead(thread=thread_id("frodo"))])
    assert not isinstance(caught.value, CommitUnknown)
    assert count(far) == [1, 0]


def test_words_that_can_not_be_said_are_no_error_of_the_commit(store):
    """It is committed, and whoever repeated it would take his own entry for another's."""
    store._announce_behind = Raw("SELECT 1 / 0 FROM (SELECT %(channel)s::text, %(queues)s::text) AS word")
    assert store.commit([word()]) == [Committed()]
    assert count(store) == [1, 0]


def test_a_session_that_ends_before_the_words_are_said_is_no_error_of_the_commit(far, proxy):
    proxy.lose(1, re.compile("pg_notify"))
    assert far.commit([word()]) == [Committed()]
    assert proxy.lost == ["done"]
    assert count(far) == [1, 0]


# --------------------------------------------------------------------------------------------- a step's transaction


@pytest.fixture
def table(server, url):
    server.execute("CREATE TABLE ledger (entry text)", database="trouble")
    return lambda: server.execute("SELECT entry FROM ledger", database="trouble")


def write(lent):
    lent.connection.execute("INSERT INTO ledger VALUES ('paid')")


@pytest.mark.parametrize("early", [False, True])
def test_a_steps_commit_whose_answer_was_lost_is_unknown(far, proxy, table, early):
    proxy.lose(1, STEP_COMMITS, early=early)
    with pytest.raises(CommitUnknown, match=LOST), far.transaction(LIMIT) as lent:
        write(lent)
        lent.store.commit([alone("frodo")])
    (again,) = far.commit([append_of_another()])
    happened = isinstance(again, Conflict)
    assert happened or early
    assert table() == ([("paid",)] if happened else [])
    assert count(far) == [1, 0]


def append_of_another():
    """What takes the place that the lost one would have had."""
    return Group(appends=(append("frodo", entry_id="another"),))


def test_a_server_that_ends_a_steps_session_costs_a_delivery_whatever_the_step_makes_of_it(server, store, table):
    def end(lent):
        server.execute("SELECT pg_terminate_backend(%s, 5000)", [lent.connection.info.backend_pid])

    gone = "has gone in the middle of a step's transaction"
    with pytest.raises(TransactionLost, match=gone), store.transaction(LIMIT) as lent:
        write(lent)
        end(lent)
        with pytest.raises(psycopg.OperationalError):
            write(lent)
    with pytest.raises(TransactionLost), store.transaction(LIMIT) as lent:
        write(lent)
        end(lent)
        lent.require_whole()
    assert table() == []


class Payment(BaseModel):
    deaths: int


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_step_during_which_the_server_goes_away_is_delivered_again_a_few_times(url, table, deaths):
    """It is no failure of the step, which has no retries; but one that brings the server down each time is dead."""

    def pay(deaths: int, context: Context) -> None:
        write(context)
        if context.delivery <= deaths:
            context.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    class Shop(Workflow):
        version = "1"
        order = manual(Payment)
        paid = step(pay, transaction=True)
        flow = (paid.to(complete),)

    with Mesh.connect(url, workflows=[Shop], max_deliveries=2) as mesh:
        run = mesh.start_run(Shop.order, Payment(deaths=deaths))
        with mesh.worker(concurrency=1):
            if deaths == 1:
                assert mesh.wait_for(run.run_id, timeout=30).status == "completed"
                assert table() == [("paid",)]
                return
            ends = time.monotonic() + 30
            while not mesh.list_dead_letters().dead_letters:
                assert time.monotonic() < ends
                time.sleep(0.02)
        assert table() == []
        assert mesh.inspect_run(run.run_id).status == "waiting"


def test_a_step_that_sleeps_in_its_transaction_has_misused_it(store, table):
    short = timedelta(seconds=0.2)
    with pytest.raises(TransactionMisused, match="done nothing in its transaction"), store.transaction(short) as lent:
        write(lent)
        time.sleep(0.6)
        lent.require_whole()
    with store.transaction(short) as lent:
        write(lent)
        time.sleep(0.6)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            write(lent)
        with pytest.raises(TransactionMisused, match="done nothing in its transaction"):
            lent.require_whole()
    assert table() == []


def test_a_step_that_can_not_begin_has_not_begun(server, store):
    server.stop()
    with pytest.raises(BackendUnavailable) as caught, store.transaction(LIMIT):
        raise AssertionError("nobody is there")
    assert not isinstance(caught.value, TransactionLost)
    server.start()
    with store.transaction(LIMIT) as lent:
        assert lent.connection.execute("SELECT 1").fetchone() == (1,)


# ----------------------------------------------------------------------------------------------------- it is closed


def test_a_closed_store_says_so(url):
    with opened(url) as store:
        store.commit([alone("frodo")])
    with pytest.raises(UsageError, match="this store is closed") as caught:
        store.commit([alone("frodo", 1)])
    assert caught.value.code == "store_closed"
