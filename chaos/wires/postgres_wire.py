"""A link to a PostgreSQL that reads its protocol: it loses the answers to the statements that it is told of.

A statement is sent as text once a session, and by its name from then on; so the proxy learns the names.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO

from chaos.wires.wire import Wire, hang_up

_UNTYPED = 4
"""Bytes of a length, which is all that stands before the first words of a session."""
_ENCRYPTION = (80877103, 80877104)
"""Questions for TLS and GSS, answered by one byte."""
APPENDS = re.compile(r"^(?!.*squidmesh_step\.claim).*INSERT INTO squidmesh\.entries", re.DOTALL)
"""Each is a transaction of its own."""
STEP_APPENDS = re.compile(r"squidmesh_step\.claim.*INSERT INTO squidmesh\.entries", re.DOTALL)
"""In the transaction of a step."""
STEP_COMMITS = re.compile(r"^COMMIT$")
"""What ends the transaction of a step."""


class PostgresWire(Wire):
    """``lost``: a word for each answer that was lost: how."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.lost: list[str] = []
        self._orders: list[tuple[re.Pattern[str], str]] = []
        self._errands: list[tuple[re.Pattern[str], Callable[[], object]]] = []

    def lose(self, answers: int, to: re.Pattern[str] = APPENDS, *, early: bool = False) -> None:
        """The next so many answers to such statements, and with each its connection. The server
        has done it then; or, if ``early``, it has got the statement, and may not have looked at it yet.
        """
        with self.lock:
            self._orders += [(to, "early" if early else "done")] * answers

    def first(self, errand: Callable[[], object], before: re.Pattern[str] = APPENDS) -> None:
        """To be run, once, when the next such statement has come, and before the server gets it."""
        with self.lock:
            self._errands.append((before, errand))

    def spare(self) -> None:
        """What was to be lost, and was not yet, is not."""
        with self.lock:
            self._orders = []

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        session = _Session(client, server, self)
        asking = threading.Thread(target=session.ask, daemon=True)
        asking.start()
        session.answer()
        hang_up(client, server)
        asking.join()

    def takes(self, statement: str, how: str) -> bool:
        with self.lock:
            for order in self._orders:
                if order[1] == how and order[0].search(statement):
                    self._orders.remove(order)
                    self.lost.append(how)
                    return True
        return False

    def run_errands(self, statement: str) -> None:
        with self.lock:
            due = [errand for errand in self._errands if errand[0].search(statement)]
            self._errands = [errand for errand in self._errands if errand not in due]
        for _, errand in due:
            errand()


class _Session:
    """One client's connection: two directions, a thread each."""

    def __init__(self, client: socket.socket, server: socket.socket, wire: PostgresWire) -> None:
        self._client = client
        self._server = server
        self._wire = wire
        self._names: dict[bytes, str] = {}
        self._bound = ""
        self._asked: deque[list[str]] = deque([[]])
        """What the server executes: what stands between two synchronisations is answered, and lost, together. The
        first answer of a session is to nobody's statement.
        """
        self._now: list[str] = []
        self._begun = threading.Event()
        self._mute = False
        """The client is told nothing any more."""
        self._hurries = False
        """The client has asked for what there is, before it synchronises: it is held back no longer."""

    def ask(self) -> None:
        with suppress(OSError), self._client.makefile("rb") as words:
            self._introduce(words)
            held = b""
            for kind, body in _messages(words):
                self._wire.passes()
                executed = self._read(kind, body)
                if executed is not None:
                    self._wire.run_errands(executed)
                held += _framed(kind, body)
                early = executed is not None and self._wire.takes(executed, "early")
                if early:  # nothing more comes of it: so that there is something to commit
                    self._read(b"S", b"")
                    held += _framed(b"S", b"")
                    self._mute = True  # before the server can have answered
                if early or kind not in b"PBDEC":  # these wait for one of the others by themselves
                    self._server.sendall(held)
                    held = b""
                if early:
                    break
        self._begun.set()
        hang_up(self._client, self._server)

    def _introduce(self, words: IO[bytes]) -> None:
        while True:
            length = _exactly(words, _UNTYPED)
            body = _exactly(words, int.from_bytes(length) - _UNTYPED)
            if int.from_bytes(body[:4]) not in _ENCRYPTION:
                self._server.sendall(length + body)
                self._begun.set()
                return
            self._client.sendall(b"N")

    def _read(self, kind: bytes, body: bytes) -> str | None:
        """The text of what is executed, if this message says so."""
        executed = None
        if kind == b"P":
            name, text, *_ = body.split(b"\0", 2)
            self._names[name] = text.decode()
        elif kind == b"B":
            _, name, *_ = body.split(b"\0", 2)
            self._bound = self._names.get(name, "")
        elif kind in (b"E", b"Q"):
            executed = self._bound if kind == b"E" else body.rstrip(b"\0").decode()
            self._now.append(executed)
        if kind in b"HSQ":
            self._hurries = kind == b"H"
        if kind in (b"S", b"Q"):
            self._asked.append(self._now)
            self._now = []
        return executed

    def answer(self) -> None:
        """What the server says is held back until it is ready for more, or the client asks for it."""
        self._begun.wait()
        held = b""
        with suppress(OSError), self._server.makefile("rb") as words:
            for kind, body in _messages(words):
                self._wire.passes()
                held += _framed(kind, body)
                if kind == b"Z" and any(self._wire.takes(statement, "done") for statement in self._asked.popleft()):
                    return
                if self._mute:
                    return
                if kind in b"ZRNSEA" or self._hurries or len(held) > 65_536:  # what is not asked for is not held back
                    self._client.sendall(held)
                    held = b""
            if not self._mute:
                self._client.sendall(held)


def _messages(words: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    while kind := words.read(1):
        yield kind, _exactly(words, int.from_bytes(_exactly(words, 4)) - 4)


def _exactly(words: IO[bytes], size: int) -> bytes:
    read = words.read(size)
    if len(read) < size:
        raise ConnectionError("hung up")
    return read


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body
