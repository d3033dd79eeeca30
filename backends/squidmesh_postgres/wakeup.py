"""Ending an idle pump's sleep: at once within the process, and within milliseconds of a commit by any other.

A commit that makes work claimable sends a word on the channel of its schema: the name of the queue, or nothing where
all should look. One connection of the process listens, for all of its sleepers. A word is only a hint: one that is lost
costs the rest of an idle poll.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import Connection, sql

from squidmesh.ports.bell import Bell
from squidmesh_postgres.deadline import cut_off
from squidmesh_postgres.statements import load

_SQL = load("wakeup")
_SHORTEST, _LONGEST = 0.1, 5.0
"""Seconds between two attempts at a server that can not be reached: double each time."""
_EVERYBODY = "@everybody"
"""A word of this process to itself. No queue has such a name."""
ANYTHING = ""
"""The word that there is something to hear, whatever the queue."""


class Listener:
    """Of one process: a thread that listens, from the first sleep on. A child of a fork gets one of its own."""

    def __init__(self, conninfo: str, schema: str) -> None:
        self._conninfo = conninfo
        self._listen = sql.SQL(_SQL["listen"]).format(channel=sql.Identifier(schema))
        self._bell = Bell()
        self._words: dict[str, int] = {}
        self._all_words = 0
        """How often each queue was named, or everybody; and that in sum."""
        self._echoes: Counter[tuple[int, str]] = Counter()
        """What sessions of this process say to the server, and it has not brought back yet."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: Connection[Any] | None = None
        self._ended = threading.Event()
        self._pid = os.getpid()

    def heard(self, words: Sequence[str]) -> tuple[int, ...]:
        """Changes when one of these words is said; any, where none is named."""
        if not words:
            return (self._all_words,)
        return tuple(self._words.get(word, 0) for word in (_EVERYBODY, *words))

    def poke(self) -> None:
        """Wakes everybody in this process."""
        self._at_home()
        self._say(_EVERYBODY)

    def tell(self, words: Iterable[str], session: int) -> None:
        """Says them in this process at once. ``session``: the server's process that says them next, to everybody; what
        it brings back here is left out, so that nobody is woken twice.
        """
        self._at_home()
        for word in words:
            if self._connection is not None:
                with self._lock:
                    self._echoes[session, word] += 1
            self._say(word)

    def listen(self) -> None:
        """Starts the thread, if it does not run."""
        self._at_home()
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="squidmesh-wakeup", daemon=True)
                self._thread.start()

    def wait(self, words: Sequence[str], heard: tuple[int, ...], timeout: float) -> None:
        """Sleeps until there is other news than ``heard``, at most ``timeout`` seconds."""
        ends = time.monotonic() + timeout
        while True:
            rings = self._bell.rings
            if self.heard(words) != heard or (rest := ends - time.monotonic()) <= 0:
                return
            self._bell.wait(rings, rest)

    def close(self) -> None:
        """A second time does nothing. Who sleeps is not woken: whoever handed out the sleepers closes those."""
        self._at_home()
        with self._lock:
            self._ended.set()
            thread, connection = self._thread, self._connection
        if connection is not None:
            cut_off(connection)  # the thread closes it
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LONGEST)

    def _at_home(self) -> None:
        """In the child of a fork: neither the thread nor its locks came along, and the connection is not ours."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()
            self._bell.renew()
            self._thread = self._connection = None
            self._echoes.clear()
            ended, self._ended = self._ended.is_set(), threading.Event()
            if ended:
                self._ended.set()

    # ------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        pause, missed = _SHORTEST, False
        while not self._ended.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True) as connection:
                    self._begin(connection)
                    if missed:
                        self._say(_EVERYBODY)
                    pause = _SHORTEST
                    for word in connection.notifies():
                        if not self._is_echo(word.pid, word.payload):
                            self._say(word.payload)
            except (psycopg.Error, OSError):
                pass  # said to nobody: a sleeper sleeps as long as it wanted to, and its next call learns of it
            finally:
                self._connection = None
            missed = True
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST)

    def _begin(self, connection: Connection[Any]) -> None:
        with self._lock:
            self._connection = connection
            self._echoes.clear()  # those will not come
            if self._ended.is_set():
                raise psycopg.OperationalError("closed meanwhile")
        connection.execute(_SQL["session"])
        connection.execute(self._listen)

    def _is_echo(self, session: int, word: str) -> bool:
        with self._lock:
            left = self._echoes.pop((session, word), 0)
            if left > 1:
                self._echoes[session, word] = left - 1
        return left > 0

    def _say(self, name: str) -> None:
        with self._lock:
            self._words[name] = self._words.get(name, 0) + 1
            self._all_words += 1
        self._bell.ring()


class PostgresWakeup:
    """One sleeper, for some words or for any. A poke wakes all sleepers of the backend. ``on_close`` is told who was
    closed.
    """

    def __init__(self, listener: Listener, words: Sequence[str], on_close: Callable[[PostgresWakeup], None]) -> None:
        self._listener = listener
        self._words = tuple(words)
        self._on_close = on_close
        self._heard = listener.heard(self._words)
        self._closed = False

    def poke(self) -> None:
        self._listener.poke()

    def wait(self, timeout: timedelta) -> None:
        if not self._closed:
            self._listener.listen()
        self._listener.wait(self._words, self._heard, timeout.total_seconds())
        self._heard = self._listener.heard(self._words)

    def close(self) -> None:
        """A second time does nothing."""
        if not self._closed:
            self._closed = True
            self._listener.poke()
            self._on_close(self)
