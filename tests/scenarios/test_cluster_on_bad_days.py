"""A fleet under load on a Cluster whose nodes change places: the queues of one node wait, and go on at another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from squidmesh_redis.slots import slot_of

from squidmesh.testing.clusters import ClusterServers
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import ReplicatedFleet
from tests.support.redis_topologies import started_cluster

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]

BUSY = slot_of("{default}")
RUNS = 40


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ClusterServers]:
    with started_cluster("valkey", tmp_path / "servers", replicas=3) as servers:
        yield servers


@pytest.fixture
def fleet(servers: ClusterServers, tmp_path: Path) -> Iterator[ReplicatedFleet]:
    with ReplicatedFleet(tmp_path, servers.url) as fleet:
        yield fleet


def test_the_owner_of_the_busy_slot_is_killed_and_comes_back_as_a_replica(
    fleet: ReplicatedFleet, servers: ClusterServers
) -> None:
    old = servers.holder(BUSY)
    heir = servers.replicas[servers.primaries.index(old)]
    fleet.start_and_wait(RUNS, RUNS // 2)
    fleet.hold(4)
    old.kill()
    until(lambda: "lease_backend_unavailable" in fleet.logs(), "somebody to notice", within=60)
    until(lambda: heir.answers("ROLE")[0] == "master", "the replica to take its place", within=60)
    fleet.start_and_wait(RUNS, RUNS)
    old.start()
    until(lambda: old.answers("ROLE")[0] == "slave", "the old one to follow it", within=60)
    fleet.let_go()
    fleet.start(RUNS)
    fleet.finish(within=120)
    fleet.judge()


def test_a_slot_moves_to_another_node_and_back(fleet: ReplicatedFleet, servers: ClusterServers) -> None:
    """Those that ask at the old place are sent on (``MOVED``)."""
    primary = servers.holder(BUSY)
    replica = servers.replicas[servers.primaries.index(primary)]
    fleet.hold(4)
    for chosen in (replica, primary, replica):
        fleet.start_and_wait(RUNS, RUNS // 2)
        assert chosen.ask("CLUSTER", "FAILOVER") == b"+OK"
        until(lambda chosen=chosen: chosen.answers("ROLE")[0] == "master", "the failover", within=60)  # type: ignore[misc]
    assert "MOVED" in primary.answer("INFO", "errorstats"), "nobody was sent on"
    fleet.let_go()
    fleet.finish(within=120)
    fleet.judge()
