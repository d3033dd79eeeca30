"""The small listener of a worker process: ``/livez``, ``/readyz`` and ``/metrics``, and nothing else.

It has threads of its own, so it answers also while steps run and while the stores are away. Everything about a request
is bounded: how long it may take to come, how large it is, and how many are there at once. Nothing waits for it at the
end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MOST_AT_ONCE = 16
_TIMEOUT = 5.0
"""Seconds that a request may take to come."""
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = _TEXT


Route = Callable[[str], Answer]
"""From the ``Accept`` header to the answer. Must come back in bounded time."""


def verdict(why: str | None, notes: Sequence[str] = ()) -> Answer:
    """200 where nothing is wrong, else 503 with the reason. ``notes``: a line each, which alter nothing."""
    lines = "".join(f"{line}\n" for line in ("ok" if why is None else why, *notes))
    return Answer(200 if why is None else 503, lines.encode("utf-8", "replace"))


class Listener:
    """Listens when it is made (``OSError`` where it can not), answers after :meth:`start`. Port 0 takes a free one."""

    def __init__(self, host: str, port: int, routes: dict[str, Route]) -> None:
        self._server = _Server(host, port, routes)
        self._thread = threading.Thread(target=self._server.serve_forever, name="squidmesh-listener", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_name, self._server.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, host: str, port: int, routes: dict[str, Route]) -> None:
        self.routes = routes
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without looking its own name up, which may take long where there is no name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go away in the middle, or be slow; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT
    server_version = "squidmesh"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _refuse(self) -> None:
        self._send(Answer(405, b"allowed are GET and HEAD\n"), with_body=True)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse

    def _answer(self, *, with_body: bool) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            answer = Answer(404, f"allowed are {', '.join(self.server.routes)}\n".encode())
        else:
            try:
                answer = route(self.headers.get("Accept", ""))
            except Exception as error:  # a fault of ours is an answer too: whoever asks must not wait
                answer = Answer(500, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        self._send(answer, with_body=with_body)

    def _send(self, answer: Answer, *, with_body: bool) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        if answer.status == 405:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no events."""
