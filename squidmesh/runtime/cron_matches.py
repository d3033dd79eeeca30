"""croniter, wrapped: which local minutes an expression matches. Of time zones, and of texts, it is told nothing.

croniter reads some expressions in its own way (``R``, ``H``, days that match by either field), and knows two kinds of
wrong windows where local time jumps. So it is given lists of numbers only, which ``workflow/cron_expression.py`` has
read, and naive local times; jumps are the business of ``planning/schedule.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from croniter import CroniterBadDateError, croniter

from squidmesh.planning.schedule import Windows, windows_of
from squidmesh.workflow.cron_expression import CronExpression, parse
from squidmesh.workflow.timezones import read_timezone

_EVERY_DAY, _EVERY_WEEKDAY, _EVERY_MONTH = 31, 7, 12


def windows(expression: str, timezone: str) -> Windows:
    """The windows of a schedule; ``ValueError`` where this version, or this machine, can not read it."""
    read = parse(expression)
    return windows_of(lambda after: matches(read, after), read_timezone(timezone), elapsed=read.elapsed)


def matches(expression: CronExpression, after: datetime) -> Iterator[datetime]:
    """Strictly after a naive local time, the minutes that match, in order."""
    minute = after.replace(second=0, microsecond=0, fold=0)
    found = croniter(_plain(expression), minute, ret_type=datetime, day_or=expression.either_day)
    while True:
        try:
            yield found.get_next(datetime)
        except (CroniterBadDateError, OverflowError):  # there is none within fifty years
            return


def _plain(expression: CronExpression) -> str:
    every_day = len(expression.days) == _EVERY_DAY
    every_weekday = len(expression.weekdays) == _EVERY_WEEKDAY
    if expression.either_day and (every_day or every_weekday):
        every_day = every_weekday = True  # croniter would take a full list for a star, and look at the other field only
    fields = (
        _list(expression.minutes),
        _list(expression.hours),
        "*" if every_day else _list(expression.days),
        "*" if len(expression.months) == _EVERY_MONTH else _list(expression.months),
        "*" if every_weekday else _list(expression.weekdays),
    )
    return " ".join(fields)


def _list(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))
