"""Cron expressions, read strictly: five fields, and nothing that two cron programs would read in two ways.

``minute hour day-of-month month day-of-week``. A field is ``*``, ``*/n``, or a list of numbers, names and ranges
(``1-5``, ``MON-FRI``, ``0-30/10``). Sunday is 0 or 7. What crontab(5) says holds: where neither day field begins with a
star, a day matches when *either* does; otherwise when both do.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_MONTHS: Final = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS: Final = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_LONGEST_MONTHS: Final = {month: 29 if month == 2 else calendar.monthrange(2000, month)[1] for month in range(1, 13)}
_LONGEST: Final = 200


class InvalidExpression(ValueError):
    """Says what is wrong, and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronExpression:
    """``text``: as written, in capitals and with single spaces; two that are alike have the same. ``either_day``: a day
    matches by day of month or by day of week. ``elapsed``: minute or hour begins with a star, so it means "every so
    often" and not "at that time": where local time jumps, it goes on with the time that has passed.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool
    elapsed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int]
    last: int
    """The greatest number that ``*`` stands for."""

    @property
    def allowed(self) -> str:
        named = f" ({', '.join(self.names)})" if self.names else ""
        return f"allowed are {self.least} to {self.most}{named}, ranges, lists, * and */n"


_FIELDS: Final = (
    _Field(name="minute", least=0, most=59, names={}, last=59),
    _Field(name="hour", least=0, most=23, names={}, last=23),
    _Field(name="day of month", least=1, most=31, names={}, last=31),
    _Field(name="month", least=1, most=12, names=_MONTHS, last=12),
    _Field(name="day of week", least=0, most=7, names=_DAYS, last=6),
)


def parse(text: object) -> CronExpression:
    """:class:`InvalidExpression` for what is none, and for what would never come, such as the 30th of February."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise InvalidExpression(f'is refused; allowed is a text of five fields, such as "0 21 * * 1-5"{_short(text)}')
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        fields = ", ".join(field.name for field in _FIELDS)
        raise InvalidExpression(f"{text!r} has {len(parts)} fields; allowed are five: {fields}")
    minutes, hours, days, months, weekdays = (
        tuple(sorted(set(_values(field, part)))) for field, part in zip(_FIELDS, parts, strict=True)
    )
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either and min(days) > max(_LONGEST_MONTHS[month] for month in months):
        raise InvalidExpression(f"{text!r} would never come: no month of it has a day {min(days)}")
    return CronExpression(
        text=" ".join(parts),
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=tuple(sorted({day % 7 for day in weekdays})),
        either_day=either,
        elapsed=parts[0].startswith("*") or parts[1].startswith("*"),
    )


def _short(text: object) -> str:
    return f"; it is longer than {_LONGEST} characters" if isinstance(text, str) else ""


def _values(field: _Field, part: str) -> Iterator[int]:
    if part.startswith("*"):
        star, slash, step = part.partition("/")
        if star != "*" or part.endswith("/"):
            raise _refused(field, part, f"* stands alone, or as */n; {field.allowed}")
        whole = range(field.least, field.last + 1)
        yield from whole[:: _step(field, step, part, len(whole)) if slash else 1]
        return
    for term in part.split(","):
        span, slash, step = term.partition("/")
        low, dash, high = span.partition("-")
        first = _number(field, low, part)
        last = _number(field, high, part) if dash else first
        if last == 0 and first > 0 and field.most == 7:  # FRI-SUN
            last = 7
        if slash and not dash:
            raise _refused(field, part, f"a step needs a range, as in {first}-{field.last}/{step}; {field.allowed}")
        if last < first:
            raise _refused(field, part, f"the range {span} runs backwards; {field.allowed}")
        values = range(first, last + 1)
        yield from values[:: _step(field, step, part, len(values)) if slash else 1]


def _step(field: _Field, text: str, part: str, count: int) -> int:
    """A step that never makes a second value is most likely a mistake: ``*/90`` minutes would be once an hour."""
    if _is_number(text) and 1 <= int(text) < max(count, 2):
        return int(text)
    raise _refused(field, part, f"the step {text!r} is refused; allowed is 1 to {max(count, 2) - 1} there")


def _number(field: _Field, text: str, part: str) -> int:
    value = field.names.get(text, int(text) if _is_number(text) else -1)
    if not field.least <= value <= field.most:
        raise _refused(field, part, f"{text!r} is refused; {field.allowed}")
    return value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 2


def _refused(field: _Field, part: str, why: str) -> InvalidExpression:
    return InvalidExpression(f"{field.name} {part!r}: {why}")
