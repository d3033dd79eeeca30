"""A link to a Redis that can swallow an answer: the server has done as told, and its caller never hears."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from chaos.wires.wire import CHUNK, Wire, hang_up


class RedisWire(Wire):
    """``swallowed``: answers that were lost so far."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.swallowed = 0
        self._to_swallow = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def swallow(self, answers: int) -> None:
        """The next so many answers to scripts are lost, and with each its connection."""
        with self.lock:
            self._to_swallow += answers

    def spare(self) -> None:
        """What was to be swallowed, and was not yet, is not."""
        with self.lock:
            self._to_swallow = 0

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        asked = threading.Event()
        there = threading.Thread(target=self._forward, args=(client, server, asked), daemon=True)
        there.start()
        self._answer(client, server, asked)
        hang_up(client, server)
        there.join()

    def _answer(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while answer := server.recv(CHUNK):
                self.passes()
                if asked.is_set() and self._takes():
                    return
                asked.clear()
                client.sendall(answer)

    def _forward(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while words := client.recv(CHUNK):
                self.passes()
                if b"EVALSHA" in words:
                    asked.set()
                server.sendall(words)
            server.shutdown(socket.SHUT_WR)

    def _takes(self) -> bool:
        with self.lock:
            if not self._to_swallow:
                return False
            self._to_swallow -= 1
            self.swallowed += 1
            return True
