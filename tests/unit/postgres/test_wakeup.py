"""Sleepers are woken by commits of other processes, for their own queues, and after the server was away."""

import os
import threading
import time
from datetime import timedelta

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend

from squidmesh.ports.lease_backend import Release
from squidmesh.testing.lease_suite import claim_one, item
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.wakeup_suite import AGES, waiting

LISTENS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'squidmesh wakeup'"
)
A_WHILE = timedelta(milliseconds=200)


def eventually(look):
    ends = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < ends, "it never happens"
        time.sleep(0.01)
    return found


@pytest.fixture
def operator(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(backend, postgres_url):
    """Another process, as far as anybody can tell."""
    other = PostgresBackend(postgres_url)
    yield JournalPlane(other.journal(), other.leases())
    other.close()


def listeners(operator):
    """Those that listen by now: who has asked for it has no query open."""
    return [pid for (pid,) in operator.execute(f"{LISTENS} AND state = 'idle' AND query LIKE 'LISTEN%'")]


def asleep(backend, operator, *queues):
    wakeup = backend.wakeup(queues)
    thread = waiting(wakeup)
    eventually(lambda: listeners(operator))
    return thread


def test_a_commit_of_another_process_wakes(backend, operator, other):
    thread = asleep(backend, operator)
    other.publish(item("ring"))
    thread.join(20)
    assert not thread.is_alive()


def test_a_commit_wakes_those_of_its_queue_only(backend, operator, other):
    default, any_, mordor = (asleep(backend, operator, *queues) for queues in (["default"], [], ["mordor", "shire"]))
    other.publish(item("ring"))
    default.join(20)
    any_.join(20)
    assert (default.is_alive(), any_.is_alive(), mordor.is_alive()) == (False, False, True)
    other.publish(item("eye", queue="mordor"))
    mordor.join(20)
    assert not mordor.is_alive()


def test_a_word_between_two_waits_is_not_missed(backend, operator, other):
    wakeup = backend.wakeup(["default"])
    wakeup.wait(timedelta(0))
    eventually(lambda: listeners(operator))
    other.publish(item("ring"))
    wakeup.wait(AGES)
    begin = time.monotonic()
    wakeup.wait(A_WHILE)
    assert time.monotonic() - begin >= A_WHILE.total_seconds(), "one word, one wait"


def test_what_is_given_back_outside_of_a_commit_wakes(backend, operator, other):
    other.publish(item("ring"))
    granted = claim_one(other)
    thread = asleep(backend, operator, "default")
    other.leases.release([Release(claim=granted)])
    thread.join(20)
    assert not thread.is_alive()


def test_a_release_for_later_wakes_nobody(backend, operator, other):
    other.publish(item("ring"))
    granted = claim_one(other)
    thread = asleep(backend, operator, "default")
    other.leases.release([Release(claim=granted, delay=timedelta(minutes=1))])
    thread.join(A_WHILE.total_seconds())
    assert thread.is_alive()


def test_one_connection_serves_all_sleepers(backend, operator):
    for _ in range(3):
        asleep(backend, operator)
    assert len(operator.execute(LISTENS).fetchall()) == 1


def test_whoever_was_cut_off_wakes_everybody_and_listens_on(backend, operator, other):
    """Words may have been lost meanwhile."""
    threads = [asleep(backend, operator, queue) for queue in ("default", "mordor")]
    (pid,) = listeners(operator)
    operator.execute("SELECT pg_terminate_backend(%s)", [pid])
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert listeners(operator) not in ([], [pid])
    thread = asleep(backend, operator, "default")
    other.publish(item("ring"))
    thread.join(20)
    assert not thread.is_alive()


def test_nobody_is_woken_by_a_server_that_stays_away(postgres_url):
    backend = PostgresBackend(f"{postgres_url}_that_is_not_there")
    wakeup = backend.wakeup()
    begin = time.monotonic()
    wakeup.wait(A_WHILE)
    assert time.monotonic() - begin >= A_WHILE.total_seconds()
    backend.close()


def test_a_close_of_the_backend_ends_its_listener(backend, operator):
    asleep(backend, operator)
    begin = time.monotonic()
    backend.close()
    assert time.monotonic() - begin < 5
    eventually(lambda: operator.execute(LISTENS).fetchall() == [])
    assert not [thread for thread in threading.enumerate() if thread.name == "squidmesh-wakeup"]
    backend.wakeup().wait(timedelta(milliseconds=1))
    assert operator.execute(LISTENS).fetchall() == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_has_a_listener_of_its_own(backend, operator, other):
    wakeup = backend.wakeup(["default"])
    wakeup.wait(timedelta(0))
    (parents,) = eventually(lambda: listeners(operator))
    child = os.fork()
    if child == 0:
        try:
            wakeup.wait(timedelta(seconds=60))
        finally:
            os._exit(0)
    eventually(lambda: len(listeners(operator)) == 2)
    other.publish(item("ring"))
    begin = time.monotonic()
    assert os.waitpid(child, 0)[1] == 0
    assert time.monotonic() - begin < 30
    assert parents in listeners(operator), "the parent's own line is whole"
    wakeup.wait(AGES)


def test_who_sleeps_in_this_process_is_told_before_the_server(backend, monkeypatch):
    heard = []
    journal, wakeup = backend.journal(), backend.wakeup(["default"])
    monkeypatch.setattr(journal, "_say", lambda *_: heard.append(slept(wakeup)))
    JournalPlane(journal, backend.leases()).publish(item("ring"))
    assert heard == [True]


def slept(wakeup):
    """Whether its sleep ends at once."""
    began = time.monotonic()
    wakeup.wait(timedelta(seconds=30))
    return time.monotonic() - began < 20


def test_what_this_process_says_wakes_it_once(backend, operator, other):
    wakeup = backend.wakeup(["default"])
    plane = JournalPlane(backend.journal(), backend.leases())
    thread = waiting(wakeup)
    eventually(lambda: listeners(operator))
    plane.publish(item("ring"))
    thread.join(20)
    assert not thread.is_alive()
    other.publish(item("mordor"))  # its word comes behind the one that is left out
    assert slept(wakeup)
    before = backend._listener.heard(["default"])
    plane.publish(item("shire"))
    other.publish(item("gondor"))
    eventually(lambda: backend._listener.heard(["default"])[1] == before[1] + 2)
    plane.publish(item("rohan"))
    eventually(lambda: not backend._listener._echoes)
    assert backend._listener.heard(["default"])[1] == before[1] + 3
