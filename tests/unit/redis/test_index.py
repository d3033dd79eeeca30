"""The index of queues: nothing is lost by looking, everything has its turn, and what is lost of it comes back."""

from collections import Counter

import pytest
from squidmesh_redis.index import Index
from squidmesh_redis.keys import Keys

from squidmesh.ids import AttemptKey
from squidmesh.ports.lease_backend import Item
from squidmesh.testing.lease_suite import claim, item, key
from squidmesh.testing.planes import OfferPlane


def indexed(redis):
    return redis.zrange("squidmesh:{index:0}:queues", 0, -1)


def due(leases, limit=10):
    return list(leases.due_queues((), ["q-"], limit=limit).queues)


def test_an_offer_in_the_middle_of_a_look_is_not_lost(leases, redis):
    plane = OfferPlane(leases)
    plane.publish(item("ring", queue="q-1"))
    plane.withdraw(key("ring"))
    assert due(leases) == ["q-1"]
    index = leases._index
    taken = dict(index._tokens)
    plane.publish(item("lembas", queue="q-1"))  # after the look, before its word
    index.looked(dict.fromkeys(taken))
    assert due(leases) == ["q-1"]
    assert len(claim(plane, "q-1").claims) == 1


def test_a_queue_that_is_empty_leaves_the_index(leases, redis):
    plane = OfferPlane(leases)
    plane.publish(item("ring", queue="q-1"), item("lembas", queue="q-2"))
    plane.withdraw(key("ring"))
    claim(plane, *due(leases))
    assert indexed(redis) == ["q-2"]
    assert redis.hkeys("squidmesh:{index:0}:looks") == []


def test_what_is_lost_of_the_index_is_marked_by_the_sweep(leases, redis):
    """I11: a reconciler asks which of the due rows are missing."""
    plane = OfferPlane(leases)
    plane.publish(item("ring", queue="q-1"))
    redis.delete("squidmesh:{index:0}:queues", "squidmesh:{index:0}:looks")
    assert due(leases) == []
    assert leases.missing([item("ring", queue="q-1")]) == []
    assert due(leases) == ["q-1"]


def test_names_that_the_server_forgot_are_told_again(leases, redis):
    plane = OfferPlane(leases)
    names = [f"q-{n}" for n in range(100)]
    plane.publish(*(item(name, queue=name) for name in names))
    for _ in range(2):
        redis.delete(*redis.keys("squidmesh:{index:0}:wanted:*") or ["-"])
        assert len(leases.due_queues(names, (), limit=50).queues) == 50


def test_foreign_queues_are_walked_past_and_keep_their_turn(leases, redis):
    plane = OfferPlane(leases)
    plane.publish(*(item(f"other-{n}", queue=f"other-{n:04}") for n in range(2500)))
    plane.publish(item("ring", queue="q-1"))
    assert due(leases) == ["q-1"]
    assert list(leases.due_queues((), ["other-"], limit=3).queues) == ["other-0000", "other-0001", "other-0002"]


@pytest.mark.parametrize("parts", [1, 8])
def test_parts_of_the_index_are_one(leases, redis, parts):
    index = Index(leases._client, Keys("squidmesh"), parts=parts)
    names = [f"q-{n}" for n in range(200)]
    index.mark(names)
    told = [queue for _ in range(40) for queue in index.take((), ["q-"], 5).queues]
    assert set(told) <= set(names)
    assert len(told) == 200
    assert parts > 1 or Counter(told) == dict.fromkeys(names, 1)
    assert len(set(told)) > 150


@pytest.mark.all
def test_ten_thousand_queues_beside_a_backlog_have_their_turns(leases, redis):
    crowd = [Item(key=AttemptKey(f"run-{n}/a#1"), queue="crowd", priority=5) for n in range(10_000)]
    small = [
        Item(key=AttemptKey(f"small-{q}-{n}/a#1"), queue=f"q-{q}", priority=5) for q in range(9_999) for n in range(3)
    ]
    leases.offer(crowd)
    leases.offer(small)
    plane = OfferPlane(leases)
    first_served: dict[str, int] = {}
    served: Counter[str] = Counter()
    claims = 0
    while sum(served.values()) - served["crowd"] < len(small):
        claims += 1
        queues = leases.due_queues(["crowd"], ["q-"], limit=16).queues
        for granted in claim(plane, *queues, limit=16).claims:
            first_served.setdefault(granted.queue, claims)
            served[granted.queue] += 1
        assert claims <= 3 * 640
    assert max(first_served.values()) <= 640, "each queue was served before anybody's second turn was over"
    assert served["crowd"] <= 3 * 17
