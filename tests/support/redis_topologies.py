"""Clusters and Sentinels as tests want them: with a clock that a test moves on all nodes at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.cluster import ClusterNode, RedisCluster
from squidmesh_redis.slots import slot_of

from squidmesh.testing import VirtualClock
from squidmesh.testing.clusters import SLOTS, ClusterServers
from squidmesh.testing.processes import NoServer
from squidmesh.testing.sentinels import SentinelServers
from tests.support.redises import CLOCK

TAGS = ("a", "b", "c")
"""Of keys that stand in the first, the second and the last third of the slots, in some order."""
CLOCKS = tuple(f"{CLOCK}{{{tag}}}" for tag in TAGS)
CLUSTER_NOW = f"""
local function now()
  for _, key in ipairs({{{", ".join(f'"{key}"' for key in CLOCKS)}}}) do
    local time = redis.pcall('GET', key)
    if type(time) == 'string' then return tonumber(time) end
  end
  error('this node has no clock')
end
"""
"""A script may read what its own node holds, whatever its slot, and no other node's."""


class ClusterClock(VirtualClock):
    """A virtual clock that the scripts read from their own node."""

    def __init__(self, redis: Any) -> None:
        super().__init__()
        self._redis = redis
        self.write()

    def advance(self, by):
        super().advance(by)
        self.write()

    def write(self) -> None:
        for key in CLOCKS:
            self._redis.set(key, self.now())


def cluster_client(servers: ClusterServers) -> RedisCluster:
    """The driver's own, for looking at what is there."""
    nodes = [ClusterNode("127.0.0.1", node.port) for node in servers.primaries]
    return RedisCluster(startup_nodes=nodes, decode_responses=True)


@contextmanager
def started_cluster(kind: str, folder: Path, **options: Any) -> Iterator[ClusterServers]:
    """Fails in one line where there is no such server; Valkey stands for Redis where only Redis is missing."""
    with _or_none(kind, lambda: ClusterServers(kind, folder, **options)) as servers:
        yield servers


@contextmanager
def started_sentinels(kind: str, folder: Path, **options: Any) -> Iterator[SentinelServers]:
    with _or_none(kind, lambda: SentinelServers(kind, folder, **options)) as servers:
        yield servers


def _or_none(kind: str, make: Any) -> Any:
    try:
        return make()
    except NoServer as missing:
        if kind == "redis":
            pytest.skip(f"{missing}; Valkey stands for it")
        pytest.fail(str(missing), pytrace=False)


def emptied(redis: Any) -> Any:
    redis.flushall()
    return redis


def third(key: str) -> int:
    """Which third of the slots it stands in."""
    return slot_of(key) * 3 // SLOTS


def direct(port: int) -> Redis:
    return Redis(port=port, decode_responses=True)
