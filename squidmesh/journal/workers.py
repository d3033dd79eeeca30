"""Who works for a mesh now: rows beside the threads, that workers write of themselves. No facts, and nothing rests on
them: claims and fences decide who may do what (protocol 3.5), whatever stands here.
"""

from __future__ import annotations

import msgspec

MOST_FORGOTTEN = 100
"""So many rows that have grown stale are taken away by one writing."""


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """``name``: the owner of its claims, with its process's nonce; a second worker of that owner in one process has
    ``#2`` behind it. ``queues``: those that it claims from, or with ``*`` at the end the beginning of their names.
    ``slots``: how many steps it runs at a time; ``busy``: how many of them run something. ``leases``: claims that have
    no recorded outcome yet. ``started_at`` and ``seen_at``: by the store's clock; who puts the row does not know the
    latter.
    """

    name: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    slots: int
    busy: int
    leases: int
    draining: bool
    started_at: int
    seen_at: int = 0
