"""A parent that keeps several worker processes going.

Children are new interpreters, never forks. One that dies is replaced, after a pause that grows while they die young.
Each holds the read end of a pipe whose write end is only here: when this process dies, even by SIGKILL, the pipe closes
and the children drain.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty

from squidmesh.cli import logs
from squidmesh.cli.signals import Events, Signalled, in_background

_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_YOUNG = 60.0
"""Seconds. A child that lived longer starts anew with the shortest pause."""
_LAST_PATIENCE = 5.0


@dataclass(slots=True)
class _Child:
    """One place in the fleet. ``pause`` is how long it stays empty the next time."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    born: float = 0.0
    pause: float = _SHORTEST_PAUSE
    due: float | None = 0.0
    """When it shall be started; None while it runs, and once it shall not be started any more."""


@dataclass(frozen=True, slots=True)
class _Ended:
    child: _Child
    code: int


class Fleet:
    """``arguments``: those of one child, without what makes it one of several; ``each``: what only that child, 1, 2, …,
    gets.
    """

    def __init__(
        self, arguments: Sequence[str], processes: int, *, each: Callable[[int], list[str]] = lambda number: []
    ) -> None:
        self._each = each
        self._arguments = list(arguments)
        self._children = [_Child(number) for number in range(1, processes + 1)]
        self._events: Events[_Ended] = Events()
        self._codes: list[int] = []

    def run(self) -> int:
        """Until told to leave; 0 if every child then drained cleanly."""
        lifeline, held = os.pipe()
        try:
            with self._events:
                told = self._keep_going(lifeline)
                return self._drain(told)
        finally:
            os.close(held)
            os.close(lifeline)

    # -------------------------------------------------------------------------------------------------- running

    def _keep_going(self, lifeline: int) -> Signalled:
        while True:
            self._start_what_is_due(lifeline)
            try:
                event = self._events.get(self._next_due())
            except Empty:
                continue
            if isinstance(event, _Ended):
                self._replace(event)
            elif isinstance(event, Signalled):
                return event

    def _start_what_is_due(self, lifeline: int) -> None:
        for child in self._children:
            if child.due is not None and child.due <= time.monotonic():
                self._start(child, lifeline)

    def _start(self, child: _Child, lifeline: int) -> None:
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "squidmesh",
                    *self._arguments,
                    *self._each(child.number),
                    "--processes=1",
                    f"--lifeline={lifeline}",
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(lifeline,),
                process_group=0,  # a terminal's Ctrl-C reaches the parent alone, which passes it on: once, not twice
            )
        except OSError as error:
            child.due = time.monotonic() + _LONGEST_PAUSE
            logs.warning("process_not_started", number=child.number, error=error, again_in=_LONGEST_PAUSE)
            return
        child.process, child.born, child.due = process, time.monotonic(), None
        logs.info("process_started", number=child.number, pid=process.pid)
        in_background(lambda: self._events.put(_Ended(child, process.wait())))

    def _next_due(self) -> float | None:
        dues = [child.due for child in self._children if child.due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _replace(self, ended: _Ended) -> None:
        child, now = ended.child, time.monotonic()
        if now - child.born > _YOUNG:
            child.pause = _SHORTEST_PAUSE
        child.due = now + child.pause
        assert child.process is not None
        logs.warning(
            "process_died", number=child.number, pid=child.process.pid, code=ended.code, restart_in=child.pause
        )
        child.process = None
        child.pause = min(_LONGEST_PAUSE, 2 * child.pause)

    # -------------------------------------------------------------------------------------------------- leaving

    def _drain(self, told: Signalled) -> int:
        logs.info("fleet_drains", because=told.number.name)
        self._tell()
        while self._living():
            event = self._events.get()
            if isinstance(event, _Ended):
                self._gone(event)
            elif isinstance(event, Signalled):
                return self._leave_at_once(event)
        # A child that was not ready to drain dies of the signal itself: it had claimed nothing yet.
        return 0 if all(code in (0, -signal.SIGTERM) for code in self._codes) else 1

    def _leave_at_once(self, told: Signalled) -> int:
        """The children were told to drain before; told again, they leave at once. Who does not is killed."""
        logs.warning("fleet_aborted", because=told.number.name)
        self._tell()
        until = time.monotonic() + _LAST_PATIENCE
        with suppress(Empty):
            while self._living():
                event = self._events.get(max(0.0, until - time.monotonic()))
                if isinstance(event, _Ended):
                    self._gone(event)
        for process in self._living():
            process.kill()
        return told.exit_code

    def _tell(self) -> None:
        """SIGTERM, whatever came: to the children it means the same."""
        for process in self._living():
            process.terminate()

    def _living(self) -> list[subprocess.Popen[bytes]]:
        return [child.process for child in self._children if child.process is not None]

    def _gone(self, ended: _Ended) -> None:
        ended.child.process = None
        self._codes.append(ended.code)
