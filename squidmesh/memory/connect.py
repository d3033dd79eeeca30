"""``memory://``: a store that lives as long as its backend object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl
from squidmesh.memory.journal import MemoryJournal
from squidmesh.memory.leases import MemoryLeases
from squidmesh.memory.wakeup import MemoryWakeup
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh.ports.bell import Bell

_URL = re.compile(r"memory://[A-Za-z0-9._-]{0,128}")


class MemoryBackend:
    """One private memory, which ends when it is closed. The name in the URL is only for people: two backends never
    share anything.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        if not _URL.fullmatch(url):
            raise InvalidUrl(f"{url!r} is refused; allowed are memory:// and memory://name", field="url")
        self.url = url
        self._journal = MemoryJournal(clock)
        self._leases = MemoryLeases(clock)
        self._bell = Bell()

    def migrate(self) -> list[str]:
        return []

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return []

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        found = "it forgets everything when its process ends, and no other process sees it"
        return [Finding(name="memory", level="warning", found=found, wanted="sqlite:///file.db for what has to last")]

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        yield Reading(journal=self.journal(), leases=self.leases())

    def journal(self) -> MemoryJournal:
        return self._journal

    def leases(self) -> MemoryLeases:
        return self._leases

    def wakeup(self, queues: Sequence[str] = ()) -> MemoryWakeup:
        return MemoryWakeup(self._bell)

    def starts_announced(self) -> None:
        """No host can start runs in a transaction of its own."""

    def close(self) -> None:
        self._journal.close()
        self._leases.close()
        self._bell.ring()


def backend(url: str, *, clock: Clock) -> MemoryBackend:
    """The factory behind the scheme ``memory``."""
    return MemoryBackend(url, clock=clock)
