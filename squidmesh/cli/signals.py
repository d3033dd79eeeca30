"""What may happen to a worker process, as events in one queue: the main thread waits there and nowhere else."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

E = TypeVar("E")
_ASKS_TO_LEAVE = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Signalled:
    number: signal.Signals

    @property
    def exit_code(self) -> int:
        """Of a process that a signal made leave at once."""
        return 128 + self.number


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The parent process is gone."""


class Events(Generic[E]):
    """A queue for the main thread, into which SIGTERM and SIGINT put a :class:`Signalled` while it is entered (once).

    A lock would not do: a signal that comes just before the main thread falls asleep on one does not wake it. So the
    main thread sleeps on a socket, into which the interpreter's own handler writes.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[E | Signalled] = SimpleQueue()
        self._sleeper, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    def put(self, event: E | Signalled) -> None:
        """From any thread, or from a signal handler."""
        self._queue.put(event)
        with suppress(OSError):  # full: there is enough to wake up for; closed: nobody sleeps any more
            self._waker.send(b"\0")

    def get(self, timeout: float | None = None) -> E | Signalled:
        """The next event; ``queue.Empty`` if none has come for ``timeout`` seconds."""
        while True:
            with suppress(Empty):
                return self._queue.get_nowait()
            self._sleeper.settimeout(timeout)
            try:
                self._sleeper.recv(4096)
            except (TimeoutError, BlockingIOError):
                raise Empty from None

    def __enter__(self) -> Events[E]:
        self._former_waker = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, self._signalled) for number in _ASKS_TO_LEAVE}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_waker)
        self._sleeper.close()
        self._waker.close()

    def _signalled(self, number: int, _: object) -> None:
        self.put(Signalled(signal.Signals(number)))


def watch_lifeline(descriptor: int, parent_gone: Callable[[], None]) -> None:
    """``descriptor``: the read end of a pipe that the parent holds open. When it dies, however it dies, that closes."""
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        parent_gone()

    in_background(watch)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
