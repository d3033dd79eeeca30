"""Are these servers fit to hold leases? Asked before the first claim of a process, and of servers that come later."""

from __future__ import annotations

from typing import Any

from redis import Redis

from squidmesh.errors import BackendError
from squidmesh_redis.address import Node
from squidmesh_redis.client import Client
from squidmesh_redis.faults import translated

OLDEST = (6, 2)
POLICY = "noeviction"
"""What a server does when it is out of memory: it takes nothing new, and keeps what it has."""
_MODES = {
    "cluster": "is one node of a Cluster: its URL begins with redis+cluster://, or rediss+cluster://",
    "sentinel": "is a Sentinel: its URL begins with redis+sentinel://, or rediss+sentinel://, and names the primary",
}


def is_new_enough(server: dict[str, Any]) -> bool:
    """``server``: that section of INFO. A Valkey tells the version of Redis that it stands for."""
    version = str(server.get("redis_version", "0"))
    return tuple(int(part) for part in version.split(".")[:2]) >= OLDEST


def is_another_thing(server: dict[str, Any], shape: str) -> str | None:
    """What it is instead, and how its URL begins. A Cluster can be told by nobody but its nodes."""
    mode = str(server.get("server_mode", server.get("redis_mode", "standalone")))  # Valkey's word, and Redis'
    return _MODES.get(mode) if mode != shape else None


class Fitness:
    """``checked=False`` switches it off, for stand-ins that can not answer. ``evicts``: the operator accepts servers
    that throw keys away when they are out of memory, at the price of work that is delivered late or twice.
    """

    def __init__(self, client: Client, *, shape: str, evicts: bool, checked: bool = True) -> None:
        self._client = client
        self._shape = shape
        self._evicts = evicts
        self._checked = checked
        self._passed: int | None = None
        """The generation of servers that is fit."""

    def require(self) -> None:
        """Asks servers once; those that are fit are not asked again until there are others."""
        if self._checked and self._passed != self._client.topology.generation:
            self.check()

    def check(self) -> None:
        """Raises ``BackendError`` with what is wrong and what to do about it, or ``BackendUnavailable``."""
        with translated(self._client.where):
            servers = self._client.topology.primaries()
            generation = self._client.topology.generation
            for node, redis in servers:
                self._check(node, redis, of_several=self._shape != "standalone")
        self._passed = generation

    def _check(self, node: Node, redis: Redis, *, of_several: bool) -> None:
        server = redis.info("server")
        memory = redis.info("memory")
        where = f"{node}, of {self._client.where}," if of_several else self._client.where
        if other := is_another_thing(server, self._shape):
            raise BackendError(f"{where} {other}")
        if not is_new_enough(server):
            version = server.get("redis_version", "0")
            raise BackendError(f"{where} is version {version}; allowed is 6.2 and newer, or any Valkey")
        policy = memory.get("maxmemory_policy", POLICY)
        if policy != POLICY and not self._evicts:
            raise BackendError(
                f"{where} has maxmemory-policy {policy}: out of memory it would throw leases away."
                f" Set it to {POLICY}, or add ?evicts=1 to the URL to accept that"
            )
