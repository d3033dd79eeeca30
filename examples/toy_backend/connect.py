"""``toy:///leases.db``: from an address to leases and a wake-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from examples.toy_backend.leases import ToyLeases
from examples.toy_backend.store import Store
from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl, SchemaOutOfDate
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh.ports.bell import Bell

SCHEME = "toy:///"
_LOOK = timedelta(milliseconds=250)
"""How long a sleeper may miss what another process has written."""


class ToyBackend:
    """Opening it touches nothing. A relative path is made absolute here, once: a process that changes its folder later
    still means the same file.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        file = url.removeprefix(SCHEME)
        if not url.startswith(SCHEME) or not file or "?" in file:
            raise InvalidUrl(f"{url!r} is refused; allowed is {SCHEME}file.db", field="url")
        self._path = Path(file).resolve()
        self.url = f"{SCHEME}{self._path}"
        self._clock = clock
        self._bell = Bell()
        self._handed_out: list[ToyLeases] = []

    def migrate(self) -> list[str]:
        """Nothing: what it holds is offered again from the journal, so a new version may begin with a new file."""
        return []

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return []

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        found = "there" if self._path.exists() else "not there yet"
        return [Finding(name="toy.file", level="ok", found=found, wanted="made by the first mesh that uses it")]

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        if not self._path.exists():
            raise SchemaOutOfDate(f"{self._path} is not there yet: the first mesh that uses it makes it")
        leases = self.leases()
        try:
            yield Reading(journal=None, leases=leases)
        finally:
            leases.close()

    def journal(self) -> NoReturn:
        raise InvalidUrl("a toy holds leases, not journals: name it as leases=", field="url")

    def leases(self) -> ToyLeases:
        leases = ToyLeases(Store(self._path), self._clock)
        self._handed_out.append(leases)
        return leases

    def wakeup(self, queues: Sequence[str] = ()) -> ToyWakeup:
        return ToyWakeup(self._bell)

    def starts_announced(self) -> None:
        """It holds no journal, and so no starts."""

    def close(self) -> None:
        for leases in self._handed_out:
            leases.close()
        self._bell.ring()


class ToyWakeup:
    """One sleeper. A poke comes from this process; for what other processes write, it looks up now and then."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.rings
        self._closed = False

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        length = timeout if self._closed else min(timeout, _LOOK)  # who forgot that it is closed must not spin
        self._bell.wait(self._heard, length.total_seconds())
        self._heard = self._bell.rings

    def close(self) -> None:
        self._closed = True
        self._bell.ring()


def backend(url: str, *, clock: Clock) -> ToyBackend:
    """The factory behind the scheme ``toy``."""
    return ToyBackend(url, clock=clock)
