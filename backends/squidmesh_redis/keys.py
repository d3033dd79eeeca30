"""The names of a queue's keys. All share the hash tag ``{queue}``, so that a queue is one slot of a cluster.

A *lane* of a queue in several slots has the tag ``{queue/8.0}``, and is what a queue is elsewhere. A part of the index
of queues has the tag ``{index:0}``: no queue is called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

PRIORITIES = 10


class Keys:
    """``prefix`` keeps meshes apart that share a server."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.marker = f"{prefix}:mesh"
        """Whose memory this is. No queue's: it stands in a slot of its own."""
        self.of_queue = lru_cache(maxsize=4096)(self._of_queue)

    def _of_queue(self, queue: str) -> tuple[str, ...]:
        """In the order in which the scripts know them (lua/_common.lua)."""
        parts = ("life", "items", "leased", "waiting", "busy", "buried", "older", "hints")
        ready = (f"ready:{priority}" for priority in range(PRIORITIES))
        return tuple(self._key(queue, part) for part in (*parts, *ready))

    @staticmethod
    def queue(of_lane: Sequence[str]) -> str:
        """Which queue these keys are of, or the lane of which they are."""
        tag = of_lane[0].partition("{")[2].partition("}")[0]
        return tag.partition("/")[0]

    def life(self, queue: str) -> str:
        return self._key(queue, "life")

    def hints(self, queue: str) -> str:
        return self._key(queue, "hints")

    def request(self, queue: str, request_hash: str) -> str:
        return self._key(queue, f"request:{request_hash}")

    def lanes(self, queue: str) -> str:
        """The numbers of lanes that the queue has for somebody; not there where it is its only lane for all."""
        return self._key(queue, "lanes")

    def of_index(self, part: int) -> tuple[str, ...]:
        """In the order in which the scripts know them (lua/_index.lua)."""
        return tuple(self._key(f"index:{part}", name) for name in ("queues", "looks"))

    def wanted(self, part: int, names: str) -> str:
        """``names``: a hash of them."""
        return self._key(f"index:{part}", f"wanted:{names}")

    def _key(self, queue: str, part: str) -> str:
        return f"{self.prefix}:{{{queue}}}:{part}"
