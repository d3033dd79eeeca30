"""Moments, durations and values as people read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LONGEST_SHOWN = 20_000
"""Characters of one value. Whoever needs more has the command line."""


def length(duration: timedelta | None) -> str:
    """In its two largest units: ``0.25 s``, ``42 s``, ``3 min 4 s``, ``2 d 5 h``."""
    if duration is None:
        return ""
    total = max(0.0, duration.total_seconds())
    if total < 10:
        return f"{total:.2f}".rstrip("0").rstrip(".") + " s"
    left, parts = int(total), []
    for unit, size in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def relative(moment: datetime, now: datetime) -> str:
    """``42 s ago``, ``in 3 min 4 s``."""
    return f"in {length(moment - now)}" if moment > now else f"{length(now - moment)} ago"


def absolute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def moment(at: datetime | None, now: datetime) -> Markup:
    """Relative, with the whole of it on request; the page's script keeps it true."""
    if at is None:
        return Markup("")
    iso = at.astimezone(UTC).isoformat()
    return Markup('<time datetime="{}" data-ago title="{}">{}</time>').format(iso, absolute(at), relative(at, now))


def clock(at: datetime) -> Markup:
    """To the millisecond, in UTC."""
    iso = at.astimezone(UTC).isoformat()
    shown = f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, absolute(at), shown)


def pretty(value: Any) -> str:
    """JSON, indented; what is very long is cut."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}\n… {len(text) - _LONGEST_SHOWN} characters more: squidmesh runs show --history"


def plain(value: Any) -> str:
    """On one line."""
    value = _plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def spoken(name: str) -> str:
    """``AttemptDeadLettered`` as ``Attempt dead lettered``, ``waiting_for_worker`` as ``waiting for worker``."""
    spaced = "".join(
        f" {letter.lower()}" if letter.isupper() and place else letter for place, letter in enumerate(name)
    )
    return spaced.replace("_", " ")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return length(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [_plain(item) for item in value]
    return value
