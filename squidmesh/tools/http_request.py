"""An HTTP request as a step says it, and as it goes on the wire: judged before anything is sent.

What comes from a run's data ends up in a path, a query, a header or a body, and nowhere else: it can not become another
header, another path, or another host.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlencode

Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE: Final = ("GET", "HEAD", "OPTIONS")
"""Methods without an effect: they carry no idempotency key."""
NO_BODY: Final[Any] = type("NoBody", (), {"__repr__": lambda self: "NO_BODY"})()
"""``None`` is a JSON value like any other."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_PART = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OURS = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect",
        "accept-encoding", "proxy-authorization", "proxy-connection", "keep-alive",
    }
)  # fmt: skip
_MOST_DEPTH = 64


class Unfit(Exception):
    """A request that is not sent. The text says what is wrong, and never holds a header's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """``path``: below the tool's base URL, ``"/charges"``; or its segments, each quoted whole, which is the way for
    what comes from a run's data: ``("charges", invoice_id)``. ``query``: texts. ``json``: the body. ``headers``: added
    to the tool's own. ``expect``: ``"json"``, ``"text"``, or ``"nothing"`` where the answer's body does not matter.

    ``part``: names the call where a step makes several with an effect: each then has an idempotency key of its own.
    """

    method: Method
    path: str | Sequence[str]
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    json: Any = NO_BODY
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    expect: Literal["json", "text", "nothing"] = "json"
    part: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request that is fit to be sent. ``path`` is what errors may show of ``target``: no query, no base."""

    method: str
    target: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)


def prepare(
    request: HttpRequest,
    *,
    base_path: str,
    own_headers: Mapping[str, str],
    key_header: str | None,
    key: str,
    most_bytes: int,
) -> Message:
    """Raises :class:`Unfit`."""
    if request.method not in METHODS:
        raise Unfit(f"method {_short(request.method)} is refused; allowed are {', '.join(METHODS)}")
    if request.expect not in ("json", "text", "nothing"):
        raise Unfit(f"expect {_short(request.expect)} is refused; allowed are json, text, nothing")
    path = path_of(request.path)
    query = _query(request.query)
    body = None if request.json is NO_BODY else encode(request.json, most_bytes)
    headers = {"accept": "application/json" if request.expect == "json" else "*/*", "user-agent": "squidmesh"}
    if body is not None:
        headers["content-type"] = "application/json"
    headers |= {name.lower(): value for name, value in own_headers.items()}
    headers |= check_headers(request.headers)
    if key_header is not None and request.method not in SAFE:
        if key_header.lower() in headers:
            raise Unfit(f"header {key_header!r} is set by the tool, from the step's idempotency key")
        headers[key_header.lower()] = _keyed(key, request.part)
    if body is not None or request.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(body or b""))
    target = f"{base_path}{path}" + (f"?{query}" if query else "")
    return Message(method=request.method, target=target, path=path, headers=tuple(headers.items()), body=body)


def path_of(path: object) -> str:
    """The path, quoted. No segment of it leads out of the base."""
    safe = ""
    if isinstance(path, str):
        if not path.startswith("/") or path.startswith("//") or re.search(r"[?#\\\x00-\x20\x7f]", path):
            raise Unfit(f"path {_short(path)} is refused; allowed is /…, without ? # \\ or blanks (there is query=)")
        segments, safe = path[1:].split("/"), "%:@!$&'()*+,;=~-._"
    elif isinstance(path, Sequence) and not isinstance(path, bytes | bytearray):
        if not path or not all(isinstance(segment, str) and segment for segment in path):
            raise Unfit("path is refused; allowed are one or more segments, each a text that is not empty")
        segments = list(path)
    else:
        raise Unfit(f"path is a {type(path).__name__}; allowed is a text, or a list of segments")
    try:
        segments = [quote(segment, safe=safe, errors="strict") for segment in segments]
    except UnicodeEncodeError:
        raise Unfit("path has a lone surrogate, which is no character") from None
    if any(unquote(segment) in (".", "..") for segment in segments):
        raise Unfit("path has a segment '.' or '..', which would lead elsewhere")
    return "/" + "/".join(segments)


def check_headers(headers: object) -> dict[str, str]:
    """In lower case. No header may be smuggled in by a value, and none of those that frame the message be set."""
    if not isinstance(headers, Mapping):
        raise Unfit(f"headers is a {type(headers).__name__}; allowed is a mapping of names to texts")
    found: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise Unfit(f"header name {_short(name)} is refused; allowed are letters, digits and -")
        if name.lower() in _OURS:
            raise Unfit(f"header {name!r} is the tool's own business")
        if not isinstance(value, str) or not _VALUE.fullmatch(value) or value != value.strip():
            allowed = "allowed is one line of text in Latin-1, of at most 8192 characters, without blanks around it"
            raise Unfit(f"the value of header {name!r} is refused; {allowed}")
        if name.lower() in found:
            raise Unfit(f"header {name!r} is there twice")
        found[name.lower()] = value
    return found


def encode(value: object, most_bytes: int) -> bytes:
    """Strict JSON."""
    _require_json(value, 0)
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (UnicodeEncodeError, ValueError):
        raise Unfit("json has a lone surrogate, or a number that is none") from None
    if len(body) > most_bytes:
        raise Unfit(f"json is {len(body)} bytes; allowed are {most_bytes}")
    return body


def _require_json(value: object, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise Unfit(f"json is nested deeper than {_MOST_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Unfit("json has a key that is no text")
        for item in value.values():
            _require_json(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_json(item, depth + 1)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        what = repr(value) if isinstance(value, float) else f"a {type(value).__name__}"
        raise Unfit(f"json has {what}; allowed are JSON values (of a model: model_dump(mode='json'))")


def _query(query: object) -> str:
    if not isinstance(query, Mapping):
        raise Unfit(f"query is a {type(query).__name__}; allowed is a mapping of names to texts")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = [value] if isinstance(value, str) else value
        if not isinstance(name, str) or not isinstance(values, Sequence) or isinstance(values, bytes | bytearray):
            raise Unfit(f"query {_short(name)} is refused; allowed are texts, and lists of texts")
        if not all(isinstance(one, str) for one in values):
            raise Unfit(f"query {_short(name)} has a value that is no text")
        pairs += [(name, one) for one in values]
    try:
        return urlencode(pairs, errors="strict")
    except UnicodeEncodeError:
        raise Unfit("query has a lone surrogate, which is no character") from None


def _keyed(key: str, part: object) -> str:
    if part is None:
        return key
    if not isinstance(part, str) or not _PART.fullmatch(part):
        raise Unfit(f"part {_short(part)} is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -")
    return f"{key}.{part}"


def _short(value: object) -> str:
    return ascii(value)[:80] if isinstance(value, str) else f"(a {type(value).__name__})"
