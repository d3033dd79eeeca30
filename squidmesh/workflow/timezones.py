"""Timezones by their names in the IANA database, which the platform has, or else the package ``tzdata``."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

_NOT_PLACES = ("localtime", "posixrules", "Factory")
_COPIES = ("posix/", "right/")


class InvalidTimezone(ValueError):
    """Says what is wrong, and what is allowed."""


def read_timezone(name: object) -> ZoneInfo:
    """The zone of that name. ``localtime`` and the like are refused: they mean another zone on another machine."""
    allowed = "allowed is a name of the IANA database, such as Europe/London or Etc/UTC"
    if not isinstance(name, str):
        raise InvalidTimezone(f"a {type(name).__name__} is refused; {allowed}")
    if name in _NOT_PLACES or name.startswith(_COPIES):
        raise InvalidTimezone(f"{name!r} is refused, as it is not the same everywhere; {allowed}")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise InvalidTimezone(f"{name!r} is no timezone here; {_meant(name)}{allowed}") from None


def _meant(name: str) -> str:
    close = get_close_matches(name, available_timezones(), n=1)
    return f"did you mean {close[0]}? " if close else ""
