"""Time that stands still until a test moves it (protocol 3.6)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from squidmesh.clock import Instant, micros, to_instant

_START = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """A :class:`squidmesh.clock.Clock` for embedded stores. Thread-safe; moves only when told to."""

    def __init__(self, start: datetime = _START) -> None:
        self._now = to_instant(start)
        self._lock = threading.Lock()

    def now(self) -> Instant:
        return self._now

    def advance(self, by: timedelta) -> Instant:
        """Moves on by a duration (backwards, if it is negative) and returns the new moment."""
        with self._lock:
            self._now = Instant(self._now + micros(by))
            return self._now
