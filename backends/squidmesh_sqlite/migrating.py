"""What migrations can not say in SQL: facts for what an older version knew without any."""

from __future__ import annotations

import sqlite3
import time

from squidmesh.journal.queues import QUEUE_CODEC, QueuePaused, queue_thread

_BY = "migration"
_WHY = "paused before pauses were recorded with a name"


def add_functions(connection: sqlite3.Connection) -> None:
    """For the length of a migration. All of them speak of one and the same moment."""
    now = time.time_ns() // 1000

    def pause(queue: str) -> bytes:
        return QUEUE_CODEC.encode_facts([QueuePaused(at=now, queue=queue, actor=_BY, comment=_WHY)])

    connection.create_function("queue_thread", 1, queue_thread, deterministic=True)
    connection.create_function("pause_entry", 1, pause, deterministic=True)
    connection.create_function("paused_by", 0, lambda: _BY, deterministic=True)
    connection.create_function("paused_why", 0, lambda: _WHY, deterministic=True)
    connection.create_function("paused_at", 0, lambda: now, deterministic=True)
