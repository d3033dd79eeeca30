"""Are these servers fit to hold leases? Asked before the first claim of a process, and of servers that come later."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from squidmesh.errors import BackendError
from squidmesh_redis.address import Node
from squidmesh_redis.client import Client
from squidmesh_redis.faults import is_unreached, translated

OLDEST = (6, 2)
ASKED_AGAIN = 30.0
"""Seconds after which servers are asked again that gave no answer."""
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
        self._missed_until = 0.0
        """Until when nobody asks again those of it that gave no answer."""

    def require(self) -> None:
        """Asks servers once; those that are fit are not asked again until there are others. Nodes of a Cluster that
        give no answer do not keep the others from being used, and are asked again now and then. Raises as
        :meth:`check`.
        """
        if not self._checked:
            return
        known = self._passed == self._client.topology.generation
        if not known or (self._missed_until and time.monotonic() >= self._missed_until):
            self._ask(all_of_them=False)

    def check(self) -> None:
        """Raises ``BackendError`` with what is wrong and what to do about it, or ``BackendUnavailable``."""
        self._ask(all_of_them=True)

    def _ask(self, *, all_of_them: bool) -> None:
        with translated(self._client.where):
            servers = self._client.topology.primaries()
            generation = self._client.topology.generation
            missed: list[Exception] = []
            for node, redis in servers:
                try:
                    self._check(node, redis, of_several=self._shape != "standalone")
                except (RedisError, OSError) as error:
                    if all_of_them or not is_unreached(error):
                        raise
                    missed.append(error)
            if len(missed) == len(servers):
                raise missed[0]
        self._missed_until = time.monotonic() + ASKED_AGAIN if missed else 0.0
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
