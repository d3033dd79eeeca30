"""Servers that are killed, or stand still, while others take their place. Slow: the servers have to miss them first."""

import time
from contextlib import suppress

import pytest
from redis import Redis
from squidmesh_redis import RedisBackend
from squidmesh_redis.slots import slot_of

from squidmesh.errors import BackendUnavailable
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from tests.support.redis_topologies import started_cluster, started_sentinels

pytestmark = pytest.mark.all
PATIENCE = 30


def until_it_works(call):
    """Repeats what may be repeated, as a pump does; nothing but ``BackendUnavailable`` may come in between."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        with suppress(BackendUnavailable):
            return call()
        time.sleep(0.05)
    return call()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_primary_that_is_killed_is_replaced_and_work_goes_on(kind, how, tmp_path):
    """One that stood still comes back as if it were primary, and nobody speaks to it any more."""
    with started_sentinels(kind, tmp_path, timeout=0.5) as servers:
        backend = RedisBackend(servers.url, answer_timeout=0.5)
        plane = OfferPlane(backend.leases())
        plane.publish(item("ring"))
        old = servers.primary()
        getattr(old, how)()
        with pytest.raises(BackendUnavailable):
            plane.publish(item("lembas"))

        until_it_works(lambda: plane.publish(item("lembas")))

        new = servers.primary()
        assert new is not old
        if how == "freeze":
            old.resume()
        plane.publish(item("rope"))
        assert {*keys("lembas"), *keys("rope")} <= {*claimed(claim(plane))}
        with Redis(port=new.port, decode_responses=True) as redis:
            assert redis.hexists("squidmesh:{default}:items", keys("rope")[0])
        backend.close()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_node_of_a_cluster_that_is_killed_is_replaced_and_work_goes_on(kind, tmp_path):
    with started_cluster(kind, tmp_path, replicas=3, timeout=0.5) as servers:
        backend = RedisBackend(servers.url, answer_timeout=0.5)
        plane = OfferPlane(backend.leases())
        plane.publish(item("ring"), item("lembas", queue="mordor"))
        servers.holder(slot_of("{default}")).kill()
        with pytest.raises(BackendUnavailable):
            claim(plane)

        until_it_works(lambda: plane.publish(item("rope")))

        assert keys("rope")[0] in claimed(until_it_works(lambda: claim(plane)))
        assert claimed(claim(plane, "mordor")) == keys("lembas")
        backend.close()
