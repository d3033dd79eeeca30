"""A link on loopback that is cut and healed, and whose connections break.

Cut, nobody is told, and what was sent meanwhile arrives late, as with TCP.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65_536


class Wire:
    """Between clients and one server on loopback. A context manager. ``held``: how often something waited for it to
    heal; ``broken``: connections that it has torn.
    """

    def __init__(self, port: int) -> None:
        self.server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.held = 0
        self.broken = 0
        self.lock = threading.Lock()
        self._whole = threading.Event()
        self._whole.set()
        self._open: set[socket.socket] = set()
        self._closed = False

    def cut(self) -> None:
        """Nothing passes any more, either way, until :meth:`heal`."""
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    def tear(self) -> int:
        """Breaks every connection that is there now; how many. New ones are let through."""
        with self.lock:
            torn = list(self._open)
            self.broken += len(torn) // 2
        hang_up(*torn)
        return len(torn) // 2

    def passes(self) -> None:
        """Returns when the link is whole."""
        if not self._whole.is_set():
            with self.lock:
                self.held += 1
        self._whole.wait()

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        """Until one of the two hangs up. What a kind of wire does with what passes is its own."""
        there = threading.Thread(target=self._pour, args=(client, server), daemon=True)
        there.start()
        self._pour(server, client)
        there.join()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        hang_up(self._listener)
        self._listener.close()
        self.tear()
        self.heal()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.server)) as server:
            for line in (client, server):  # small words shall not wait for each other
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self._open |= {client, server}
            try:
                self.carry(client, server)
            finally:
                with self.lock:
                    self._open -= {client, server}

    def _pour(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while words := source.recv(CHUNK):
                self.passes()
                target.sendall(words)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def hang_up(*lines: socket.socket) -> None:
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
