"""A fleet under load whose primary is replaced: what it had acknowledged is gone, and the journal decides."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from squidmesh.testing.sentinels import SentinelServers
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import ReplicatedFleet
from tests.support.redis_topologies import direct, started_sentinels

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]

ITEMS = "squidmesh:{default}:items"
HELD = 4
"""Half of the slots."""
RUNS = 30


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[SentinelServers]:
    with started_sentinels("valkey", tmp_path / "servers") as servers:
        yield servers


@pytest.fixture
def fleet(servers: SentinelServers, tmp_path: Path) -> Iterator[ReplicatedFleet]:
    """Its reconcilers leave time for claims from a server that has lost its memory of the last seconds."""
    with ReplicatedFleet(tmp_path, servers.url, reconcile=2.0) as fleet:
        yield fleet


def knows(server: Server, items: int) -> bool:
    """Whether it has so many items, and may hand them out."""
    with direct(server.port) as redis:
        return redis.hlen(ITEMS) == items and not redis.hexists("squidmesh:{default}:life", "paused")


def claimed_of_the_primary_alone(fleet: ReplicatedFleet, servers: SentinelServers) -> dict[str, int]:
    """Fences that it granted, by item. The replicas stand still since before; they have heard of the items."""
    replicas = servers.servers[1:]
    fleet.mesh.pause_queue("default", actor="us")
    fleet.start(RUNS)
    fleet.start(HELD, held=True)
    for worker in fleet.workers:  # they have nothing to do; else they would claim before the replicas stand still
        os.kill(worker.pid, signal.SIGSTOP)
    fleet.mesh.resume_queue("default", actor="us")
    until(lambda: any(knows(replica, RUNS + HELD) for replica in replicas), "the replicas to hear of the items")
    for replica in replicas:
        replica.freeze()
    servers.primary().ask("CLIENT", "KILL", "TYPE", "replica")  # what waits in their sockets would still be read
    before = fleet.granted()
    for worker in fleet.workers:
        os.kill(worker.pid, signal.SIGCONT)
    until(lambda: len(fleet.granted()) == RUNS + HELD, "the claims", within=60)
    return {item: fence for item, fence in fleet.granted().items() if item not in before}


def test_a_failover_loses_grants_and_the_first_to_be_recorded_wins(
    fleet: ReplicatedFleet, servers: SentinelServers
) -> None:
    """The new primary grants the same items with the same fences to others, and the journal refuses those."""
    granted = claimed_of_the_primary_alone(fleet, servers)
    assert granted, "nothing was claimed that the replicas have not heard of"
    old = servers.primary()
    old.kill()
    for replica in servers.servers[1:]:
        replica.resume()
    new = servers.fail_over(without=old)
    until(lambda: granted.items() & fleet.refused(), "a second grant of one fence", within=60)
    assert new is not old
    fleet.let_go()
    fleet.start(RUNS)
    fleet.finish(within=120)
    fleet.judge()


def test_an_old_primary_that_goes_on_grants_claims_that_the_journal_judges(
    servers: SentinelServers, tmp_path: Path
) -> None:
    """Half of the workers know nobody but it, so there are two that grant the same work until both have; when it is a
    replica its workers wait.
    """
    old = servers.primary()
    with ReplicatedFleet(tmp_path, servers.url, apart={0: old.url, 1: old.url}) as fleet:
        fleet.start_and_wait(RUNS, RUNS // 2)
        fleet.hold(HELD)
        old.ask("ACL", "SETUSER", "default", "-slaveof", "-replicaof")  # else the Sentinels give it ten seconds
        old.freeze()
        new = servers.fail_over(without=old)
        old.resume()
        fleet.let_go()  # else what one half holds and the other is granted anew would fill every slot
        after: list[str] = []

        def both_grant() -> bool:
            after.extend(fleet.start(4))
            seen = fleet.claimants(after)
            return bool(seen & {0, 1} and seen & {2, 3})

        until(both_grant, "claims that both grant", within=60)
        assert new is not old
        assert old.answers("ROLE")[0] == "master"
        old.ask("ACL", "SETUSER", "default", "+slaveof", "+replicaof")
        until(lambda: old.answers("ROLE")[0] == "slave", "the Sentinels to tell it", within=60)
        until(lambda: "read only replica" in fleet.log(fleet.workers[0]), "its workers to hear of it", within=60)
        fleet.finish(within=120)
        fleet.judge()
