"""A bell: ends sleeps within one process. What the poke of an embedded store's wake-up is made of."""

from __future__ import annotations

import threading


class Bell:
    """Counts its rings, so that a ring between two waits is not missed."""

    def __init__(self) -> None:
        self.rings = 0
        self._changed = threading.Condition()

    def ring(self) -> None:
        with self._changed:
            self.rings += 1
            self._changed.notify_all()

    def wait(self, heard: int, timeout: float) -> bool:
        """Sleeps until it has rung more often than ``heard``, at most ``timeout`` seconds; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.rings != heard, min(max(0.0, timeout), threading.TIMEOUT_MAX))

    def renew(self) -> None:
        """In the child of a fork: lets go of what threads held that are not here."""
        self._changed = threading.Condition()
