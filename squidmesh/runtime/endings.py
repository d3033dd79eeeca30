"""Tells those who wait for a run, in this process, that some run has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Endings:
    """A count of ended runs, with a condition. Runs that other processes end are not counted: a waiter also looks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._listeners: set[Callable[[], None]] = set()

    def one_more(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()
            listeners = list(self._listeners)
        for tell in listeners:
            tell()

    @contextmanager
    def listening(self, tell: Callable[[], None]) -> Iterator[None]:
        """``tell`` is called at each ending, by whoever recorded it: it must be quick, and raise nothing."""
        with self._changed:
            self._listeners.add(tell)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(tell)

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
