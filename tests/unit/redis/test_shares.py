"""A claim over several queues: fair shares, few journeys, and no more than was asked for."""

from collections import Counter

import hypothesis.strategies as st
from hypothesis import given
from squidmesh_redis.claiming import in_turns

from squidmesh.testing.lease_suite import claim, item
from squidmesh.testing.planes import OfferPlane

COUNTS = st.lists(st.integers(0, 40), max_size=8)


def served(counts, limit):
    """The same, the slow way: one each time."""
    left = dict(counts)
    taken = dict.fromkeys(left, 0)
    while limit > 0 and any(left.values()):
        for queue in taken:
            if left[queue] and limit > 0:
                left[queue] -= 1
                taken[queue] += 1
                limit -= 1
    return {queue: count for queue, count in taken.items() if count}


@given(COUNTS, st.integers(0, 100))
def test_shares_are_those_of_queues_that_are_served_in_turns(counts, limit):
    named = [(f"q{n}", count) for n, count in enumerate(counts)]
    assert in_turns(named, limit) == served(named, limit)


def test_a_crowded_queue_delays_no_other(leases):
    plane = OfferPlane(leases)
    plane.publish(*(item(f"orc-{n}", queue="mordor") for n in range(2000)))
    plane.publish(*(item(f"hobbit-{n}", queue="shire") for n in range(10)))
    got = []
    for _ in range(5):
        got += [granted.queue for granted in claim(plane, "mordor", "shire", limit=4).claims]
    assert got.count("shire") == 10


def test_a_claim_over_many_queues_takes_two_journeys(leases, redis):
    plane = OfferPlane(leases)
    queues = [f"q-{n}" for n in range(40)]
    plane.publish(*(item(f"orc-{q}-{n}", queue=q) for q in queues for n in range(3)))
    claim(plane)
    redis.config_resetstat()
    granted = claim(plane, *queues, limit=60).claims
    assert len(granted) == 60
    assert len({one.claim_id for one in granted}) == 60
    assert set(Counter(one.queue for one in granted).values()) == {1, 2}
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] <= 80


def test_a_request_over_several_queues_is_answered_alike_when_repeated(leases):
    plane = OfferPlane(leases)
    plane.publish(*(item(f"orc-{q}-{n}", queue=q) for q in ("a", "b", "c") for n in range(4)))
    first = claim(plane, "a", "b", "c", limit=7, request="r").claims
    again = claim(plane, "a", "b", "c", limit=7, request="r").claims
    assert again == tuple(sorted(first, key=lambda one: int(one.claim_id[2:])))
    assert len(claim(plane, "a", "b", "c", limit=12).claims) == 5
