"""The names of a queue's keys. All share the hash tag ``{queue}``, so that a queue is one slot of a cluster."""

from __future__ import annotations

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

    def life(self, queue: str) -> str:
        return self._key(queue, "life")

    def hints(self, queue: str) -> str:
        return self._key(queue, "hints")

    def request(self, queue: str, request_hash: str) -> str:
        return self._key(queue, f"request:{request_hash}")

    def _key(self, queue: str, part: str) -> str:
        return f"{self.prefix}:{{{queue}}}:{part}"
