"""What an answer means: a payload, a place to look instead, or a failure that says whether another attempt may help."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message as Headers
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from squidmesh.tools.http_exchange import Answer, Place
from squidmesh.tools.http_request import Message

LONGEST_RETRY_AFTER = timedelta(days=1)
"""Whoever asks for more is asked again after a day."""
_TRY_AGAIN = frozenset({408, 425, 429})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TARGET = re.compile(r"/[\x21-\x7e]*")
_SHOWN = 1024
_SHORTEST_SECRET = 4


class Refused(Exception):
    """What becomes a ``ToolError``. The text and ``details`` hold nothing that was sent in a header."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retryable: bool,
        after: timedelta | None = None,
    ) -> None:
        self.kind = kind
        self.details = dict(details or {})
        self.retryable = retryable
        self.after = after
        super().__init__(message)


def refusal_of(answer: Answer, secrets: Iterable[str]) -> Refused | None:
    """None for a status 2xx. The beginning of the answer's body is told, without the ``secrets`` that were sent."""
    status = answer.status
    if 200 <= status < 300:
        return None
    server = 500 <= status < 600
    retryable = server or status in _TRY_AGAIN
    after = retry_after(answer.headers) if retryable else None
    kind = "rate_limited" if status == 429 else "status_5xx" if server else "status_4xx"
    if not 400 <= status < 600:
        kind = "invalid_answer"
    details: dict[str, Any] = {"status": status, "body": _shown(answer, secrets)}
    if after is not None:
        details["retry_after"] = after.total_seconds()
    return Refused(kind, f"answered with status {status}", details=details, retryable=retryable, after=after)


def redirect_of(answer: Answer, message: Message, place: Place) -> str | None:
    """The target to ask instead, at the same place. :class:`Refused` for any other: what was sent is for this host."""
    if answer.status not in _REDIRECTS:
        return None
    details = {"status": answer.status}
    if message.method not in ("GET", "HEAD"):
        why = f"was redirected, and a {message.method} is not repeated"
        raise Refused("redirected", why, details=details, retryable=False)
    scheme = "http" if place.tls is None else "https"
    try:
        location = answer.headers.get("location", "").strip()
        url = urlsplit(urljoin(f"{scheme}://{place.authority}{message.target}", location))
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        raise Refused("redirected", "was redirected to what is no URL", details=details, retryable=False) from None
    if not location or "@" in url.netloc or (url.scheme, url.hostname, port) != (scheme, place.host, place.port):
        raise Refused("redirected", "was redirected to no place of this origin", details=details, retryable=False)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not _TARGET.fullmatch(target) or target.startswith("//"):
        raise Refused("redirected", "was redirected to what is no path", details=details, retryable=False)
    return target


def payload_of(answer: Answer, method: str, expect: str) -> Any:
    if expect == "nothing" or method == "HEAD" or answer.status in (204, 205) or not answer.body:
        return None
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise _invalid(answer, "is compressed, which was not asked for")
    if expect == "text":
        return _text(answer)
    kind = answer.headers.get_content_type()
    if kind != "application/json" and not kind.endswith("+json"):
        raise _invalid(answer, "is no JSON, by its content type")
    try:
        return json.loads(
            answer.body.decode("utf-8"),
            object_pairs_hook=_no_twins,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        raise _invalid(answer, "is no strict JSON") from None


def retry_after(headers: Headers) -> timedelta | None:
    """Seconds, or a date: that is compared with the answer's own, so that nobody's clock matters; without one, with
    this machine's. None where there is none that can be read.
    """
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return min(timedelta(seconds=int(asked)), LONGEST_RETRY_AFTER)
    moment = _date(asked)
    if moment is None:
        return None
    now = _date(headers.get("date", "")) or datetime.fromtimestamp(time.time(), UTC)
    return min(max(moment - now, timedelta(0)), LONGEST_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _invalid(answer: Answer, why: str) -> Refused:
    details = {"status": answer.status, "content_type": answer.headers.get_content_type()[:100]}
    return Refused("invalid_answer", f"the answer {why}", details=details, retryable=False)


def _text(answer: Answer) -> str:
    charset = answer.headers.get_content_charset("utf-8")
    try:
        text = answer.body.decode(charset)
    except (UnicodeDecodeError, LookupError):
        raise _invalid(answer, "is no text in the charset that it names") from None
    if "\0" in text:
        raise _invalid(answer, "has a NUL character")
    return text


def _shown(answer: Answer, secrets: Iterable[str]) -> str:
    """Servers like to show what they were sent. Secrets are taken out before the text is cut."""
    text = answer.body.decode("utf-8", "replace")
    said = {part for secret in secrets for part in (secret, *secret.split()) if len(part) >= _SHORTEST_SECRET}
    written = {form for part in said for form in (part, json.dumps(part)[1:-1], quote(part, safe=""))}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, "***")
    return text[:_SHOWN]


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number
