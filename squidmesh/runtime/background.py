"""A thread for whose end several others wait, and after which they ask.

``Thread.join`` and ``Thread.is_alive`` are not for that: before Python 3.13, two callers that come just when the thread
ends take its last lock from each other, and one of them fails with an ``AssertionError``, or a ``RuntimeError``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class Background:
    """Started when it is made. A daemon: the process does not wait for it."""

    def __init__(self, target: Callable[[], None], *, name: str) -> None:
        self._target = target
        self._ended = threading.Event()
        self._last = threading.Lock()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """A fork's child has no thread but the one that forked."""
        return not self._ended.is_set() and self._pid == os.getpid()

    def join(self, timeout: float | None = None) -> None:
        """``timeout``: seconds. The thread itself can not wait for its own end: ``RuntimeError``, as Python says."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("cannot join current thread")
        if self._pid == os.getpid() and self._ended.wait(timeout):
            with self._last:  # one after the other
                self._thread.join()

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._ended.set()
