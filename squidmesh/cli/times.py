"""Moments and durations for people: relative where one looks at them, absolute where one searches for them."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def length(duration: timedelta) -> str:
    """In its two largest units: ``0.25 s``, ``42 s``, ``3 min 4 s``, ``2 d 5 h``."""
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
    """To the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def both(moment: datetime | None, now: datetime | None) -> str:
    """``2026-01-01 12:00:00 UTC, 42 s ago``; an empty text where there is no moment."""
    if moment is None:
        return ""
    return absolute(moment) if now is None else f"{absolute(moment)}, {relative(moment, now)}"
