"""When a process beside a worker extends its leases in its stead (protocol 3.5.4): the rules, on a given clock.

It does so while the worker's own heartbeat thread is silent although the worker is neither stopped nor dead: then a
step holds the interpreter's lock. It does not do so for ever: a worker that hangs for good is to lose its work.
"""

from __future__ import annotations

from collections.abc import Callable

SILENT_BEATS = 1.5
"""A thread that has said nothing for so many beats is silent. With the longest beat, half a lease, that is three
quarters of one: there is time."""
MOST_LEASES = 10
LONGEST = 600.0
"""Seconds. Silence that lasts longer than ``MOST_LEASES`` leases, or than this, ends the vigil; two leases it lasts."""


class Vigil:
    """``every`` and ``lease``: seconds from beat to beat, and of a lease."""

    def __init__(self, *, every: float, lease: float) -> None:
        self.every = every
        self._longest = max(min(MOST_LEASES * lease, LONGEST), 2 * lease)
        self._beaten_at: float | None = None

    @property
    def look(self) -> float:
        """Seconds from look to look."""
        return self.every / 4

    def is_due(self, now: float, *, alive_at: float, stopped: Callable[[], bool]) -> bool:
        """Whether to beat now. ``alive_at``: the thread's last sign of life. ``stopped`` is asked last."""
        silent = now - alive_at
        if silent <= SILENT_BEATS * self.every:
            self._beaten_at = None
            return False
        if silent > self._longest:
            return False
        if self._beaten_at is not None and now - self._beaten_at < self.every:
            return False
        return not stopped()

    def beaten(self, asked_at: float) -> None:
        """It was done, by a heartbeat that was sent then."""
        self._beaten_at = asked_at

    @property
    def rests(self) -> bool:
        """The thread speaks for itself."""
        return self._beaten_at is None
