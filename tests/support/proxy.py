"""A TCP proxy on loopback that can swallow an answer: the server has done as told, and its caller never hears."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Proxy:
    """Between clients and one server. A context manager."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallowed = 0
        self._to_swallow = 0
        self._lock = threading.Lock()
        self._closed = False

    def swallow(self, answers: int) -> None:
        """The next so many answers to scripts are lost, and with each its connection."""
        with self._lock:
            self._to_swallow += answers

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server)) as server:
            asked = threading.Event()
            threading.Thread(target=self._forward, args=(client, server, asked), daemon=True).start()
            while answer := server.recv(65_536):
                if asked.is_set() and self._takes():
                    return
                asked.clear()
                client.sendall(answer)

    def _forward(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while words := client.recv(65_536):
                if b"EVALSHA" in words:
                    asked.set()
                server.sendall(words)
            server.shutdown(socket.SHUT_WR)

    def _takes(self) -> bool:
        with self._lock:
            if not self._to_swallow:
                return False
            self._to_swallow -= 1
            self.swallowed += 1
            return True
