"""Local time jumps, twice a year in most places: what becomes of a schedule then is said here, case by case.

That it is the same over years, for any expression, is tried against cronsim in ``tests/property/test_cron_windows.py``.
"""

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from squidmesh.clock import to_datetime, to_instant
from squidmesh.runtime.cron_matches import windows


def coming(expression, zone, after, count):
    """As local times with their offset, so that a repeated hour is told apart."""
    moment = to_instant(datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)))
    found = islice(windows(expression, zone)(moment), count)
    return [to_datetime(one).astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z") for one in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 1 * * *", ["03-29 02:00 +0100", "03-30 01:30 +0100"]),
        ("0,15,30 1 * * *", ["03-29 02:00 +0100", "03-30 01:00 +0100"]),
        ("30 1,2 * * *", ["03-29 02:00 +0100", "03-29 02:30 +0100"]),
        ("0 1,2 * * *", ["03-29 02:00 +0100", "03-30 01:00 +0100"]),
    ],
)
def test_a_time_that_is_skipped_fires_once_at_the_next_valid_minute(expression, expected):
    assert coming(expression, "Europe/London", "2026-03-29T00:59", 2) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 1 * * *", ["10-25 01:30 +0100", "10-26 01:30 +0000"]),
        ("0,30 1 * * *", ["10-25 01:00 +0100", "10-25 01:30 +0100", "10-26 01:00 +0000"]),
        ("0 1,2 * * *", ["10-25 01:00 +0100", "10-25 02:00 +0000", "10-26 01:00 +0000"]),
    ],
)
def test_a_time_that_is_repeated_fires_once_the_first_time(expression, expected):
    assert coming(expression, "Europe/London", "2026-10-25T00:59", len(expected)) == expected


def test_whoever_looks_within_the_repeated_hour_does_not_see_it_twice():
    london = ZoneInfo("Europe/London")
    second_pass = to_instant(datetime(2026, 10, 25, 1, 15, fold=1, tzinfo=london))
    first = next(windows("30 1 * * *", "Europe/London")(second_pass))
    assert to_datetime(first).astimezone(london) == datetime(2026, 10, 26, 1, 30, tzinfo=london)


def test_every_so_often_goes_on_with_the_time_that_passes():
    assert coming("*/30 * * * *", "Europe/London", "2026-03-29T00:29", 3) == [
        "03-29 00:30 +0000",
        "03-29 02:00 +0100",
        "03-29 02:30 +0100",
    ]
    assert coming("*/30 * * * *", "Europe/London", "2026-10-25T00:59", 5) == [
        "10-25 01:00 +0100",
        "10-25 01:30 +0100",
        "10-25 01:00 +0000",
        "10-25 01:30 +0000",
        "10-25 02:00 +0000",
    ]


def test_every_other_hour_has_no_window_where_its_hour_is_skipped():
    assert coming("0 */2 * * *", "America/New_York", "2026-03-08T00:00", 2) == [
        "03-08 04:00 -0400",
        "03-08 06:00 -0400",
    ]


def test_half_an_hour_may_be_skipped_or_repeated_too():
    assert coming("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00", 1) == ["10-04 02:30 +1100"]
    assert coming("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", 2) == [
        "04-05 01:45 +1100",
        "04-06 01:45 +1030",
    ]


def test_a_whole_day_may_be_skipped():
    """Samoa had no 30th of December 2011."""
    assert coming("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00", 1) == ["12-31 00:00 +1400"]


def test_offsets_are_not_whole_hours_everywhere():
    assert coming("30 6 * * *", "Asia/Kathmandu", "2026-05-01T06:29", 1) == ["05-01 06:30 +0545"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 13 * FRI", ["05-01", "05-08", "05-13"]),
        ("0 0 */13 * FRI", ["05-01", "08-14", "11-27"]),
        ("0 0 1-31 * FRI", ["05-01", "05-02", "05-03"]),
        ("0 0 13 * *", ["05-13", "06-13", "07-13"]),
        ("0 0 * * FRI-SUN", ["05-01", "05-02", "05-03"]),
        ("0 0 31 * *", ["05-31", "07-31", "08-31"]),
    ],
)
def test_days_are_either_or_unless_one_field_begins_with_a_star(expression, expected):
    found = coming(expression, "Etc/UTC", "2026-04-30T12:00", 3)
    assert [one[:5] for one in found] == expected


def test_a_window_is_strictly_after():
    assert coming("0 21 * * *", "Etc/UTC", "2026-05-01T21:00", 1) == ["05-02 21:00 +0000"]
    assert coming("0 21 * * *", "Etc/UTC", "2026-05-01T20:59:59.999999", 1) == ["05-01 21:00 +0000"]
    assert coming("0 21 * * *", "Etc/UTC", "2026-05-01T21:00:00.000001", 1) == ["05-02 21:00 +0000"]


def test_what_seldom_comes_is_found():
    assert coming("0 0 29 2 *", "Etc/UTC", "2096-03-01T00:00", 1) == ["02-29 00:00 +0000"], "2100 is no leap year"
