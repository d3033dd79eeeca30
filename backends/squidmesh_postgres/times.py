"""The server's clock, as this process knows it (protocol 3.6)."""

from __future__ import annotations

import time
from collections.abc import Callable

from squidmesh.clock import Instant


class ServerTime:
    """The server's time in the last reply, plus the monotonic time since that was received: so never ahead of the
    server, unless its clock steps back; the next reply corrects that. No clock of this machine is read.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._heard: tuple[int, float] = (0, monotonic())

    def hear(self, moment: int) -> Instant:
        """A reply that has just come told this moment. One assignment: no lock is needed."""
        self._heard = (moment, self._monotonic())
        return Instant(moment)

    def now(self) -> Instant:
        moment, at = self._heard
        return Instant(moment + int((self._monotonic() - at) * 1_000_000))
