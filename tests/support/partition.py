"""A link on loopback that is cut and healed: nobody is told, and what was sent meanwhile arrives late, as with TCP."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Link:
    """Between clients and one server. A context manager. ``held``: how often something waited for it to heal."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.held = 0
        self._whole = threading.Event()
        self._whole.set()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._closed = False

    def cut(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    def __enter__(self) -> "Link":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self.heal()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server)) as server:
            with self._lock:
                self._open += [client, server]
            there = threading.Thread(target=self._carry, args=(client, server), daemon=True)
            there.start()
            self._carry(server, client)
            there.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while words := source.recv(65_536):
                self._pass()
                target.sendall(words)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _pass(self) -> None:
        if not self._whole.is_set():
            with self._lock:
                self.held += 1
        self._whole.wait()
