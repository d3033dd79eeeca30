"""Time as a value (protocol 3.6).

The journal counts time in whole microseconds since 1970 in UTC: an :data:`Instant`. Integers sort alike in Python,
SQL and Lua, and fold without rounding. People meet ``datetime`` and ``timedelta``; the conversions are here.
Each plane has one clock. Embedded stores are given one (the host's, or a virtual one in tests); servers bring theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

Instant = NewType("Instant", int)
"""A moment: microseconds since 1970-01-01T00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What an embedded store asks for the time."""

    def now(self) -> Instant:
        """The present moment. Need not be monotonic, but nothing good comes of jumps."""
        ...


def micros(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // _MICROSECOND


def duration(microseconds: int) -> timedelta:
    """The inverse of :func:`micros`."""
    return timedelta(microseconds=microseconds)


def to_datetime(instant: int) -> datetime:
    """The instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def to_instant(moment: datetime) -> Instant:
    """The inverse of :func:`to_datetime`; ``ValueError`` for a datetime without a timezone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no timezone")
    return Instant((moment - _EPOCH) // _MICROSECOND)


def seconds(value: timedelta | float | int) -> timedelta:
    """Durations are ``timedelta`` or seconds everywhere in the public API; inside, they are ``timedelta``."""
    return value if isinstance(value, timedelta) else timedelta(seconds=value)
