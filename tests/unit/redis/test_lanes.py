"""One queue in several lanes: fair turns, limits of the whole queue, another number of lanes, nothing left behind."""

from collections import Counter

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_redis.lanes import Lanes, shards_of

from squidmesh.errors import InvalidUrl
from squidmesh.ids import AttemptKey
from squidmesh.ports.lease_backend import Beat, Cursor, Settlement
from squidmesh.testing.lease_suite import LEASE, claim, claimed, item, keys, listed
from squidmesh.testing.planes import OfferPlane
from tests.support.redises import NOW, ServerClock

NAMES = [f"orc-{n}" for n in range(60)]


@pytest.fixture
def clock(redis):
    return ServerClock(redis)


@pytest.fixture
def opened(redis, clock):
    made = []

    def opened(number):
        host = redis.connection_pool.connection_kwargs
        shards = f"?shards=default:{number}" if number else ""
        made.append(RedisBackend(f"redis://{host['host']}:{host['port']}{shards}", now=NOW))
        return OfferPlane(made[-1].leases())

    yield opened
    for backend in made:
        backend.close()


def test_lanes_are_told_in_the_url():
    assert shards_of("prefix=x") == {}
    assert shards_of("shards=payments:8,mails:2&shards=a.b-c:64") == {"payments": 8, "mails": 2, "a.b-c": 64}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("payments", "names no queue"),
        ("", "names no queue"),
        ("pay/ments:8", "names no queue"),
        ("payments:", "is no number of lanes"),
        ("payments:1", "is no number of lanes"),
        ("payments:65", "is no number of lanes"),
        ("payments:-2", "is no number of lanes"),
        ("payments:٣", "is no number of lanes"),
        ("payments:2,payments:3", "is named twice"),
        ("payments:2,", "names no queue"),
    ],
)
def test_what_names_no_lanes_is_refused(value, said):
    with pytest.raises(InvalidUrl, match=said) as refused:
        RedisBackend(f"redis://localhost?shards={value}")
    assert refused.value.field == "url"
    assert "allowed is ?shards=queue:number" in str(refused.value)


def test_a_run_stays_in_its_lane_and_so_does_a_concurrency_key():
    lanes = Lanes({"payments": 8})
    places = {lanes.lane("payments", AttemptKey(f"run-{n}/pack#1"), None) for n in range(200)}
    assert places == set(lanes.of("payments")) == {f"payments/8.{n}" for n in range(8)}
    for n in range(50):
        run = f"run-{n}"
        assert lanes.lane("payments", AttemptKey(f"{run}/a#1"), None) == lanes.lane(
            "payments", AttemptKey(f"{run}/b#7"), None
        )
        assert lanes.lane("payments", AttemptKey(f"{run}/a#1"), "frodo") == lanes.lane(
            "payments", AttemptKey("other/c#2"), "frodo"
        )
    assert lanes.lane("mails", AttemptKey("run/a#1"), "frodo") == "mails"


def test_lanes_are_claimed_from_in_turns(opened):
    plane = opened(4)
    lanes = Lanes({"default": 4})
    plane.publish(*(item(name) for name in NAMES))
    plane.publish(*(item(f"mail-{n}", queue="mails") for n in range(30)))
    granted = claim(plane, "default", "mails", limit=24).claims
    assert Counter(one.queue for one in granted) == {"default": 12, "mails": 12}, "a queue has one turn, with its lanes"
    mine = [one for one in granted if one.queue == "default"]
    assert Counter(lanes.lane("default", one.item, None) for one in mine) == dict.fromkeys(lanes.of("default"), 3)


def test_order_holds_within_a_lane(opened):
    plane = opened(4)
    lanes = Lanes({"default": 4})
    plane.publish(*(item(name, priority=n % 3) for n, name in enumerate(NAMES)))
    order = claimed(claim(plane, limit=1)) + [key for _ in range(59) for key in claimed(claim(plane, limit=1))]
    offered = [keys(name)[0] for n, name in sorted(enumerate(NAMES), key=lambda one: (one[0] % 3, one[0]))]
    for lane in lanes.of("default"):
        assert [k for k in order if lanes.lane("default", k, None) == lane] == [
            k for k in offered if lanes.lane("default", k, None) == lane
        ]


def test_a_limit_holds_over_the_whole_queue(opened):
    plane = opened(8)
    plane.publish(*(item(name, concurrency=("frodo", 2)) for name in NAMES[:20]))
    seen = []
    while granted := claim(plane, limit=20).claims:
        assert len(granted) == 2
        assert all(one.concurrency_key == "frodo" for one in granted)
        assert plane.leases.heartbeat(granted) == [Beat.EXTENDED] * 2
        seen += [one.item for one in granted]
        for one in granted:
            plane.settle(Settlement(claim=one))
    assert sorted(seen) == sorted(keys(*NAMES[:20]))
    assert listed(plane) == []


@pytest.mark.parametrize(("before", "after"), [(0, 4), (8, 3), (3, 8), (5, 0)])
def test_another_number_of_lanes_is_another_life_and_the_old_one_ends(opened, redis, before, after):
    old = opened(before)
    life = old.leases.incarnation("default")
    cursor = Cursor(incarnation=life, token="token", position=7)
    assert old.leases.cursor("default") is None
    assert old.leases.set_cursor("default", expected=None, new=cursor)
    old.publish(*(item(name) for name in NAMES))
    assert {one.key for one in listed(old)} == set(keys(*NAMES))

    new = opened(after)
    assert new.leases.incarnation("default") != life
    assert new.leases.cursor("default") is None, "so everything is offered again"
    new.publish(*(item(name) for name in NAMES))
    assert sorted(claimed(claim(new, limit=100))) == sorted(keys(*NAMES))
    lanes = Lanes({"default": after} if after else {})
    used = tuple(f"squidmesh:{{{lane}}}:" for lane in lanes.of("default"))
    for key in redis.scan_iter("squidmesh:{default*"):
        if not key.startswith(used) and key != "squidmesh:{default}:lanes":
            assert 0 < redis.pttl(key) <= 3_600_000, key
    assert redis.smembers("squidmesh:{default}:lanes") == ({str(after)} if after else set())


def test_back_to_the_old_number_of_lanes_begins_anew(opened, redis):
    first = opened(4).leases.incarnation("default")
    opened(2).leases.incarnation("default")
    again = opened(4).leases.incarnation("default")
    assert again != first
    assert [key for key in redis.scan_iter("squidmesh:{default/4.*") if redis.pttl(key) >= 0] == []


def test_lanes_that_are_seen_by_a_worker_of_old_are_retired_when_it_is_gone(opened, redis):
    """Both are at work for a while: whoever has the turn to sweep retires what the other one uses."""
    old, new = opened(2), opened(3)
    life = new.leases.incarnation("default")
    assert new.leases.sweep_turn("default", owner="new", period=LEASE)
    old.publish(*(item(name) for name in NAMES))
    assert not old.leases.sweep_turn("default", owner="old", period=LEASE)
    assert redis.pttl("squidmesh:{default/2.0}:items") == -1

    assert new.leases.incarnation("default") == life, "its own lanes stay as they are"
    assert redis.pttl("squidmesh:{default/2.0}:items") > 0


def test_a_lane_that_is_lost_takes_the_cursor_along(opened, redis):
    plane = opened(3)
    life = plane.leases.incarnation("default")
    first = Cursor(incarnation=life, token="token", position=7)
    assert plane.leases.cursor("default") is None
    assert plane.leases.set_cursor("default", expected=None, new=first)
    assert plane.leases.cursor("default") == first

    redis.delete("squidmesh:{default/3.1}:life")
    assert not plane.leases.set_cursor("default", expected=first, new=first)
    assert plane.leases.incarnation("default") != life
    assert plane.leases.cursor("default") is None
