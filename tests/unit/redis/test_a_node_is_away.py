"""A Cluster one of whose nodes stands still: the queues of the others are served as if nothing were."""

from datetime import timedelta

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_redis.slots import slot_of

from squidmesh.errors import BackendUnavailable
from squidmesh.ports.lease_backend import Beat, Settlement
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from tests.scenarios.fleet import until
from tests.support.redis_topologies import started_cluster

AWAY, HERE = "default", "mordor"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    settings = [("cluster-require-full-coverage", "no")]
    with started_cluster("valkey", tmp_path_factory.mktemp("cluster"), timeout=60, settings=settings) as servers:
        yield servers


@pytest.fixture
def plane(servers, monkeypatch):
    monkeypatch.setattr("squidmesh_redis.cluster._LOOKED_AT", 0.1)
    for node in servers.primaries:
        node.ask("FLUSHALL")
    backend = RedisBackend(servers.url, answer_timeout=0.5)
    yield OfferPlane(backend.leases())
    backend.close()


@pytest.fixture
def node(servers):
    away = servers.holder(slot_of(f"{{{AWAY}}}"))
    assert away is not servers.holder(slot_of(f"{{{HERE}}}"))
    yield away
    away.resume()


def test_a_claim_takes_what_the_other_queues_have(plane, node):
    plane.publish(item("ring", queue=AWAY), item("rope", queue=HERE), item("lembas", queue=HERE))
    node.freeze()
    for name in ("rope", "lembas"):
        assert claimed(claim(plane, AWAY, HERE, limit=1)) == keys(name)
    assert claim(plane, AWAY, HERE).next_due == timedelta(seconds=1), "the other one is asked again soon"
    with pytest.raises(BackendUnavailable):
        claim(plane, AWAY)
    node.resume()
    until(lambda: claimed(claim(plane, AWAY, HERE)) == keys("ring"), "its queue to be served again")


def test_a_worker_of_many_queues_is_told_of_those_that_are_due_elsewhere(plane, node, servers):
    queues = [f"queue-{n}" for n in range(32)]
    plane.publish(*(item(queue, queue=queue) for queue in queues))
    node.freeze()
    found = plane.leases.due_queues(queues, (), limit=32).queues
    assert found
    assert len(found) < len(queues), "a part of the index was on the node"
    granted = claimed(claim(plane, *found, limit=32))
    here = [queue for queue in found if servers.holder(slot_of(f"{{{queue}}}")) is not node]
    assert sorted(granted) == sorted(keys(*here))


def test_what_is_over_is_settled_where_it_can_be(plane, node):
    plane.publish(item("ring", queue=AWAY), item("rope", queue=HERE), item("lembas", queue=HERE))
    ring, rope, lembas = (one for queue in (AWAY, HERE) for one in claim(plane, queue, limit=2).claims)
    node.freeze()
    brings = Settlement(claim=lembas, offers=(item("next", queue=AWAY),))
    with pytest.raises(BackendUnavailable):
        plane.leases.settle([Settlement(claim=ring), Settlement(claim=rope), brings])
    assert plane.leases.heartbeat([rope]) == [Beat.GONE]
    assert plane.leases.heartbeat([lembas]) == [Beat.EXTENDED], "what it brings may not have come"
    node.resume()
    until(lambda: settled(plane, ring, brings), "the node")
    assert plane.leases.heartbeat([ring, lembas]) == [Beat.GONE, Beat.GONE]
    assert claimed(claim(plane, AWAY)) == keys("next")


def settled(plane, ring, brings):
    try:
        plane.leases.settle([Settlement(claim=ring), brings])
    except BackendUnavailable:
        return False
    return True
