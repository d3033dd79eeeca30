"""Many who claim, beat, settle, release and cancel at once; and the races that are rare among them, one by one."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend
from squidmesh_postgres.claiming import Claiming, Request

from squidmesh.ports.lease_backend import Beat, Settlement
from squidmesh.testing.lease_suite import LEASE, SECOND, claim, claimed, item, key, keys
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.threads import together
from tests.support.claimants import LIMIT, Board, Claimant
from tests.support.postgres_world import opened_with_clock

THREADS = 8


def deadlocks(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return connection.execute(counted).fetchone()


class Watch:
    """Looks again and again how many leases of a key live, and whether it is more than may."""

    LOOK = """
        SELECT queue, concurrency_key, count(*) FROM squidmesh.leases
        WHERE concurrency_key IS NOT NULL AND expires_at > (SELECT squidmesh.moment()) GROUP BY 1, 2
    """

    def __init__(self, url):
        self.looks, self.wrong = 0, []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ended.wait(0.005):
                self.looks += 1
                for queue, key, live in connection.execute(self.LOOK):
                    if live > LIMIT[key]:
                        self.wrong.append(f"{live} of {key} in {queue}")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()


def drained(claimant, journal):
    """Ends what there is, until there is nothing: what is aside comes back by itself when the lease before it ends."""
    ends = time.monotonic() + 30
    while journal.open_attempts(limit=1):
        assert time.monotonic() < ends, f"nobody gets at {[row.item for row in journal.open_attempts(limit=10)]}"
        if claimant.drain() == 0:
            time.sleep(0.02)


@pytest.mark.parametrize("lease", [timedelta(minutes=5), timedelta(milliseconds=60)], ids=["long", "short"])
def test_eight_at_once_grant_nothing_twice_keep_the_limits_and_never_deadlock(backend, postgres_url, lease):
    """With long leases the threads know who holds what; with short ones most of what they hold has ended."""
    journal, leases, board = backend.journal(), backend.leases(), Board()
    claimants = [Claimant(journal, leases, board, f"owner-{number}", lease=lease) for number in range(THREADS)]

    def work(number):
        for turn in range(200):
            if turn % 20 == 0:
                claimants[number].publish(15)
            claimants[number].round()
        claimants[number].go_home()

    with Watch(postgres_url) as watch:
        together(THREADS, work)
        before = dict(board.granted)
        drained(claimants[0], journal)

    assert (board.wrong, watch.wrong) == ([], [])
    assert deadlocks(postgres_url) == (0,)
    assert watch.looks > 20
    assert min(before.get(key, 0) for key in (None, *LIMIT)) > 20, f"too little of something: {before}"
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM squidmesh.leases").fetchone() == (0,), "leases of nothing"


@pytest.fixture
def opened(postgres_url):
    with opened_with_clock(postgres_url) as opened:
        yield opened


@pytest.fixture
def plane(opened):
    return JournalPlane(opened[0].journal(), opened[0].leases())


@contextmanager
def claims_in_an_open_transaction(url, queue="default"):
    """What a claim does before its commit, for as long as the block lasts."""
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        request = Request("frodo@1", "a-request", LEASE, "")
        yield Claiming("squidmesh").claim(connection, request, [queue], 10, None, []).grants.claims


LOCKED_OUT = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def waits_for_a_lock(url):
    with psycopg.connect(url, autocommit=True) as connection:
        ends = time.monotonic() + 10
        looking = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while connection.execute(looking).fetchone() == (0,):
            assert time.monotonic() < ends, "it waits for nobody"


def test_an_attempt_that_is_closed_while_it_is_claimed_leaves_no_lease(plane, postgres_url):
    """The entry waits for the claim; its statement began before the lease was there."""
    plane.publish(item("ring"))
    closing = threading.Thread(target=plane.withdraw, args=(key("ring"),))
    with claims_in_an_open_transaction(postgres_url) as claims:
        assert [claim.item for claim in claims] == keys("ring")
        closing.start()
        waits_for_a_lock(postgres_url)
    closing.join()

    assert plane.leases.heartbeat(claims) == [Beat.GONE]
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM squidmesh.leases").fetchone() == (0,)


def test_a_lease_that_ends_while_another_is_put_aside_for_it_brings_it_back(plane, postgres_url):
    """The end waits until it can see who waits."""
    plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(2)))
    (first,) = claim(plane, limit=1).claims
    settling = threading.Thread(target=plane.settle, args=(Settlement(claim=first),))
    with claims_in_an_open_transaction(postgres_url) as claims:
        assert claims == ()
        settling.start()
        waits_for_a_lock(postgres_url)
    settling.join()

    assert claimed(claim(plane)) == keys("frodo-1")


def test_what_is_put_aside_for_a_lease_that_is_ending_comes_back_soon(plane, opened, postgres_url):
    """The end did not see who would wait for it, and its place is not free yet."""
    plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(2)))
    (first,) = claim(plane, limit=1).claims
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM squidmesh.agenda WHERE item = %s", [first.item])
        grants = claim(plane)
        assert (grants.claims, grants.next_due) == ((), SECOND)
    assert claim(plane).claims == ()
    opened[1].advance(SECOND)

    assert claimed(claim(plane)) == keys("frodo-1")


def test_a_beat_in_time_that_a_claim_does_not_see_yet_keeps_its_place(plane, opened, postgres_url):
    """What seems to have ended was extended meanwhile."""
    plane.publish(item("frodo-0", concurrency=("frodo", 1)))
    (first,) = claim(plane).claims
    plane.publish(item("frodo-1", concurrency=("frodo", 1)))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE squidmesh.leases SET expires_at = expires_at + lease")
        opened[1].advance(LEASE)
        assert claim(plane).claims == ()
    assert claim(plane).claims == ()
    assert plane.leases.heartbeat([first]) == [Beat.EXTENDED]
    plane.settle(Settlement(claim=first))
    opened[1].advance(SECOND)
    assert claimed(claim(plane)) == keys("frodo-1")


def test_a_beat_waits_for_nobody_but_for_the_one_lease(plane, postgres_url):
    """A lease that somebody holds on to is asked for when the others have been extended."""
    plane.publish(*(item(f"orc-{n}") for n in range(3)))
    claims = claim(plane).claims
    answers = []
    beating = threading.Thread(target=lambda: answers.extend(plane.leases.heartbeat(claims)))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM squidmesh.leases WHERE item = %s", [claims[1].item])
        beating.start()
        waits_for_a_lock(postgres_url)
        rest = [claims[0].item, claims[2].item]
        locked = "SELECT item FROM squidmesh.leases WHERE item = ANY (%s) FOR UPDATE NOWAIT"
        assert len(connection.execute(locked, [rest]).fetchall()) == 2
    beating.join()

    assert answers == [Beat.EXTENDED, Beat.LOST, Beat.EXTENDED]


def test_a_crowd_is_put_aside_by_whoever_meets_it_also_if_others_fill_his_hands(plane, postgres_url):
    plane.publish(*(item(f"orc-{n}", concurrency=("orc", 1)) for n in range(60)), item("elf", priority=9))
    claim(plane, limit=1)
    assert claimed(claim(plane, limit=1)) == keys("elf")
    with psycopg.connect(postgres_url) as connection:
        aside = "SELECT count(*) FROM squidmesh.agenda WHERE aside_until IS NOT NULL"
        assert connection.execute(aside).fetchone() == (59,)


def test_one_request_that_is_sent_often_at_once_is_granted_once_also_where_all_have_keys(plane):
    plane.publish(*(item(f"frodo-{n}", concurrency=(f"frodo-{n}", 1)) for n in range(60)))
    for turn in range(6):
        request = f"r-{turn}"
        answers = together(4, lambda _: claim(plane, limit=5, request=request).claims)  # noqa: B023
        assert len(answers[0]) == 5
        assert answers == [answers[0]] * 4


def test_a_schema_of_another_name_has_triggers_and_words_of_its_own(postgres_url):
    backend = PostgresBackend(f"{postgres_url}?schema=middle_earth")
    backend.migrate()
    plane = JournalPlane(backend.journal(), backend.leases())
    plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(2)))
    (first,) = claim(plane).claims
    plane.settle(Settlement(claim=first))
    assert claimed(claim(plane)) == keys("frodo-1")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regnamespace('squidmesh')").fetchone() == (None,)
    backend.close()
