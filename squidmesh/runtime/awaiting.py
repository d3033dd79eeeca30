"""One wait for a run's end, whoever does the waiting: a thread, or a coroutine."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from squidmesh.clock import check_duration
from squidmesh.reading.inspect import Run
from squidmesh.runtime.arguments import check_run_id
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.looking import Look, look

_LONGEST_WAIT = timedelta(days=366)


class Awaited:
    """``timeout`` counts from when it is made. ``tell`` makes what the caller gets of the run that has ended."""

    def __init__(
        self,
        run_id: object,
        timeout: object,
        *,
        tell: Callable[[Engine, Look], Run],
        open_engine: Callable[[], Engine],
    ) -> None:
        self.run_id = check_run_id(run_id)
        self._timeout = (
            None
            if timeout is None
            else check_duration(timeout, field="timeout", least=timedelta(0), most=_LONGEST_WAIT).total_seconds()
        )
        self._tell = tell
        self.engine = open_engine()
        self._until = None if self._timeout is None else time.monotonic() + self._timeout

    @property
    def left(self) -> float:
        """Seconds; infinitely many without a timeout."""
        return float("inf") if self._until is None else self._until - time.monotonic()

    def look(self) -> Run | None:
        """The run, if it has ended. ``TimeoutError`` if it has not and its time is over; ``NotFound`` or
        ``RunPruned`` as ever.
        """
        ended = self.engine.endings.of(self.run_id)
        if ended is not None:
            return self._tell(self.engine, Look(state=ended.state, definition=ended.definition))
        row = self.engine.store.run_row(self.run_id)
        if row is None or row.ended_at is not None:
            return self._tell(self.engine, look(self.engine, self.run_id))
        if self._timeout is not None and self.left <= 0:
            raise TimeoutError(f"run {self.run_id} has not ended after {self._timeout:g} s; it is {row.status}")
        return None
