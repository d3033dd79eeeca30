"""What befalls Redis servers that replicate: a failover that loses acknowledged writes, two primaries, a lost node."""

from __future__ import annotations

import time

from squidmesh_redis.slots import slot_of

from chaos.faults.fault import Fault, NoTarget, state_of
from squidmesh.testing.clusters import ClusterServers
from squidmesh.testing.sentinels import SentinelServers
from squidmesh.testing.servers import Server

BUSY = slot_of("{default}")
_QUIET = 3.0
"""Seconds in which Sentinels that have chosen may choose once more: to them, the new primary stood still just now. In
the last of them every worker has asked who it is."""


def role(server: Server) -> str:
    """``master``, ``slave``, or empty where it does not run."""
    return server.answers("ROLE")[0] if server.is_running else ""


class OfSentinels(Fault):
    needs = frozenset({"sentinel"})
    touches = frozenset({"sentinel"})
    patience = 40.0

    @property
    def servers(self) -> SentinelServers:
        found = self.world.stores.sentinels
        assert found is not None
        return found

    def two_that_follow(self) -> Server:
        """The primary; raises where a replica does not follow it yet."""
        primary = self.servers.primary()
        others = [one for one in self.servers.servers if one is not primary]
        if any(role(one) != "slave" or one.info("replication")["master_link_status"] != "up" for one in others):
            raise NoTarget("a replica does not follow yet")
        return primary


class OfTheirChoice(OfSentinels):
    """The Sentinels choose another primary."""

    _named: frozenset[int] = frozenset()
    _named_since = 0.0

    def over(self) -> bool:
        """Whether all Sentinels have named one and the same primary for some time."""
        named, now = frozenset(self.servers.all_named()), time.monotonic()
        if named != self._named or len(named) != 1 or role(self.servers.primary()) != "master":
            self._named, self._named_since = named, now
        return now - self._named_since >= _QUIET


class FailoverLosesWrites(OfTheirChoice):
    name = "sentinel-failover"
    harm = "leases_rolled_back"
    what = "the replicas stand still, the primary goes on and is killed, the Sentinels choose another one"
    expected = "acknowledged grants are gone and are made again under the same fence: the first to be recorded wins"
    lasts = (4.0, 10.0)

    def apply(self) -> str:
        self._old = self.two_that_follow()
        self._replicas = [one for one in self.servers.servers if one is not self._old]
        for replica in self._replicas:
            replica.freeze()
        self._old.ask("CLIENT", "KILL", "TYPE", "replica")  # what waits in their sockets would still be read
        self._since = time.monotonic()
        self._offset = self._acknowledged()
        self._lost = 0
        self._killed = False
        return f"the primary on port {self._old.port}"

    def _acknowledged(self) -> int:
        return int(self._old.info("replication")["master_repl_offset"])

    def seen(self) -> str | None:
        if not self._killed:
            self._lost = self._acknowledged() - self._offset
            if self._lost <= 0:
                return None
            self._kill()
            return None
        new = self.servers.named()
        if new == self._old.port or role(self.servers.primary()) != "master":
            return None
        return f"port {new} is primary, and {self._lost} bytes of acknowledged writes are gone"

    def _kill(self) -> None:
        self._old.kill()
        self._killed = True
        for replica in self._replicas:
            replica.resume()

    def heal(self) -> None:
        if not self._killed:
            for replica in self._replicas:
                replica.resume()
            return
        self._old.start()  # the Sentinels make a replica of it
        self._old.ask("REPLICAOF", "127.0.0.1", str(self.servers.named()))


class SplitBrain(OfTheirChoice):
    name = "sentinel-split-brain"
    harm = "leases_rolled_back"
    what = "the primary stands still until another one is chosen, then goes on as if nothing had happened"
    expected = "two grant the same work for some seconds: the journal decides"
    lasts = (4.0, 10.0)

    def apply(self) -> str:
        self._old = self.two_that_follow()
        self._old.freeze()
        self._awake = False
        return f"the primary on port {self._old.port}"

    def seen(self) -> str | None:
        if self._awake:
            return self._evidence
        new = self.servers.named()
        if new == self._old.port:
            return None
        self._wake()
        both = role(self._old) == "master" and role(self.servers.primary()) == "master"
        self._evidence = f"ports {self._old.port} and {new} both say master" if both else None
        return self._evidence

    _evidence: str | None = None

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._old.resume()

    def heal(self) -> None:
        """The Sentinels tell the old one within some seconds. Who works with it has asked them before."""
        self._wake()


class SentinelKilled(OfSentinels):
    name = "sentinel-killed"
    what = "one of the Sentinels is killed, and comes back"
    expected = "workers ask another one"
    lasts = (2.0, 8.0)

    def apply(self) -> str:
        self._one = self.servers.sentinels[-1]
        self._pid = self._one.pid
        self._one.kill()
        return f"the Sentinel on port {self._one.port}"

    def seen(self) -> str | None:
        return None if state_of(self._pid) else f"process {self._pid} has ended"

    def heal(self) -> None:
        self._one.start()


class OfCluster(Fault):
    needs = frozenset({"cluster"})
    touches = frozenset({"cluster"})
    patience = 40.0

    @property
    def cluster(self) -> ClusterServers:
        found = self.world.stores.cluster
        assert found is not None
        return found

    def pair(self) -> tuple[Server, Server]:
        """Who has the busy slot now, and who would have it next."""
        first = self.cluster.holder(BUSY)
        second = self.cluster.replicas[self.cluster.primaries.index(first)]
        roles = (role(first), role(second))
        if roles == ("master", "slave"):
            found: tuple[Server, Server] = (first, second)
        elif roles == ("slave", "master"):
            found = (second, first)
        else:
            raise NoTarget(f"the two of the busy slot are {roles}")
        if found[1].info("replication")["master_link_status"] != "up":
            raise NoTarget("the replica does not follow yet")
        return found


class NodeKilled(OfCluster):
    name = "cluster-node-killed"
    harm = "leases_rolled_back"
    what = "the node of the Cluster that holds the busy slot is killed, and comes back as a replica"
    expected = "its queues wait until the replica has taken its place; the journal has what is lost"
    lasts = (4.0, 10.0)

    def apply(self) -> str:
        self._old, self._heir = self.pair()
        self._old.kill()
        return f"the node on port {self._old.port}"

    def seen(self) -> str | None:
        return f"port {self._heir.port} has taken its place" if role(self._heir) == "master" else None

    def heal(self) -> None:
        self._old.start()


class SlotMoves(OfCluster):
    name = "cluster-failover"
    harm = "leases_rolled_back"
    what = "an orderly failover: the busy slot moves to another node"
    expected = "those that ask at the old place are sent on (MOVED)"
    lasts = (1.0, 4.0)

    def apply(self) -> str:
        self._old, self._heir = self.pair()
        if self._heir.ask("CLUSTER", "FAILOVER") != b"+OK":
            raise NoTarget("the replica refuses")
        return f"from port {self._old.port} to {self._heir.port}"

    def seen(self) -> str | None:
        return f"port {self._heir.port} has the slot" if role(self._heir) == "master" else None

    def heal(self) -> None:
        """Nothing is wrong."""
