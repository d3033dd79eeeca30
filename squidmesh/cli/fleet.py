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
from squidmesh.cli.systemd import EXTENDS, Notifier

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
    ready: bool = False
    seen_at: float = 0.0
    """When it said last that it lives, once it is ready."""


@dataclass(frozen=True, slots=True)
class _Ended:
    child: _Child
    code: int


@dataclass(frozen=True, slots=True)
class _Said:
    """A word of a child, as systemd would hear it."""

    child: _Child
    process: subprocess.Popen[bytes]
    word: str


class Fleet:
    """``arguments``: those of one child, without what makes it one of several; ``each``: what only that child, 1, 2, …,
    gets. ``notifier``: speaks to systemd for all of them: ready when each of them is, alive while each that is ready
    says so.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        processes: int,
        *,
        each: Callable[[int], list[str]] = lambda number: [],
        notifier: Notifier | None = None,
    ) -> None:
        self._each = each
        self._notifier = Notifier() if notifier is None else notifier
        self._told_ready = False
        self._tell_at = time.monotonic()
        self._arguments = list(arguments)
        self._children = [_Child(number) for number in range(1, processes + 1)]
        self._events: Events[_Ended | _Said] = Events()
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
            self._tell_life()
            try:
                event = self._events.get(self._next_due())
            except Empty:
                continue
            if isinstance(event, _Ended):
                self._replace(event)
            elif isinstance(event, _Said):
                self._hear(event)
            elif isinstance(event, Signalled):
                return event

    def _start_what_is_due(self, lifeline: int) -> None:
        for child in self._children:
            if child.due is not None and child.due <= time.monotonic():
                self._start(child, lifeline)

    def _start(self, child: _Child, lifeline: int) -> None:
        ears, mouth = os.pipe() if self._notifier.listens else (None, None)
        try:
            self._spawn(child, lifeline, ears, mouth)
        finally:
            if mouth is not None:
                os.close(mouth)

    def _spawn(self, child: _Child, lifeline: int, ears: int | None, mouth: int | None) -> None:
        """``ears`` are closed here where there is nobody to be heard, and else by who listens."""
        watchdog = self._notifier.watchdog
        tells = [] if mouth is None else [f"--tells={mouth}"]
        tells += [] if watchdog is None else [f"--watchdog={watchdog / 2}"]
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
                    *tells,
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(lifeline,) if mouth is None else (lifeline, mouth),
                process_group=0,  # a terminal's Ctrl-C reaches the parent alone, which passes it on: once, not twice
            )
        except OSError as error:
            if ears is not None:
                os.close(ears)
            child.due = time.monotonic() + _LONGEST_PAUSE
            logs.warning("process_not_started", number=child.number, error=error, again_in=_LONGEST_PAUSE)
            return
        child.process, child.born, child.due, child.ready = process, time.monotonic(), None, False
        if ears is not None:
            in_background(lambda: self._listen(child, process, ears))
        logs.info("process_started", number=child.number, pid=process.pid)
        in_background(lambda: self._events.put(_Ended(child, process.wait())))

    def _next_due(self) -> float | None:
        dues = [child.due for child in self._children if child.due is not None]
        if self._notifier.watchdog is not None:
            dues.append(self._tell_at)
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

    # ------------------------------------------------------------------------------------------------- systemd

    def _listen(self, child: _Child, process: subprocess.Popen[bytes], ears: int) -> None:
        with os.fdopen(ears, errors="replace") as words:
            for word in words:
                self._events.put(_Said(child, process, word.strip()))

    def _hear(self, said: _Said) -> None:
        child = said.child
        if child.process is not said.process:
            return  # it has ended, and another one has its place
        child.seen_at = time.monotonic()
        if said.word == "READY=1":
            child.ready = True
            ready = sum(child.ready for child in self._children)
            words = [f"STATUS={ready} of {len(self._children)} workers are ready"]
            if ready == len(self._children) and not self._told_ready:
                self._told_ready = True
                words.append("READY=1")
            self._notifier.say(*words)
        elif said.word.startswith(f"{EXTENDS}=") and not self._told_ready:
            self._notifier.say(said.word)

    def _tell_life(self) -> None:
        """That each child lives that is ready. One that is not says nothing of that: it starts anew, or waits."""
        watchdog, now = self._notifier.watchdog, time.monotonic()
        if watchdog is None or now < self._tell_at:
            return
        self._tell_at = now + self._notifier.every
        here = [child for child in self._children if child.process is not None and child.ready]
        if self._told_ready and all(now - child.seen_at < watchdog for child in here):
            self._notifier.say("WATCHDOG=1")

    # -------------------------------------------------------------------------------------------------- leaving

    def _drain(self, told: Signalled) -> int:
        logs.info("fleet_drains", because=told.number.name)
        self._notifier.say("STOPPING=1", "STATUS=drains")
        for child in self._children:
            child.due = None
        self._tell()
        while self._living():
            self._tell_life()
            try:
                event = self._events.get(self._next_due())
            except Empty:
                continue
            if isinstance(event, _Ended):
                self._gone(event)
            elif isinstance(event, _Said):
                self._hear(event)
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
