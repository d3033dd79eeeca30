"""The tool for HTTP and JSON, on the standard library alone: one attempt, no retries of its own.

Which failures another attempt may help against::

    kind              retryable   what happened
    ---------------   ---------   ------------------------------------------------------------------------------
    timeout           yes         no connection, no byte, or no whole answer in time
    connection        yes         refused, reset, broken off, no such name, or no HTTP
    status_5xx        yes         the server's fault (``Retry-After`` is heeded)
    rate_limited      yes         429 (``Retry-After`` is heeded)
    status_4xx        no          the request's fault; but 408 and 425 ask for another try (``Retry-After`` too)
    redirected        no          to another place: nothing is sent there
    tls               no          a certificate that is not to be trusted
    too_large         no          an answer over the limit
    invalid_answer    no          not what was expected: no JSON, another content type, compressed
    invalid_request   no          nothing was sent: the step asked for what may not be sent

A call that may have had an effect (a time-out after it was sent) is repeated under the same idempotency key, which is
the other side's means to do it once.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from squidmesh import Context, InvalidInput, InvalidUrl, ToolError
from squidmesh.tools.http_answer import Refused, payload_of, redirect_of, refusal_of
from squidmesh.tools.http_exchange import Answer, Broken, Patience, Place, exchange
from squidmesh.tools.http_request import HttpRequest, Message, Unfit, check_headers, path_of, prepare
from squidmesh.tools.tool import ToolResult

__all__ = ["HttpRequest", "HttpTool"]

MIB = 1024 * 1024
_MOST_REDIRECTS = 5
_KEPT_HEADERS = ("content-type", "etag", "last-modified", "link", "location", "request-id", "x-request-id")
_LONGEST = 24 * 3600.0
_MOST_BYTES = range(1, 64 * MIB + 1)


class HttpTool:
    """Calls below one base URL, and nowhere else. Thread-safe. Made once, beside the workflow::

        gateway = HttpTool("https://pay.example/v1", headers={"Authorization": f"Bearer {token}"})

        def charge(invoice_id: str, context: Context) -> Charge:
            asked = HttpRequest(method="POST", path="/charges", json={"invoice": invoice_id})
            return Charge.model_validate(gateway.invoke(asked, context).payload)

    It blocks: from an ``async def`` step, call it in a thread. It opens a connection a call, and knows no proxies and
    no cookies. Redirects are followed for GET and HEAD, within the same origin.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "http",
        headers: Mapping[str, str] | None = None,
        idempotency_header: str | None = "Idempotency-Key",
        connect_timeout: timedelta | float = 5,
        read_timeout: timedelta | float = 30,
        timeout: timedelta | float = 60,
        max_request_bytes: int = MIB,
        max_answer_bytes: int = MIB,
        tls: ssl.SSLContext | None = None,
        insecure: bool = False,
    ) -> None:
        """``headers`` go with every call; their values are in no error, log or ``repr``. ``idempotency_header`` carries
        ``context.idempotency_key`` with every method that has an effect; None for a side that knows no such thing.
        ``read_timeout``: the longest silence; ``timeout``: of the whole call (resolving the name is the system's, and
        has its own). ``tls``: instead of the system's trust. ``insecure``: allows ``http://`` to other machines. Raises
        ``InvalidUrl`` or ``InvalidInput``.
        """
        given: object = name
        if not isinstance(given, str) or not given.strip():
            raise InvalidInput("is empty; allowed is a text", field="name")
        self.name = name
        self._place, self._base_path = _place(base_url, tls=tls, insecure=insecure)
        try:
            self._headers = check_headers({} if headers is None else headers)
            self._key_header = idempotency_header
            if idempotency_header is not None:
                check_headers({idempotency_header: ""})
        except Unfit as unfit:
            raise InvalidInput(str(unfit), field="headers") from None
        self._patience = Patience(
            connect=_seconds(connect_timeout, "connect_timeout"),
            silence=_seconds(read_timeout, "read_timeout"),
            whole=_seconds(timeout, "timeout"),
        )
        self._max_request = _size(max_request_bytes, "max_request_bytes")
        self._max_answer = _size(max_answer_bytes, "max_answer_bytes")

    def __repr__(self) -> str:
        scheme = "http" if self._place.tls is None else "https"
        return f"<HttpTool {self.name} {scheme}://{self._place.authority}>"

    def invoke(self, request: HttpRequest, context: Context) -> ToolResult:
        """The answer of a status 2xx: JSON, a text, or None where it has no body or none was expected. ``metadata``:
        ``status``, ``headers`` (a few that are harmless), ``elapsed_ms``. Anything else is a ``ToolError``.
        """
        begun = time.monotonic()
        try:
            message = prepare(
                request,
                base_path=self._base_path,
                own_headers=self._headers,
                key_header=self._key_header,
                key=context.idempotency_key,
                most_bytes=self._max_request,
            )
        except Unfit as unfit:
            raise ToolError(
                tool=self.name, kind="invalid_request", message=str(unfit), details=self._asked(), retryable=False
            ) from None
        answer, payload = self._carried_out(request, message, begun)
        headers = {name: value for name in _KEPT_HEADERS if (value := answer.headers.get(name)) is not None}
        elapsed = round((time.monotonic() - begun) * 1000)
        return ToolResult(
            tool=self.name,
            payload=payload,
            metadata={"status": answer.status, "headers": headers, "elapsed_ms": elapsed},
        )

    def _carried_out(self, request: HttpRequest, message: Message, begun: float) -> tuple[Answer, Any]:
        """The answer, redirects followed, and what it holds. All errors are told here, without what caused them: an
        exception's text and its context may hold what was sent.
        """
        secrets = [value for name, value in message.headers if name in self._headers or name in _names(request)]
        asked = self._asked() | {"method": message.method, "path": message.path}
        try:
            answer = self._followed(message, begun)
            refusal = refusal_of(answer, secrets)
            if refusal is None:
                return answer, payload_of(answer, request.method, request.expect)
            told = refusal
        except Refused as refused:
            told = refused
        except Broken as broken:
            retryable = broken.kind in ("timeout", "connection")
            told = Refused(broken.kind, str(broken), details={"phase": broken.phase}, retryable=retryable)
        raise ToolError(
            tool=self.name,
            kind=told.kind,
            message=f"{message.method} {self._place.authority}: {told}",
            details=asked | told.details,
            retryable=told.retryable,
            after=told.after,
        ) from None

    def _followed(self, message: Message, begun: float) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            left = self._patience.whole - (time.monotonic() - begun)
            patience = Patience(connect=self._patience.connect, silence=self._patience.silence, whole=left)
            answer = exchange(self._place, message, patience=patience, most_bytes=self._max_answer)
            target = redirect_of(answer, message, self._place)
            if target is None:
                return answer
            message = Message(
                method=message.method, target=target, path=message.path, headers=message.headers, body=message.body
            )
        raise Refused("redirected", f"more than {_MOST_REDIRECTS} redirects in a row", retryable=False)

    def _asked(self) -> dict[str, Any]:
        return {"host": self._place.authority}


def _names(request: HttpRequest) -> set[str]:
    return {name.lower() for name in request.headers}


def _place(base_url: object, *, tls: ssl.SSLContext | None, insecure: object) -> tuple[Place, str]:
    """The message never holds the URL: it may hold a password."""
    allowed = "allowed is https://host[:port][/path], or http:// for this machine"
    if not isinstance(base_url, str):
        raise InvalidUrl(f"is a {type(base_url).__name__}; {allowed}", field="base_url")
    try:
        url = urlsplit(base_url)
        port = url.port
        path = path_of(url.path.rstrip("/")) if url.path.rstrip("/") else ""
    except (ValueError, Unfit):
        raise InvalidUrl(f"can not be read; {allowed}", field="base_url") from None
    odd = not base_url.isascii() or not base_url.isprintable() or " " in base_url
    if odd or url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.query or url.fragment:
        raise InvalidUrl(f"is refused; {allowed}, without user, query and fragment", field="base_url")
    if url.scheme == "http" and not (insecure is True or _is_here(url.hostname)):
        why = "is not encrypted, so anybody on the way can read and change what is sent"
        raise InvalidUrl(f"{why}; {allowed}, or with insecure=True", field="base_url")
    standard = 443 if url.scheme == "https" else 80
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    place = Place(
        host=url.hostname,
        port=port or standard,
        authority=host if port in (None, standard) else f"{host}:{port}",
        tls=None if url.scheme == "http" else tls or ssl.create_default_context(),
    )
    return place, path


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(value: object, field: str) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds <= _LONGEST:
        raise InvalidInput("is refused; allowed is 1 ms to 1 day, as timedelta or number of seconds", field=field)
    return float(seconds)


def _size(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _MOST_BYTES:
        raise InvalidInput(f"is refused; allowed is an integer from 1 to {_MOST_BYTES[-1]}", field=field)
    return value
