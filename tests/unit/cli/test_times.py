"""Durations in the two units that matter; moments as distance and as date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from squidmesh.cli.times import absolute, both, length, relative

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0 s"),
        (-5, "0 s"),
        (0.25, "0.25 s"),
        (9.999, "10 s"),
        (42.9, "42 s"),
        (184, "3 min 4 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (190_800, "2 d 5 h"),
    ],
)
def test_a_length_has_two_units_at_most(seconds, words):
    assert length(timedelta(seconds=seconds)) == words


def test_a_moment_is_told_both_ways():
    assert relative(NOW - timedelta(seconds=42), NOW) == "42 s ago"
    assert relative(NOW + timedelta(seconds=42), NOW) == "in 42 s"
    assert absolute(NOW) == "2026-01-01 12:00:00 UTC"
    assert both(NOW, NOW + timedelta(minutes=1)) == "2026-01-01 12:00:00 UTC, 1 min ago"
    assert both(None, NOW) == ""
    assert both(NOW, None) == absolute(NOW)
