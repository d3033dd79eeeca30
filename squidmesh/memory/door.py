"""The one way into a memory: one caller at a time, until it is closed."""

from __future__ import annotations

import threading
from types import TracebackType

from squidmesh.errors import UsageError


class Door:
    """One lock stands for the transaction. The caller who is inside may come in again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._closed:
            self._lock.release()
            raise UsageError("this memory is closed", code="store_closed")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._closed = True
