"""The Lua: said what it takes, checked before it writes, found again when the server forgets it."""

import re

import pytest
from squidmesh_redis import scripts, wire
from squidmesh_redis.address import Node
from squidmesh_redis.client import Call, Client
from squidmesh_redis.keys import Keys
from squidmesh_redis.standalone import Standalone

from squidmesh.errors import BackendError, DataRefused
from squidmesh.testing.lease_suite import claim, claim_one, claimed, item, keys
from squidmesh.testing.planes import OfferPlane

KEYS = Keys("squidmesh").of_queue("default")


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_says_what_it_takes_and_what_it_returns(name):
    said = scripts.header(name)
    assert "KEYS: the queue's" in said or "KEYS: the index's" in said or name in ("set_marker", "want", "lanes")
    assert "ARGV: " in said
    assert re.search(r"[Rr]eturns", said)


@pytest.mark.parametrize("name", ["_common", "_now", *scripts.names()])
def test_nothing_is_used_that_the_oldest_server_has_not(name):
    code = re.sub(r"--.*", "", scripts.text(name))
    assert not re.search(r"WAITAOF|HEXPIRE|HPEXPIRE|LMPOP|ZMPOP|ZRANGESTORE|GETDEL|FUNCTION|cmsgpack|#!", code)
    assert "KEYS *" not in code.upper()


@pytest.mark.parametrize("name", scripts.names())
def test_wrong_arguments_are_refused_before_anything_is_written(name, redis):
    client = Client(Standalone(Node("localhost", 6379), redis), "here")
    for arguments in (["no count"], [], ["1", "2", "3", "4", "5", "6", "7", "8", "9"], ["-1"], [2**53], ["1.5"]):
        if name in ("stats", "cursor") and not arguments:
            continue
        if name in ("life", "pause") and len(arguments) == 1 and " " not in str(arguments[0]) and name == "life":
            continue
        with pytest.raises(BackendError, match="squidmesh: argument"):
            client.run(Call(name, KEYS, arguments))
    with pytest.raises(BackendError, match="squidmesh: "):
        client.run(Call(name, KEYS[:5], []))
    assert redis.keys() == []


def test_a_batch_with_one_bad_item_brings_nothing(redis):
    client = Client(Standalone(Node("localhost", 6379), redis), "here")
    good, bad = wire.item(item("ring")), wire.item(item("orc"))
    bad[0] = str(bad[0]).replace(" ", " first ", 1)
    with pytest.raises(BackendError, match="argument 3 is no item"):
        client.run(Call("offer", KEYS, [2, *good, *bad]))
    assert redis.keys() == []


@pytest.mark.parametrize(
    "bad",
    [
        item("ring", priority=10),
        item("ring", floor=2**53),
        item("ring", generation=-1),
        item("ring", concurrency=("two words", 1)),
    ],
)
def test_what_is_no_word_and_no_number_never_leaves(leases, redis, bad):
    with pytest.raises(DataRefused):
        leases.offer([item("lembas"), bad])
    assert redis.keys() == []


def test_a_server_that_forgot_the_scripts_is_told_them_again(leases, redis):
    plane = OfferPlane(leases)
    for _ in range(3):
        redis.script_flush()
        plane.publish(item("ring"), *(item(f"orc-{n}", queue=f"mordor-{n}") for n in range(3)))
        redis.script_flush()
        assert len(claim(plane, "default", "mordor-0", "mordor-1", "mordor-2").claims) in (0, 4)


def test_great_numbers_stay_exact(leases):
    """A double prints 2^53 as 9.007199254741e+15."""
    plane = OfferPlane(leases)
    plane.publish(item("ring", floor=2**53 - 3, generation=2**52 + 1))
    granted = claim_one(plane)
    assert (granted.generation, granted.fence) == (2**52 + 1, 2**53 - 2)


def test_batches_larger_than_one_script_takes(leases):
    plane = OfferPlane(leases)
    many = [item(f"orc-{n}") for n in range(3 * wire.BATCH + 1)]
    plane.publish(*many)
    granted = claim(plane, limit=1000).claims
    assert [one.item for one in granted] == keys(*(f"orc-{n}" for n in range(len(many))))
    assert {beat.value for beat in leases.heartbeat(granted)} == {"extended"}
    assert leases.missing(many) == []
    leases.shelve(granted)
    assert claimed(claim(plane)) == []
    assert leases.stats(["default"])[0].leased == 0
