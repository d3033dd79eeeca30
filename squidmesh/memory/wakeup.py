"""Ending an idle pump's sleep, within one process."""

from __future__ import annotations

from datetime import timedelta

from squidmesh.ports.bell import Bell


class MemoryWakeup:
    """One sleeper. All wakeups of one backend share a bell: a poke of any of them ends the wait of each."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.rings

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        self._bell.wait(self._heard, timeout.total_seconds())
        self._heard = self._bell.rings

    def close(self) -> None:
        self._bell.ring()
