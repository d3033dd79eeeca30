"""``redis://host:6379/0``: from an address to leases and a wake-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NoReturn, Protocol, assert_never

from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh_redis import doctor
from squidmesh_redis.address import Address, read
from squidmesh_redis.client import Client
from squidmesh_redis.cluster import Cluster
from squidmesh_redis.fitness import Fitness
from squidmesh_redis.index import IN_CLUSTER
from squidmesh_redis.keys import Keys
from squidmesh_redis.lanes import Lanes
from squidmesh_redis.leases import RedisLeases
from squidmesh_redis.listening import BLOCK
from squidmesh_redis.nodes import ANSWER_TIMEOUT, Connect, open_client
from squidmesh_redis.sentinel import Sentinels
from squidmesh_redis.standalone import Standalone
from squidmesh_redis.topology import Topology
from squidmesh_redis.wakeup import Bell, RedisWakeup

_NO_JOURNAL = "Redis holds leases, not journals: name it as leases=, beside the URL of a journal"


def reach(address: Address, connect: Connect = open_client, *, answer_timeout: float = ANSWER_TIMEOUT) -> Topology:
    """The servers of an address. Nothing is asked yet."""
    match address.shape:
        case "standalone":
            (node,) = address.nodes
            return Standalone(node, connect(address, node, answer_timeout=answer_timeout))
        case "sentinel":
            return Sentinels(address, connect, answer_timeout=answer_timeout)
        case "cluster":
            return Cluster(address, connect, answer_timeout=answer_timeout)
        case _:
            assert_never(address.shape)


class _Closable(Protocol):
    def close(self) -> None: ...


class RedisBackend:
    """The servers of one URL. What was handed out ends with the backend. ``now`` (another clock), ``connect`` (another
    server), ``answer_timeout`` (seconds) and ``checked`` (a server that can not be asked what it is) are there for
    tests.
    """

    def __init__(
        self,
        url: str,
        *,
        now: str | None = None,
        connect: Connect = open_client,
        answer_timeout: float = ANSWER_TIMEOUT,
        checked: bool = True,
    ) -> None:
        self.url = url
        self.address = read(url)
        self._keys = Keys(self.address.prefix)
        self._lanes = Lanes(self.address.shards)
        self._now = now
        self._connect = connect
        self._answer_timeout = answer_timeout
        self._checked = checked
        self._bell = Bell()
        self._handed_out: set[_Closable] = set()
        """What is open of it: whoever is closed leaves."""

    def migrate(self) -> list[str]:
        """There is nothing to migrate: what an older version has left is offered again from the journal."""
        return []

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return []

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        with closing(reach(self.address, self._connect)) as topology:
            return doctor.examine(topology, self.address, now=now)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        leases = self.leases()
        try:
            yield Reading(journal=None, leases=leases)
        finally:
            leases.close()

    def journal(self) -> NoReturn:
        raise InvalidUrl(_NO_JOURNAL, field="url")

    def leases(self) -> RedisLeases:
        topology = reach(self.address, self._connect, answer_timeout=self._answer_timeout)
        client = Client(topology, self.address.where, now=self._now)
        fitness = Fitness(client, shape=self.address.shape, evicts=self.address.evicts, checked=self._checked)
        parts = IN_CLUSTER if self.address.shape == "cluster" else 1
        leases = RedisLeases(client, self._keys, fitness, self._lanes, self._handed_out.discard, parts=parts)
        self._handed_out.add(leases)
        return leases

    def wakeup(self, queues: Sequence[str] = ()) -> RedisWakeup:
        topology = reach(self.address, self._connect, answer_timeout=2 * BLOCK)
        hints = [self._keys.hints(lane) for queue in queues for lane in self._lanes.of(queue)]
        wakeup = RedisWakeup(topology, hints, self._bell, self._handed_out.discard)
        self._handed_out.add(wakeup)
        return wakeup

    def starts_announced(self) -> None:
        """It holds no journal, and so no starts."""

    def close(self) -> None:
        for one in list(self._handed_out):
            one.close()


def backend(url: str, *, clock: Clock) -> RedisBackend:
    """The factory behind the schemes of :data:`squidmesh_redis.address.SCHEMES`. Servers have clocks of their own."""
    return RedisBackend(url)
