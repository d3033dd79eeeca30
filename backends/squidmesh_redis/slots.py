"""Which node of a Cluster holds which slot, as a node tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from squidmesh_redis.address import Node

SLOTS = REDIS_CLUSTER_HASH_SLOTS


def slot_of(key: str) -> int:
    return key_slot(key.encode())


class SlotMap:
    """``told``: the answer to CLUSTER SLOTS; ``by``: who gave it, since a node that does not know its own name leaves
    it out.
    """

    def __init__(self, told: Sequence[Any] = (), *, by: Node | None = None) -> None:
        self._holders: list[Node | None] = [None] * SLOTS
        self.replicas_of: dict[Node, tuple[Node, ...]] = {}
        """By primary, in the order of their slots."""
        for first, last, primary, *replicas in sorted(told, key=lambda part: int(part[0])):
            node = _node(primary, by)
            self._holders[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
            self.replicas_of[node] = tuple(_node(replica, by) for replica in replicas)

    @property
    def primaries(self) -> tuple[Node, ...]:
        return tuple(self.replicas_of)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (*self.primaries, *(node for nodes in self.replicas_of.values() for node in nodes))

    @property
    def unserved(self) -> int:
        """How many slots nobody holds."""
        return self._holders.count(None)

    def holder(self, slot: int) -> Node | None:
        return self._holders[slot]


def _node(told: Sequence[Any], by: Node | None) -> Node:
    host, port = told[0], int(told[1])
    if host and host != "?":
        return Node(host, port)
    assert by is not None
    return Node(by.host, port)
