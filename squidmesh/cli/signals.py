"""What may happen to a worker from outside, as events in one queue: the main thread waits there and nowhere else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

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


@contextmanager
def on_signals(events: SimpleQueue[Any]) -> Iterator[None]:
    """SIGTERM and SIGINT become events while the block runs. (``SimpleQueue.put`` is safe in a signal handler.)"""
    former = {
        number: signal.signal(number, lambda number, _: events.put(Signalled(signal.Signals(number))))
        for number in _ASKS_TO_LEAVE
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def watch_lifeline(descriptor: int, events: SimpleQueue[Any]) -> None:
    """The read end of a pipe that the parent holds open: when the parent dies, however it dies, it closes."""
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        events.put(Orphaned())

    in_background(watch)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
