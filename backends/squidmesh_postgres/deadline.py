"""No call waits for ever on a server that is frozen: its connection is cut off, and the call ends with an error.

The server's own time-outs end what it works at; they do nothing where the server itself has stopped.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import Connection

_LOOK = 1.0
"""Seconds between two looks at what is late."""


class Deadlines:
    """Of one process: one thread that looks, from the first call that is guarded on."""

    def __init__(self) -> None:
        self._until: dict[Connection[Any], float] = {}
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @contextmanager
    def guard(self, connection: Connection[Any], seconds: float) -> Iterator[None]:
        if self._thread is None or self._pid != os.getpid():
            self._start()
        self._until[connection] = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until.pop(connection, None)

    def _start(self) -> None:
        if self._pid != os.getpid():  # forked: neither the thread nor its lock came along
            self._lock, self._until, self._thread, self._pid = threading.Lock(), {}, None, os.getpid()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="squidmesh-deadlines", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        rest = threading.Event()  # never set. time.sleep() raises where a clock has been moved, and this must not end
        while not rest.wait(_LOOK):
            now = time.monotonic()
            for connection, until in list(self._until.items()):
                if until < now and self._until.get(connection) == until:
                    cut_off(connection)


def cut_off(connection: Connection[Any]) -> None:
    """Whoever waits for it is told that the other side has gone. The connection itself is its user's to close."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


# One for the process, as its thread is.
DEADLINES = Deadlines()
