"""A worker that lacks the functions of some steps passes over their items, however many stand in front."""

import pytest
from msgspec import structs

from squidmesh.ids import attempt_key, derived_id
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane


def strangers(count, *, step="smelt", **settings):
    return [
        structs.replace(item(f"orc-{n}", **settings), key=attempt_key(derived_id("thread", f"orc-{n}"), step, 1))
        for n in range(count)
    ]


@pytest.mark.parametrize("queues", [["default"], ["default", "mordor"]])
def test_what_stands_behind_thousands_is_found_by_the_next_claims(leases, queues):
    plane = OfferPlane(leases)
    plane.publish(*strangers(1200, priority=3), *strangers(1300, step="melt"))
    plane.publish(item("sword"), item("ring", priority=9))
    found = [claimed(claim(plane, *queues, skip=["smelt", "melt"])) for _ in range(4)]
    assert [key for answer in found for key in answer] == keys("sword", "ring")


def test_after_the_last_of_them_the_walk_begins_again_in_front(leases):
    plane = OfferPlane(leases)
    plane.publish(*strangers(1500))
    for _ in range(3):
        assert claimed(claim(plane, skip=["smelt"])) == []
    plane.publish(item("crown", priority=0))
    found = [claimed(claim(plane, skip=["smelt"])) for _ in range(3)]
    assert [key for answer in found for key in answer] == keys("crown")


def test_what_is_passed_over_stays_in_its_order_for_others(leases):
    plane = OfferPlane(leases)
    crowd = strangers(1100)
    plane.publish(*crowd, item("sword"))
    assert claimed(claim(plane, limit=1, skip=["smelt"])) == []
    assert claimed(claim(plane, limit=2)) == [one.key for one in crowd[:2]]
