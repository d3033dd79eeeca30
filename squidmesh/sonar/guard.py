"""What every request passes first: whose name it asks for, where it comes from, how large it is, and who sends it.

It is a layer below the pages, so no page can forget it. Nothing of a request is believed before.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import secrets
import time
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from squidmesh.sonar.access import NOBODY, Auth, Tokens, Visitor

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LARGEST_BODY = 1024 * 1024
"""Bytes. A payload of 256 KiB fits, however its characters are escaped."""
LONGEST_QUERY = 16 * 1024
MOST_FIELDS = 2000
VISIT = "squidmesh_sonar"
SIGNED = "squidmesh_sonar_signed"
OPEN_PATHS = ("/static/", "/favicon.ico", "/sign-in")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Refused(Exception):
    """A request that is not answered as asked. ``title`` and ``why`` are for people."""

    def __init__(self, status: int, title: str, why: str) -> None:
        self.status = status
        self.title = title
        self.why = why
        super().__init__(why)


class Guard:
    """``secret``: what the tokens of forms are made with; the same in each process of a host that has several."""

    def __init__(self, app: ASGIApp, *, auth: Auth | None, hosts: Sequence[str], secret: str | None) -> None:
        self._app = app
        self._auth = auth
        self._hosts = frozenset(host.lower() for host in hosts)
        self._secret = secrets.token_bytes(32) if secret is None else secret.encode()
        self._tokens = auth if isinstance(auth, Tokens) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = _cookies(headers)
        visit = cookies.get(VISIT, "")
        fresh = not _is_visit(visit)
        if fresh:
            visit = secrets.token_hex(16)
        scope["sonar"] = {"csrf": self._csrf(visit), "cookies": cookies, "form": [], "refused": None, "visitor": None}
        try:
            self._check_place(scope, headers)
            scope["sonar"]["visitor"] = await self._visitor(scope, cookies)
            if scope["method"] not in ("GET", "HEAD"):
                _check_origin(headers)
                body = await _body(receive)
                form = _form(headers, body)
                given = next((value for name, value in form if name == "csrf"), "")
                if not hmac.compare_digest(given.encode(), self._csrf(visit).encode()):
                    raise Refused(403, "This form is too old", "Load its page again, and send it once more.")
                scope["sonar"]["form"] = form
        except Refused as refused:
            scope["sonar"]["refused"] = refused
        await self._app(scope, receive, _with_headers(send, scope, visit if fresh else None))

    def _csrf(self, visit: str) -> str:
        return hmac.new(self._secret, b"form:" + visit.encode(), hashlib.sha256).hexdigest()

    def _check_place(self, scope: Scope, headers: Headers) -> None:
        asked = headers.get("host", "")
        if _name_of(asked) not in self._hosts:
            raise Refused(421, "Not here", "This name is not one of those under which Sonar answers.")
        if len(scope.get("query_string", b"")) > LONGEST_QUERY:
            raise Refused(414, "Too long", f"An address may have {LONGEST_QUERY // 1024} KiB behind its question mark.")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "Not so", "Allowed are GET, HEAD and POST.")
        if self._is_open and not _from_this_machine(scope, headers):
            raise Refused(403, "Not from there", "Without authentication, Sonar answers this machine only.")

    @property
    def _is_open(self) -> bool:
        return self._auth is None or (self._tokens is not None and self._tokens.open_reading)

    async def _visitor(self, scope: Scope, cookies: dict[str, str]) -> Visitor | None:
        request = Request(scope)
        if self._auth is None:
            return NOBODY
        found: Any = None
        if self._tokens is not None:
            found = self._tokens.of_cookie(cookies.get(SIGNED, ""), time.time()) or self._tokens(request)
        elif inspect.iscoroutinefunction(self._auth):
            found = await self._auth(request)
        else:
            found = await run_in_threadpool(self._auth, request)
            if inspect.isawaitable(found):
                found = await found
        if found is None and self._is_open:
            return NOBODY
        if found is not None and not isinstance(found, Visitor):
            raise TypeError(f"auth gave a {type(found).__name__}; allowed are a Visitor and None")
        visitor: Visitor | None = found
        return visitor


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: one.value for name, one in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _is_visit(given: str) -> bool:
    return len(given) == 32 and set(given) <= set("0123456789abcdef")


def _name_of(host: str) -> str:
    """Without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _from_this_machine(scope: Scope, headers: Headers) -> bool:
    """A proxy on this machine speaks for others."""
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return False
    client = scope.get("client")
    try:
        return client is not None and ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _check_origin(headers: Headers) -> None:
    origin = headers.get("origin") or headers.get("referer") or ""
    if urlsplit(origin).netloc.lower() != headers.get("host", "").lower() or not origin:
        raise Refused(403, "From elsewhere", "A form is taken from Sonar's own pages only.")


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "Broken off", "The form did not come whole.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise Refused(413, "Too large", f"A form may have {LARGEST_BODY // 1024} KiB.")
        if not message.get("more_body"):
            return b"".join(parts)


def _form(headers: Headers, body: bytes) -> list[tuple[str, str]]:
    if headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused(415, "Not a form", "Allowed is application/x-www-form-urlencoded.")
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # a UnicodeDecodeError is one
        raise Refused(400, "Not a form", f"Allowed are {MOST_FIELDS} fields of text in UTF-8.") from None


def _with_headers(send: Send, scope: Scope, visit: str | None) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if visit is not None and headers.get("content-type", "").startswith("text/html"):
                secure = "; Secure" if scope.get("scheme") == "https" else ""
                path = scope.get("root_path", "") or "/"
                headers.append("Set-Cookie", f"{VISIT}={visit}; Path={path}; HttpOnly; SameSite=Strict{secure}")
        await send(message)

    return sending
