"""Time as a value (protocol 3.6).

The journal counts time in whole microseconds since 1970 in UTC: an :data:`Instant`. Integers sort alike in Python,
SQL and Lua, and fold without rounding. People meet ``datetime`` and ``timedelta``; the conversions are here.
Each plane has one clock. Embedded stores are given one (the host's, or a virtual one in tests); servers bring theirs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

from squidmesh.errors import InvalidInput

Instant = NewType("Instant", int)
"""A moment: microseconds since 1970-01-01T00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


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
    """Durations are ``timedelta`` or seconds everywhere in the public API; inside, they are ``timedelta``.
    ``TypeError`` for what is neither, and for a bool; ``ValueError`` or ``OverflowError`` for a number that is none.
    """
    given: object = value
    if isinstance(given, timedelta):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"a {type(given).__name__} is no duration; allowed is a timedelta or a number of seconds")
    return timedelta(seconds=given)


def check_duration(value: object, *, field: str, least: timedelta, most: timedelta, note: str = "") -> timedelta:
    """The duration that a caller gave, if it is within the bounds; otherwise :class:`InvalidInput` names them."""
    try:
        length = seconds(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        length = None
    if length is None or not least <= length <= most:
        allowed = f"allowed is {in_words(least)} to {in_words(most)}{note}, as timedelta or number of seconds"
        raise InvalidInput(f"{_shown(value)} is refused; {allowed}", field=field)
    return length


def in_words(length: timedelta) -> str:
    """For a message: ``50 ms``, ``2.5 s``, ``1 day``."""
    if length >= _DAY and not length % _DAY:
        return "1 day" if length == _DAY else f"{length // _DAY} days"
    if timedelta(0) < length < _SECOND:
        return f"{length / _MILLISECOND:g} ms"
    return f"{length.total_seconds():g} s"


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return in_words(value)
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "such a number"
    return f"a {type(value).__name__}"
