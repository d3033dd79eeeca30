"""A Cluster whose slots move, whose nodes differ, and who tells of it."""

import threading
import time
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from squidmesh_redis import RedisBackend
from squidmesh_redis.address import Node, read
from squidmesh_redis.cluster import Cluster
from squidmesh_redis.faults import is_unreached
from squidmesh_redis.slots import SlotMap, slot_of
from squidmesh_redis.topology import Command

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.testing.lease_suite import claim, claim_one, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.wakeup_suite import AGES
from tests.support.redis_topologies import started_cluster

QUEUE = "default"
SLOT = slot_of(f"{{{QUEUE}}}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with started_cluster("valkey", tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def nodes(servers):
    clients = [Redis(port=node.port, decode_responses=True) for node in servers.primaries]
    for client in clients:
        client.flushall()
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def backend(servers, nodes):
    backend = RedisBackend(servers.url)
    yield backend
    backend.close()


@pytest.fixture
def plane(backend):
    return OfferPlane(backend.leases())


@pytest.fixture
def two(nodes, servers):
    """Of the slot of the queue: the node that holds it, and another one; it is given back in the end."""
    holder = servers.primaries.index(servers.holder(SLOT))
    source, target = nodes[holder], nodes[(holder + 1) % 3]
    yield source, target
    for client in nodes:
        client.flushall()
    handed_over(nodes, source)


def handed_over(nodes, target):
    """Without a word to anybody who holds an older map. What a node has heard of another holder is out of date from the
    greater epoch on: without it two nodes may each take the other one for the holder, for ever.
    """
    its_id = target.execute_command("CLUSTER", "MYID")
    target.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", its_id)
    target.execute_command("CLUSTER", "BUMPEPOCH")
    for client in nodes:
        client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", its_id)


def test_a_slot_that_has_moved_is_followed_at_once(plane, nodes, two):
    source, target = two
    assert plane.leases.missing([item("ring")]) == keys("ring")
    source.flushall()
    handed_over(nodes, target)

    plane.publish(item("ring"))

    assert [len(node.keys(f"squidmesh:{{{QUEUE}}}:items")) for node in (source, target)] == [0, 1]
    before = source.info("commandstats")["cmdstat_evalsha"]["rejected_calls"]
    assert claim_one(plane).fence == 1
    assert source.info("commandstats")["cmdstat_evalsha"]["rejected_calls"] == before, "the map was read anew"


def test_while_a_slot_moves_its_queue_waits_and_no_other_does(plane, nodes, two):
    source, target = two
    plane.publish(item("ring"))
    source.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target.execute_command("CLUSTER", "MYID"))
    target.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source.execute_command("CLUSTER", "MYID"))

    with pytest.raises(BackendUnavailable, match="can not be used now"):
        claim(plane)
    plane.publish(item("lembas", queue="shire"))
    assert claimed(claim(plane, "shire")) == keys("lembas")

    names = source.keys(f"squidmesh:{{{QUEUE}}}:*")
    source.execute_command("MIGRATE", "127.0.0.1", target.get_connection_kwargs()["port"], "", 0, 5000, "KEYS", *names)
    assert plane.leases.paused([QUEUE]) == frozenset(), "a single key is asked for where it is now"
    handed_over(nodes, target)
    assert claimed(claim(plane)) == keys("ring")


def test_each_node_is_told_the_scripts_it_has_forgotten(plane, nodes):
    queues = [QUEUE, "mordor", "shire"]
    for _ in range(2):
        for node in nodes:
            node.script_flush()
        assert [one.queue for one in plane.leases.stats(queues)] == queues


def test_a_node_that_evicts_is_named(plane, backend, nodes, servers):
    nodes[1].config_set("maxmemory-policy", "allkeys-lru")
    where = f"127.0.0.1:{servers.primaries[1].port}"
    try:
        with pytest.raises(BackendError, match=f"{where}, of .* has maxmemory-policy allkeys-lru"):
            claim(plane)
        found = {(one.level, one.found) for one in backend.doctor() if one.name == "redis.eviction"}
    finally:
        nodes[1].config_set("maxmemory-policy", "noeviction")
    assert ("refused", f"allkeys-lru ({where})") in found
    assert claimed(claim(plane)) == []


def test_the_doctor_tells_who_is_there(backend, servers):
    (found,) = [one for one in backend.doctor() if one.name == "redis.topology"]
    assert (found.level, found.found.partition(";")[0]) == ("warning", "a Cluster of 3 primaries and 0 replicas")
    assert all(f"127.0.0.1:{node.port} has no replica" in found.found for node in servers.primaries)
    roles = [one.found for one in backend.doctor() if one.name == "redis.role"]
    assert len(roles) == 1, "what is alike is told once"


def test_a_node_alone_is_no_server_and_a_server_is_no_cluster(servers, server):
    one = RedisBackend(servers.primaries[0].url)
    with pytest.raises(BackendError, match=r"one node of a Cluster: its URL begins with redis\+cluster://"):
        one.leases().check()
    told = [found.found for found in one.doctor() if found.name == "redis.server"]
    assert "one node of a Cluster" in told[0]
    other = RedisBackend(f"redis+cluster://127.0.0.1:{server.port}")
    with pytest.raises(BackendError, match="cluster support disabled"):
        other.leases().check()
    one.close()
    other.close()


@pytest.mark.parametrize("count", [3, 20])
def test_a_sleeper_is_woken_from_any_queue(count, servers, plane):
    """Also where there are more queues than threads."""
    queues = [f"queue-{n}" for n in range(count)]
    other = RedisBackend(servers.url)
    wakeup = other.wakeup(queues)
    for queue in (queues[0], queues[-1]):
        sleeper = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
        sleeper.start()
        plane.publish(item("ring", queue=queue))
        sleeper.join(10)
        assert not sleeper.is_alive()
        claim(plane, queue)
    begin = time.monotonic()
    other.close()
    assert time.monotonic() - begin < 2


# ------------------------------------------------------------------------------------------- without a real Cluster


class Fake:
    """A node that answers as it is told, and counts what it hears."""

    def __init__(self, slots: Any, answer: Exception) -> None:
        self.slots, self.answer = slots, answer
        self.heard: list[Any] = []

    def execute_command(self, *words):
        self.heard.append(words[0])
        if words[:2] == ("CLUSTER", "SLOTS"):
            return self.slots
        raise self.answer

    def connect(self, *_: Any, **__: Any) -> Any:
        return self

    def close(self):
        pass


ADDRESS = read("redis+cluster://127.0.0.1:7000")


def test_what_got_no_answer_is_not_sent_again():
    node = Fake([[0, 16383, ["127.0.0.1", 7000, "id"]]], RedisConnectionError("gone"))
    cluster = Cluster(ADDRESS, node.connect)
    for sent in (1, 2):
        (answer,) = cluster.send([Command("a", ("INCR", "a"))])
        assert isinstance(answer, RedisConnectionError)
        assert node.heard.count("INCR") == sent
        assert node.heard.count("CLUSTER") == sent, "and the map is read anew before the next command"


def test_a_node_that_stands_still_is_only_glanced_at(monkeypatch):
    node = Fake([[0, 16383, ["127.0.0.1", 7000, "id"]]], RedisTimeoutError("nothing"))
    cluster = Cluster(ADDRESS, node.connect)
    for _ in range(3):
        (answer,) = cluster.send([Command("a", ("INCR", "a"))])
        assert is_unreached(answer)
    assert (node.heard.count("INCR"), node.heard.count("PING")) == (1, 0), "its word holds for a while"
    monkeypatch.setattr("squidmesh_redis.cluster._LOOKED_AT", 0.0)
    cluster._still.update({Node("127.0.0.1", 7000): 0.0})
    cluster.send([Command("a", ("INCR", "a"))])
    assert (node.heard.count("INCR"), node.heard.count("PING")) == (1, 1)
    node.answer = RedisConnectionError("gone")
    cluster.send([Command("a", ("INCR", "a"))])
    assert (node.heard.count("INCR"), node.heard.count("PING")) == (2, 2), "it is told again, and says what is wrong"


def test_a_node_elsewhere_is_told_nothing_without_tls():
    node = Fake([[0, 16383, ["192.0.2.7", 7000, "id"]]], AssertionError("it was told something"))
    cluster = Cluster(ADDRESS, node.connect)
    with pytest.raises(BackendError, match=r"names the server 192\.0\.2\.7:7000, which is not on this machine"):
        cluster.send([Command("a", ("GET", "a"))])
    insecure = Cluster(read("redis+cluster://127.0.0.1:7000?insecure=1"), node.connect)
    with pytest.raises(AssertionError, match="told something"):
        insecure.send([Command("a", ("GET", "a"))])


def test_slots_that_nobody_holds_and_nodes_that_do_not_know_their_name():
    slots = SlotMap([[0, 99, ["", 7001, "id"], [None, 7002, "id"]], [200, 16383, ["?", 7003]]], by=Node("shire", 7000))
    assert (slots.unserved, slots.holder(100), slots.holder(99)) == (100, None, Node("shire", 7001))
    assert slots.replicas_of == {Node("shire", 7001): (Node("shire", 7002),), Node("shire", 7003): ()}
