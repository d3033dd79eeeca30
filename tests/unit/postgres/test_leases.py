"""Many who claim at once; and what a claim and a heartbeat read of a table that is full, and that nobody has counted."""

import threading
import time
from datetime import timedelta

import psycopg
import pytest

from squidmesh.testing.threads import together
from tests.support.claimants import LIMIT, Board, Claimant

THREADS = 8


def deadlocks(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        (count,) = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return count


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
    assert deadlocks(postgres_url) == 0
    assert watch.looks > 20
    assert min(before.get(key, 0) for key in (None, *LIMIT)) > 20, f"too little of something: {before}"
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM squidmesh.leases").fetchone() == (0,), "leases of nothing"
