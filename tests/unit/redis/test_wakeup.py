"""An offer wakes who sleeps, whoever makes it: soon, once for each item, and without polling."""

import threading
import time
from datetime import timedelta

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_redis.listening import MOST_HEARD, heard

from squidmesh.ports.lease_backend import Release, Settlement
from squidmesh.testing.lease_suite import claim, claim_one, item
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.wakeup_suite import AGES


class Sleeper(threading.Thread):
    """Waits in a thread; ``slept`` tells for how long."""

    def __init__(self, wakeup, timeout=AGES):
        super().__init__(daemon=True)
        self.wakeup, self.timeout = wakeup, timeout
        self.slept = None
        self.start()

    def run(self):
        begin = time.monotonic()
        self.wakeup.wait(self.timeout)
        self.slept = time.monotonic() - begin


@pytest.fixture
def other(server):
    """Another process, as far as the server can tell."""
    backend = RedisBackend(server.url)
    yield backend
    backend.close()


@pytest.fixture
def plane(leases):
    return OfferPlane(leases)


def blocked(redis, count):
    """Waits until so many listen."""
    ends = time.monotonic() + 10
    while redis.info("clients")["blocked_clients"] != count:
        assert time.monotonic() < ends, redis.info("clients")
        time.sleep(0.005)


def test_an_offer_of_another_process_wakes_a_sleeper(plane, other, redis):
    sleeper = Sleeper(other.wakeup(["mordor", "default"]))
    blocked(redis, 1)
    begin = time.monotonic()
    plane.publish(item("ring"))
    sleeper.join(5)
    assert not sleeper.is_alive()
    assert time.monotonic() - begin < 1.0


@pytest.mark.parametrize("how", ["settle", "release", "resume", "limit"])
def test_whatever_makes_work_claimable_wakes(how, plane, other, redis):
    limited = ("frodo", 1) if how == "limit" else None
    plane.publish(item("ring", concurrency=limited))
    granted = claim_one(plane)
    if how == "limit":
        plane.publish(item("lembas", concurrency=limited))
    claim(plane)  # takes the hints that are left
    sleeper = Sleeper(other.wakeup(["default"]))
    blocked(redis, 1)
    {
        "settle": lambda: plane.settle(Settlement(claim=granted, offers=(item("next"),))),
        "release": lambda: plane.leases.release([Release(claim=granted)]),
        "resume": lambda: plane.leases.resume("default"),
        "limit": lambda: plane.settle(Settlement(claim=granted)),
    }[how]()
    sleeper.join(5)
    assert not sleeper.is_alive()


def test_one_item_wakes_one_sleeper(plane, other, redis):
    sleepers = [Sleeper(other.wakeup(["default"]), timedelta(seconds=1)) for _ in range(4)]
    blocked(redis, 4)
    plane.publish(item("ring"))
    for sleeper in sleepers:
        sleeper.join(10)
    woken = [sleeper for sleeper in sleepers if sleeper.slept is not None and sleeper.slept < 0.9]
    assert len(woken) == 1


def test_a_full_claim_wakes_the_next(plane, redis):
    plane.publish(*(item(f"orc-{n}") for n in range(40)))
    for _ in range(19):
        redis.delete("squidmesh:{default}:hints")
        claim(plane, limit=2)
        assert redis.llen("squidmesh:{default}:hints") == 1
    claim(plane, limit=3)
    assert redis.llen("squidmesh:{default}:hints") == 0, "there is nothing left to look at"


def test_hints_do_not_pile_up(plane, redis):
    for turn in range(10):
        plane.publish(*(item(f"orc-{turn}-{n}") for n in range(50)))
    assert redis.llen("squidmesh:{default}:hints") <= 32
    assert redis.pttl("squidmesh:{default}:hints") > 0


def test_a_hint_that_comes_while_nobody_sleeps_is_left_to_others(plane, other, redis):
    wakeup = other.wakeup(["default"])
    sleeper = Sleeper(wakeup)
    blocked(redis, 1)
    wakeup.poke()
    sleeper.join()
    plane.publish(item("ring"))  # its listener still listens, its pump is busy
    late = Sleeper(RedisBackend.wakeup(other, ["default"]))
    late.join(5)
    assert not late.is_alive()


def test_a_hint_that_is_put_back_ends_by_itself(plane, other, redis):
    """The list had been emptied, and was gone with its time to live."""
    wakeup = other.wakeup(["default"])
    sleeper = Sleeper(wakeup)
    blocked(redis, 1)
    wakeup.poke()
    sleeper.join()
    plane.publish(item("ring"))
    ends = time.monotonic() + 10
    while redis.llen("squidmesh:{default}:hints") == 0:
        assert time.monotonic() < ends
        time.sleep(0.005)
    assert redis.pttl("squidmesh:{default}:hints") > 0


def test_sleepers_ask_little_of_the_server(other, redis):
    """A request every two seconds, as long as nothing happens."""
    sleepers = [Sleeper(other.wakeup(["default"]), timedelta(seconds=1)) for _ in range(3)]
    blocked(redis, 3)
    redis.config_resetstat()
    for sleeper in sleepers:
        sleeper.join(10)
    asked = redis.info("commandstats")
    assert sum(stats["calls"] for name, stats in asked.items() if name in ("cmdstat_blpop", "cmdstat_evalsha")) <= 3


def test_a_sleeper_sleeps_on_while_the_server_is_away(server, other, redis, tmp_path):
    gone = RedisBackend("redis://127.0.0.1:1")
    sleeper = Sleeper(gone.wakeup(["default"]), timedelta(milliseconds=300))
    sleeper.join(10)
    assert sleeper.slept is not None
    assert 0.29 <= sleeper.slept < 5
    gone.close()


def test_a_sleeper_of_very_many_queues_listens_to_some_of_them():
    few, many = [f"q{n}" for n in range(MOST_HEARD)], [f"q{n}" for n in range(10 * MOST_HEARD)]
    assert list(heard(few)) == few
    chosen = heard(many)
    assert len(set(chosen)) == MOST_HEARD
    assert set(chosen) <= set(many)
    assert set(heard(many)) != set(chosen), "another one listens to others"
