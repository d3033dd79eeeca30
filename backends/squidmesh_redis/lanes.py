"""A hot queue in lanes: each lane is a slot of a cluster, as a whole queue is elsewhere.

An item's lane follows from its run, or from its concurrency key where it has one: so a run goes on in its lane, and the
limit of a key holds over the whole queue. Within a lane there is order; between lanes there are turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl
from zlib import crc32

from squidmesh.errors import InvalidUrl
from squidmesh.ids import AttemptKey, is_identifier

MOST_LANES = 64
_ALLOWED = f"allowed is ?shards=queue:number, 2 to {MOST_LANES} lanes, with commas between several"


def shards_of(query: str) -> dict[str, int]:
    """By queue, how many lanes the query of a URL asks for. Raises ``InvalidUrl``."""
    found: dict[str, int] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "shards":
            continue
        for part in value.split(","):
            queue, _, number = part.rpartition(":")
            if not is_identifier(queue):
                raise _refused(f"{part[:80]!r} names no queue")
            if not number.isascii() or not number.isdigit() or not 2 <= int(number[:4]) <= MOST_LANES:
                raise _refused(f"{number[:80]!r} is no number of lanes for {queue!r}")
            if queue in found:
                raise _refused(f"{queue!r} is named twice")
            found[queue] = int(number)
    return found


def _refused(why: str) -> InvalidUrl:
    return InvalidUrl(f"this Redis URL is refused: {why}; {_ALLOWED}", field="url")


def all_lanes(queue: str, number: int) -> tuple[str, ...]:
    """The lanes of a queue, by name. No name of a queue has a slash. 0: it is one lane, of its own name. No lane is one
    of the same queue with another number of them: an item has one place in each.
    """
    return tuple(f"{queue}/{number}.{lane}" for lane in range(number)) or (queue,)


class Lanes:
    """``shards``: by queue, its number of lanes. Every other queue is a lane."""

    def __init__(self, shards: Mapping[str, int]) -> None:
        self.shards = dict(shards)
        self._lanes = {queue: all_lanes(queue, number) for queue, number in shards.items()}

    def of(self, queue: str) -> tuple[str, ...]:
        return self._lanes.get(queue) or (queue,)

    def lane(self, queue: str, item: AttemptKey, concurrency_key: str | None) -> str:
        """Where an item stands."""
        lanes = self._lanes.get(queue)
        if lanes is None:
            return queue
        told_by = item.partition("/")[0] if concurrency_key is None else f"#{concurrency_key}"
        return lanes[crc32(told_by.encode()) % len(lanes)]
