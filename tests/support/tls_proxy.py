"""TLS on loopback in front of a server that has none: what arrives encrypted goes on as it is, and back."""

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType

from tests.support.outside import CERTIFICATE


class TlsProxy:
    """Shows tests/support/localhost.pem. ``asks``: whether it wants a certificate of its callers too, signed by that
    one. A context manager.
    """

    def __init__(self, port: int, *, asks: bool = False) -> None:
        self._server = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE)
        if asks:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = False

    def __enter__(self) -> "TlsProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        """One thread for both ways: a TLS connection may not be read and written by two at once."""
        with (
            suppress(OSError),
            plain,
            self._context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._server)) as server,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is server:
                        words = server.recv(65_536)
                        client.sendall(words)
                    else:
                        words = client.recv(65_536)
                        while client.pending():
                            words += client.recv(client.pending())
                        server.sendall(words)
                    if not words:
                        return
