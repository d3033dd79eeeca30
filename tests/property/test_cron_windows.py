"""Windows over years, against cronsim as an oracle, and against a walk over all minutes where the oracle errs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from squidmesh.clock import to_datetime, to_instant
from squidmesh.runtime.cron_matches import windows
from squidmesh.workflow.cron_expression import parse
from tests.support.parts import every

ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

AT_TIMES = (
    "30 1 * * *",
    "0 2 * * *",
    "0,30 1-3 * * *",
    "45 1 * * SUN",
    "0 0 1 * 1",
    "59 23 31 12 *",
    "5 4 29 2 *",
    "10 2 * 4,10 0",
    "0 0 1-31 * MON",
    "0 0 */2 * 1",
    "15 0-23 * * *",
)
EVERY_SO_OFTEN = ("0 */2 * * *", "*/15 * * * *", "*/20 2 * * *", "* 1 * * *", "*/7 */3 * * *", "7 * * * *", "0 * 1 * *")


def ours(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    found = windows(expression, zone)(to_instant(begin))
    return [to_datetime(one) for one in takewhile(lambda window: window < to_instant(end), found)]


def oracle(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    found: Iterator[datetime] = CronSim(expression, begin.astimezone(ZoneInfo(zone)))
    return list(takewhile(lambda window: window < end, (one.astimezone(UTC) for one in found)))


def minute_by_minute(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Every minute whose local time matches: what "every so often" means. Only the fields are the oracle's."""
    fields, local_zone = CronSim(expression, begin), ZoneInfo(zone)
    found, moment = [], begin + MINUTE
    while moment < end:
        local = moment.astimezone(local_zone)
        timely = local.minute in fields.minutes and local.hour in fields.hours
        if timely and local.month in fields.months and fields.match_day(local.date()):
            found.append(moment)
        moment += MINUTE
    return found


def errs(expression: str, zone: str) -> bool:
    """cronsim steps by hours and then goes to the hour's first minute; where half an hour is repeated it jumps over
    windows, or goes back in time. It steps by minutes only where every hour, and a star of minutes, may come.
    """
    minute, hour = expression.split()[:2]
    steps_by_minutes = minute.startswith("*") and hour == "*"
    return zone == "Australia/Lord_Howe" and parse(expression).elapsed and not steps_by_minutes


def jumps(zone: str, first: int, last: int) -> list[datetime]:
    """The days before local time jumps."""
    found, day = [], datetime(first, 1, 1, tzinfo=UTC)
    while day.year <= last:
        if day.astimezone(ZoneInfo(zone)).utcoffset() != (day + DAY).astimezone(ZoneInfo(zone)).utcoffset():
            found.append(day)
        day += DAY
    return found


# Each expression in one zone, and each zone with several expressions; all with all under `all`.
@pytest.mark.parametrize(("expression", "zone"), every(3, list(product(AT_TIMES, ZONES))))
def test_twelve_years_of_a_time_of_day_are_the_oracles(expression: str, zone: str) -> None:
    begin, end = datetime(2019, 12, 31, 12, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
    if "-" in expression.partition(" ")[2][:4]:  # several times a day
        end = datetime(2023, 1, 1, tzinfo=UTC)
    found = ours(expression, zone, begin, end)
    assert found == oracle(expression, zone, begin, end)
    assert found


@pytest.mark.parametrize(("expression", "zone"), every(3, list(product(EVERY_SO_OFTEN, ZONES))))
def test_every_jump_of_years_is_the_oracles(expression: str, zone: str) -> None:
    days = jumps(zone, 2019, 2031) or [datetime(2026, 3, 29, tzinfo=UTC)]
    assert len(days) == (1 if zone == "Asia/Kathmandu" else 26)
    judge = minute_by_minute if errs(expression, zone) else oracle
    for day in days:
        begin, end = day - DAY, day + 2 * DAY
        assert ours(expression, zone, begin, end) == judge(expression, zone, begin, end), f"{day:%Y-%m-%d}"


def test_the_oracle_errs_where_we_say_so() -> None:
    """Should it not any more, the exception goes."""
    begin = datetime(2026, 4, 4, tzinfo=UTC)
    for expression in ("0 */2 * * *", "30 * * * *"):
        asked = (expression, "Australia/Lord_Howe", begin, begin + 2 * DAY)
        assert ours(*asked) == minute_by_minute(*asked) != oracle(*asked)


# ------------------------------------------------------------------------------------------- whatever somebody writes


def _list(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    return st.lists(number.map(str) | span, min_size=1, max_size=3).map(",".join)


def _field(low: int, high: int, star: int) -> st.SearchStrategy[str]:
    """``star``: the greatest step."""
    return st.just("*") | st.integers(2, star).map(lambda step: f"*/{step}") | _list(low, high)


expressions = st.tuples(_field(0, 59, 30), _field(0, 23, 12), _field(1, 31, 10), _field(1, 12, 6), _field(0, 7, 6)).map(
    " ".join
)


SOME_DAYS = {zone: jumps(zone, 2015, 2030) or [datetime(2026, 3, 29, tzinfo=UTC)] for zone in ZONES}


@settings(max_examples=100, deadline=None)
@given(expressions, st.sampled_from(ZONES), st.data())
def test_any_expression_has_the_oracles_windows(expression: str, zone: str, data: st.DataObject) -> None:
    try:
        parse(expression)
    except ValueError:
        return  # never comes
    judge = minute_by_minute if errs(expression, zone) else oracle
    day = data.draw(st.sampled_from(SOME_DAYS[zone]))
    begin = day - data.draw(st.integers(0, 3 * 1440)) * MINUTE
    end = begin + 5 * DAY
    assert ours(expression, zone, begin, end) == judge(expression, zone, begin, end)


@settings(max_examples=40, deadline=None)
@given(expressions, st.sampled_from([*ZONES, "Pacific/Apia", "Africa/Casablanca", "America/St_Johns"]), st.data())
def test_windows_only_grow_and_do_not_depend_on_who_looks_when(expression: str, zone: str, data: st.DataObject) -> None:
    """A node that looks from any moment sees the same windows after it."""
    try:
        parse(expression)
    except ValueError:
        return
    day = data.draw(st.sampled_from(jumps(zone, 2010, 2013) or [datetime(2026, 3, 29, tzinfo=UTC)]))
    begin, end = day - DAY, day + 2 * DAY
    whole = ours(expression, zone, begin, end)
    assert whole == sorted(set(whole))
    middle = begin + timedelta(microseconds=data.draw(st.integers(0, 3 * 86_400_000_000)))
    assert ours(expression, zone, middle, end) == [window for window in whole if window > middle]
