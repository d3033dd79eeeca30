"""Ending an idle pump's sleep, within one process."""

from __future__ import annotations

import threading
from datetime import timedelta


class Bell:
    """Counts its rings, so that a ring between two waits is not missed."""

    def __init__(self) -> None:
        self.rings = 0
        self.changed = threading.Condition()

    def ring(self) -> None:
        with self.changed:
            self.rings += 1
            self.changed.notify_all()


class MemoryWakeup:
    """One sleeper. All wakeups of one backend share a bell: a poke of any of them ends the wait of each."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.rings

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        with self._bell.changed:
            self._bell.changed.wait_for(lambda: self._bell.rings != self._heard, max(0.0, timeout.total_seconds()))
            self._heard = self._bell.rings

    def close(self) -> None:
        self._bell.ring()
