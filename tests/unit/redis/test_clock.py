"""By the server's own clock: what the suites try with a clock of theirs, once for real."""

import time
from datetime import timedelta

import pytest

from squidmesh.ports.lease_backend import Beat, Release, Settlement
from squidmesh.testing.lease_suite import claim, claim_one, item
from squidmesh.testing.planes import OfferPlane
from tests.support.redises import left_behind

SHORT = timedelta(milliseconds=300)


@pytest.fixture
def plane(leases):
    return OfferPlane(leases)


def claim_in_time(plane, *, within=10.0):
    """Asks, as the hint says, until something is granted; how long that took."""
    begin = time.monotonic()
    pause = 0.0
    while time.monotonic() - begin < within:
        time.sleep(pause)
        grants = claim(plane, owner="sam@2", limit=1)
        if grants.claims:
            return grants.claims[0], time.monotonic() - begin
        assert grants.next_due is not None
        pause = grants.next_due.total_seconds()
    raise AssertionError("nothing was granted")


def test_a_lease_ends_by_the_servers_clock(plane):
    plane.publish(item("ring"))
    dead = claim_one(plane, lease=SHORT)

    taken_over, after = claim_in_time(plane)

    assert (taken_over.item, taken_over.fence) == (dead.item, 2)
    assert after >= 0.25
    assert plane.leases.heartbeat([dead]) == [Beat.LOST]


def test_a_delay_ends_by_the_servers_clock(plane):
    plane.publish(item("ring", delay=SHORT))
    _, after = claim_in_time(plane)
    assert after >= 0.25


def test_nothing_is_left_when_all_is_over(plane, redis, monkeypatch):
    """Tombstones, requests and hints expire by themselves; what stays is one small hash a queue, which is
    in the index until somebody looks at it in vain.
    """
    plane.publish(*(item(f"orc-{n}", concurrency=("orc", 2)) for n in range(5)), item("ring", delay=SHORT))
    done = 0
    while done < 6:
        granted, _ = claim_in_time(plane)
        if done == 2:
            plane.leases.release([Release(claim=granted, delay=SHORT)])
            granted, _ = claim_in_time(plane)
        plane.settle(Settlement(claim=granted))
        done += 1

    assert left_behind(redis) == []
    for_ever = {key for key in redis.scan_iter() if redis.pttl(key) < 0}
    assert for_ever == {"squidmesh:{default}:life", "squidmesh:{index:0}:queues"}
    assert redis.zrange("squidmesh:{index:0}:queues", 0, -1) == ["default"]
    claim(plane, *plane.leases.due_queues(["default"], (), limit=1).queues)
    assert {key for key in redis.scan_iter() if redis.pttl(key) < 0} == {"squidmesh:{default}:life"}
    assert redis.memory_usage("squidmesh:{default}:life") < 1000


def test_tombstones_leave_by_the_thousand(plane, redis):
    """Two hashes take turns: what is over is thrown away as a whole, by the calls that bury."""
    for turn in range(6):
        plane.publish(*(item(f"orc-{turn}-{n}") for n in range(50)))
        for granted in claim(plane, limit=50, lease=timedelta(milliseconds=50)).claims:
            plane.settle(Settlement(claim=granted))
        time.sleep(0.11)
    kept = redis.hlen("squidmesh:{default}:buried") + redis.hlen("squidmesh:{default}:older")
    assert kept <= 150
