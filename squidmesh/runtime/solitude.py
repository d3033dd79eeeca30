"""Who may run beside whom in one process (protocol 3.5.5).

An attempt with a lost delivery may be what killed its last worker. It runs when its process runs nothing else, alone,
so that it can take no innocent claim with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta


class Solitude:
    """Shared by all pumps of a process. ``opened`` is called, outside the lock, whenever waiting may have ended."""

    def __init__(self, opened: Callable[[], None]) -> None:
        self._held = threading.Lock()
        self._ended = threading.Condition(self._held)
        self._opened = opened
        self._running = 0
        self._alone = False
        self._wanting: set[str] = set()

    @property
    def closed(self) -> bool:
        """True while a suspect runs, or waits for the others to end: nothing new should be claimed."""
        return self._alone or bool(self._wanting)

    def admit(self, key: str, *, suspect: bool) -> bool:
        """Whether the assignment may start now. A suspect that may not is remembered: nothing new starts before it."""
        with self._held:
            if suspect:
                self._wanting.add(key)
                if self._running:
                    return False
                self._wanting.discard(key)
                self._alone = True
            elif self._alone or self._wanting:
                return False
            self._running += 1
            return True

    def leave(self) -> None:
        """An admitted assignment has ended."""
        with self._held:
            self._running -= 1
            if not (self._alone or self._wanting):
                return  # nobody waits: all who asked were admitted
            if self._running == 0:
                self._alone = False
            self._ended.notify_all()
        self._opened()

    def forget(self, key: str) -> None:
        """A suspect that waited has been given back."""
        with self._held:
            self._wanting.discard(key)
            self._ended.notify_all()
        self._opened()

    def wait(self, timeout: timedelta) -> None:
        """Until something has ended or been given back, at most ``timeout``."""
        with self._held:
            self._ended.wait(timeout.total_seconds())
