"""Is this server fit to hold leases? Asked once, before the first claim of a process."""

from __future__ import annotations

from typing import Any

from squidmesh.errors import BackendError
from squidmesh_redis.client import Client
from squidmesh_redis.faults import translated

OLDEST = (6, 2)
POLICY = "noeviction"
"""What a server does when it is out of memory: it takes nothing new, and keeps what it has."""


def is_new_enough(server: dict[str, Any]) -> bool:
    """``server``: that section of INFO. A Valkey tells the version of Redis that it stands for."""
    version = str(server.get("redis_version", "0"))
    return tuple(int(part) for part in version.split(".")[:2]) >= OLDEST


class Fitness:
    """``checked=False`` switches it off, for stand-ins that can not answer. ``evicts``: the operator accepts a server
    that throws keys away when it is out of memory, at the price of work that is delivered late or twice.
    """

    def __init__(self, client: Client, *, evicts: bool, checked: bool = True) -> None:
        self._client = client
        self._evicts = evicts
        self._passed = not checked

    def require(self) -> None:
        """Asks the server once; a server that is fit is not asked again."""
        if not self._passed:
            self.check()

    def check(self) -> None:
        """Raises ``BackendError`` with what is wrong and what to do about it, or ``BackendUnavailable``."""
        with translated(self._client.where):
            server = self._client.redis.info("server")
            memory = self._client.redis.info("memory")
        if not is_new_enough(server):
            version = server.get("redis_version", "0")
            raise BackendError(f"{self._client.where} is version {version}; allowed is 6.2 and newer, or any Valkey")
        policy = memory.get("maxmemory_policy", POLICY)
        if policy != POLICY and not self._evicts:
            raise BackendError(
                f"{self._client.where} has maxmemory-policy {policy}: out of memory it would throw leases away."
                f" Set it to {POLICY}, or add ?evicts=1 to the URL to accept that"
            )
        self._passed = True
