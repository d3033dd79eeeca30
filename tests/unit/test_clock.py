"""Time is a whole number of microseconds, and comes back as it went in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squidmesh.clock import duration, micros, seconds, to_datetime, to_instant
from squidmesh.testing.clock import VirtualClock

CALM = settings(deadline=None)
moments = st.datetimes(timezones=st.timezones())


@CALM
@given(st.timedeltas())
def test_a_duration_comes_back_exactly(length: timedelta) -> None:
    assert duration(micros(length)) == length


@CALM
@given(moments)
def test_a_moment_comes_back_exactly_and_in_utc(moment: datetime) -> None:
    back = to_datetime(to_instant(moment))
    assert back == moment.astimezone(UTC)
    assert back.tzinfo is UTC


@CALM
@given(moments, moments)
def test_instants_sort_as_moments_do(one: datetime, other: datetime) -> None:
    one, other = one.astimezone(UTC), other.astimezone(UTC)
    assert (to_instant(one) < to_instant(other)) == (one < other)


def test_the_epoch_is_zero_in_every_zone() -> None:
    assert to_instant(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert to_instant(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_a_moment_without_a_timezone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        to_instant(datetime(2026, 1, 1))  # noqa: DTZ001 (that is the point)


def test_durations_may_be_given_in_seconds() -> None:
    assert seconds(1.5) == timedelta(seconds=1.5)
    assert seconds(2) == timedelta(seconds=2)
    assert seconds(timedelta(days=1)) == timedelta(days=1)


@pytest.mark.parametrize("value", [True, "1", None, b"1"])
def test_what_is_no_duration_is_no_duration(value: object) -> None:
    with pytest.raises(TypeError):
        seconds(value)  # type: ignore[arg-type]


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    begin = clock.now()
    assert clock.now() == begin == to_instant(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.advance(timedelta(microseconds=1)) == begin + 1 == clock.now()
    assert clock.advance(timedelta(seconds=-1)) == begin + 1 - 1_000_000 == clock.now()
