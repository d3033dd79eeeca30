"""One request and one answer over one connection, in a bounded time and of a bounded size.

``http.client`` speaks the protocol; what it lacks is here. Its time-outs are for one read each, so that a server which
sends a byte now and then holds a caller for ever: here each read waits until the call's own deadline at most.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Literal

from squidmesh.tools.http_request import Message

Phase = Literal["connecting", "sending", "waiting for the answer", "reading the answer"]
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tool's calls go. ``tls`` is None for plain HTTP. ``authority``: what the Host header says."""

    host: str
    port: int
    authority: str
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """In seconds. ``silence``: the longest wait for the next byte. ``whole``: of the call, from its beginning."""

    connect: float
    silence: float
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Broken(Exception):
    """No whole answer came. ``kind``: as of a ``ToolError``. The text is ours; a library's may hold what was sent."""

    def __init__(
        self, kind: Literal["timeout", "connection", "tls", "too_large"], message: str, *, phase: Phase
    ) -> None:
        self.kind = kind
        self.phase = phase
        super().__init__(message)


def exchange(place: Place, message: Message, *, patience: Patience, most_bytes: int) -> Answer:
    """Raises :class:`Broken` and nothing else."""
    return _Exchange(place, patience, most_bytes).carry_out(message)


class _Exchange:
    def __init__(self, place: Place, patience: Patience, most_bytes: int) -> None:
        self._place = place
        self._patience = patience
        self._most_bytes = most_bytes
        self._until = time.monotonic() + patience.whole
        self._phase: Phase = "connecting"

    def carry_out(self, message: Message) -> Answer:
        opened: socket.socket | None = None
        try:
            opened = self._connect()
            return self._speak(opened, message)
        except TimeoutError:
            broken = Broken("timeout", f"it took too long ({self._phase})", phase=self._phase)
        except ssl.SSLCertVerificationError as error:
            broken = Broken("tls", f"its certificate is refused: {error.verify_message}", phase=self._phase)
        except ssl.SSLError as error:
            broken = Broken("connection", f"TLS failed: {error.reason or 'no reason given'}", phase=self._phase)
        except socket.gaierror as error:
            broken = Broken("connection", f"its name could not be resolved: {error.strerror}", phase=self._phase)
        except http.client.HTTPException as error:  # before OSError: a closed connection is both
            broken = Broken("connection", f"the answer broke off or is no HTTP: {_name(error)}", phase=self._phase)
        except OSError as error:
            broken = Broken("connection", f"{error.strerror or _name(error)} ({self._phase})", phase=self._phase)
        finally:
            if opened is not None:
                opened.close()
        raise broken

    def _left(self, most: float) -> float:
        """Seconds that the next operation of a socket may take; ``TimeoutError`` where none are left."""
        left = min(most, self._until - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left

    def _connect(self) -> socket.socket:
        """To the first of the host's addresses that answers; each is given its own time, of what is left of it."""
        addresses = socket.getaddrinfo(self._place.host, self._place.port, type=socket.SOCK_STREAM)
        for tried, (family, kind, protocol, _, address) in enumerate(addresses, start=1):
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(self._left(self._patience.connect))
                opened.connect(address)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._secured(opened)
            except BaseException as error:
                opened.close()
                if not isinstance(error, OSError) or isinstance(error, ssl.SSLError) or tried == len(addresses):
                    raise
        raise OSError(errno.EADDRNOTAVAIL, "its name has no address")

    def _secured(self, opened: socket.socket) -> socket.socket:
        if self._place.tls is None:
            return opened
        opened.settimeout(self._left(self._patience.connect))
        return self._place.tls.wrap_socket(opened, server_hostname=self._place.host)

    def _speak(self, opened: socket.socket, message: Message) -> Answer:
        connection = http.client.HTTPConnection(self._place.host, self._place.port)
        connection.auto_open = 0
        connection.sock = _TimedSocket(opened, self)
        self._phase = "sending"
        connection.putrequest(message.method, message.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self._place.authority)
        connection.putheader("Connection", "close")
        connection.putheader("Accept-Encoding", "identity")
        for name, value in message.headers:
            connection.putheader(name, value)
        connection.endheaders(message.body)
        self._phase = "waiting for the answer"
        response = connection.getresponse()
        self._phase = "reading the answer"
        return Answer(status=response.status, headers=response.headers, body=self._body(response))

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """Whole, or :class:`Broken`. Of an answer that tells of a failure, as much as may be worth showing: its status
        counts, whatever comes with it.
        """
        if not 200 <= response.status < 300:
            return response.read(_CHUNK)
        if response.length is not None and response.length > self._most_bytes:
            raise self._too_large()
        body = bytearray()
        while chunk := response.read(min(_CHUNK, self._most_bytes + 1 - len(body))):
            body += chunk
            if len(body) > self._most_bytes:
                raise self._too_large()
        if response.length:  # http.client says nothing where a connection ends before the promised length
            raise http.client.IncompleteRead(b"")
        return bytes(body)

    def _too_large(self) -> Broken:
        return Broken("too_large", f"the answer is larger than {self._most_bytes} bytes", phase=self._phase)


class _TimedSocket:
    """As much of a socket as ``http.client`` uses. Closing is left to the exchange: the answer may still be read."""

    def __init__(self, opened: socket.socket, exchange: _Exchange) -> None:
        self._opened = opened
        self._exchange = exchange

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            self._opened.settimeout(self._exchange._left(self._exchange._patience.silence))
            self._opened.sendall(view[start : start + _CHUNK])

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._opened, self._exchange))

    def close(self) -> None:
        pass


class _TimedReader(io.RawIOBase):
    def __init__(self, opened: socket.socket, exchange: _Exchange) -> None:
        self._opened = opened
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._opened.settimeout(self._exchange._left(self._exchange._patience.silence))
        return self._opened.recv_into(buffer)


def _name(error: Exception) -> str:
    return type(error).__name__
