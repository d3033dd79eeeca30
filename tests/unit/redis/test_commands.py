"""How many commands a script carries out: counted, so it is the same on every machine."""

from collections import Counter

from squidmesh.ids import ClaimId
from squidmesh.ports.lease_backend import Handover, Settlement
from squidmesh.testing.lease_suite import claim, item
from squidmesh.testing.planes import OfferPlane

MANY = 64


def carried_out(redis, work):
    def counts():
        return Counter(
            {name.removeprefix("cmdstat_"): told["calls"] for name, told in redis.info("commandstats").items()}
        )

    before = counts()
    work()
    found = counts() - before
    del found["info"]
    return found


def test_a_batch_of_hand_overs_is_one_journey_and_few_commands(leases, redis):
    plane = OfferPlane(leases)
    plane.publish(*(item(f"ring-{n}") for n in range(MANY)))
    held = claim(plane, limit=MANY).claims
    assert len(held) == MANY
    leases.settle([Settlement(claim=held[0])])  # from now on there are tombstones to look at
    following = [
        Settlement(
            claim=one,
            handover=Handover(item=item(f"mordor-{n}"), claim_id=ClaimId(f"next:{n}"), fence=1),
        )
        for n, one in enumerate(held[1:])
    ]
    found = carried_out(redis, lambda: leases.settle(following))
    assert found["evalsha"] == 1
    assert sum(found.values()) < 32
    assert leases.stats(["default"])[0].leased == MANY - 1


def test_a_batch_of_claims_is_one_journey_and_few_commands(leases, redis):
    plane = OfferPlane(leases)
    plane.publish(*(item(f"ring-{n}") for n in range(MANY)))
    claim(plane, limit=1)  # it is looked at once whether the server is fit
    found = carried_out(redis, lambda: claim(plane, limit=MANY - 1))
    assert found["evalsha"] == 1
    assert sum(found.values()) < 48
    assert leases.stats(["default"])[0].leased == MANY


def test_an_offer_is_one_script_and_its_mark(leases, redis):
    many = [item(f"ring-{n}") for n in range(MANY)]
    leases.offer([item("first")])
    found = carried_out(redis, lambda: leases.offer(many))
    assert found["evalsha"] == 2
    assert sum(found.values()) < 24
