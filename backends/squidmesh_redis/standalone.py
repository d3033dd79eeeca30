"""One server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from squidmesh_redis.address import Node
from squidmesh_redis.topology import Command, Survey, send_to


class Standalone:
    generation = 0

    def __init__(self, node: Node, redis: Redis) -> None:
        self._node = node
        self._redis = redis

    def send(self, commands: Sequence[Command]) -> list[Any]:
        return send_to(self._redis, commands)

    def primaries(self) -> list[tuple[Node, Redis]]:
        return [(self._node, self._redis)]

    def replicas(self) -> list[tuple[Node, Redis]]:
        """Nobody watches over them: they are not ours to ask."""
        return []

    def groups(self, keys: Sequence[str]) -> list[list[str]]:
        return [list(keys)] if keys else []

    def survey(self) -> Survey:
        return Survey("one server, which nobody replaces", ())

    def close(self) -> None:
        self._redis.close()
