"""Threads that somebody else holds locked for long: a forgotten session, a process of the server that stands still.

A commit that has waited in vain names them, so that the caller goes on with the others. They are remembered, and looked
at before the next commit that wants them: nobody waits for the same lock again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import Connection

from squidmesh.errors import ThreadsLocked
from squidmesh.ports.journal_store import Group

_REMEMBERED = 300.0
"""Seconds. Whoever wants the thread after that waits for it once more."""
_MOST = 1000


class Locks:
    """What this process knows of them. Thread-safe: what two threads find at once is found twice."""

    def __init__(self, name: str, statement: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._statement = statement
        self._monotonic = monotonic
        self._known: dict[str, float] = {}

    def avoid(self, connection: Connection[Any], groups: Sequence[Group]) -> None:
        """Raises ``ThreadsLocked`` where one of them is known, and still locked. Costs nothing while none is known."""
        if not self._known:
            return
        now = self._monotonic()
        asked = [thread for thread in _threads(groups) if thread in self._known]
        fresh = [thread for thread in asked if self._known[thread] > now]
        self._forget(asked)
        if fresh:
            self._look(connection, fresh)

    def blame(self, connection: Connection[Any], groups: Sequence[Group]) -> None:
        """After a commit that waited for a lock in vain: raises ``ThreadsLocked`` if it was for one of its threads."""
        self._look(connection, _threads(groups))

    def _look(self, connection: Connection[Any], threads: list[str]) -> None:
        locked = [thread for (thread,) in connection.execute(self._statement, {"threads": threads})]
        if not locked:
            return
        until = self._monotonic() + _REMEMBERED
        for thread in locked[:_MOST]:
            self._known[thread] = until
        self._forget(list(self._known)[:-_MOST])
        raise ThreadsLocked(f"{self._name}: somebody holds {len(locked)} of its threads locked", threads=locked)

    def _forget(self, threads: Sequence[str]) -> None:
        for thread in threads:
            self._known.pop(thread, None)


def _threads(groups: Sequence[Group]) -> list[str]:
    return [append.thread for group in groups for append in group.appends]
