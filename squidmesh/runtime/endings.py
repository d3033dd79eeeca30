"""Tells those who wait for a run, in this process, that some run has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator


class Endings:
    """A count of ended runs, with a condition. Runs that other processes end are not counted: a waiter also looks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def one_more(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def looks(self, *, first: float = 0.002, longest: float = 0.25) -> Iterator[None]:
        """Yields whenever it is worth looking again: after an ending here, or after a pause that doubles from
        ``first`` to ``longest`` seconds.
        """
        pause = first
        with self._changed:
            seen = self._count
        while True:
            yield
            with self._changed:
                if self._count == seen:
                    self._changed.wait(pause)
                    pause = min(pause * 2, longest)
                seen = self._count
