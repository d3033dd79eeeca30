"""What a waiting item costs."""

from squidmesh_redis.scripts import names

from squidmesh.ids import attempt_key, derived_id
from squidmesh.ports.lease_backend import Item

MANY = 20_000


def test_a_waiting_item_costs_less_than_300_bytes(leases, redis):
    assert names()
    leases.incarnation("default")
    before = redis.info("memory")["used_memory"]
    for begin in range(0, MANY, 1000):
        run_ids = (derived_id("run", str(n)) for n in range(begin, begin + 1000))
        leases.offer([Item(key=attempt_key(id_, "charge", 1), queue="default", priority=5) for id_ in run_ids])
    assert (redis.info("memory")["used_memory"] - before) / MANY < 300
