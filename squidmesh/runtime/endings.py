"""Tells those who wait for a run, in this process, that it has ended here, and how it ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squidmesh.runtime.held import HeldRun


class Endings:
    """Runs that somebody waits for are kept from their end on, as long as somebody does: so whoever waits asks no store
    what this process has just written there. Runs that other processes end are not told of: a waiter also looks.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._awaited: Counter[str] = Counter()
        self._ended: dict[str, HeldRun] = {}
        self._listeners: set[tuple[str, Callable[[], None]]] = set()

    def one_more(self, run: HeldRun) -> None:
        """Called by whoever recorded the end, who lets the run go with this."""
        run_id = run.state.run_id
        if run_id not in self._awaited:  # who begins to wait now looks at the store first, where it has ended
            return
        with self._changed:
            self._ended[run_id] = run
            self._changed.notify_all()
            listeners = [tell for awaited, tell in self._listeners if awaited == run_id]
        for tell in listeners:
            tell()

    def of(self, run_id: str) -> HeldRun | None:
        """The run, if it has ended here while somebody waited for it."""
        return self._ended.get(run_id)

    @contextmanager
    def awaited(self, run_id: str) -> Iterator[None]:
        with self._changed:
            self._awaited[run_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._awaited[run_id] -= 1
                if not self._awaited[run_id]:
                    del self._awaited[run_id]
                    self._ended.pop(run_id, None)

    @contextmanager
    def listening(self, run_id: str, tell: Callable[[], None]) -> Iterator[None]:
        """As :meth:`awaited`. ``tell`` is called when the run ends here, by whoever recorded it: it must be quick, and
        raise nothing.
        """
        with self.awaited(run_id):
            with self._changed:
                self._listeners.add((run_id, tell))
            try:
                yield
            finally:
                with self._changed:
                    self._listeners.discard((run_id, tell))

    def looks(self, run_id: str, *, first: float = 0.002, longest: float = 0.25) -> Iterator[None]:
        """For a run that is :meth:`awaited`. Yields whenever it is worth looking again: at once when it has ended here,
        or else after a pause that doubles from ``first`` to ``longest`` seconds.
        """
        pause = first
        while True:
            yield
            with self._changed:
                if not self._changed.wait_for(lambda: run_id in self._ended, pause):
                    pause = min(pause * 2, longest)
