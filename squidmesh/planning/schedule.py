"""From local times to windows: what a cron expression means where local time jumps (pure: the zone is an argument).

A window is a moment, a whole local minute. There are two kinds of expressions, as in Debian's cron:

- *at a time* (``30 1 * * *``): every local time has one window. A time that a jump forward skips has its window at the
  first minute after the jump; one that a jump back repeats has it the first time only.
- *every so often* (a minute or hour that begins with a star): windows follow the time that passes. What is skipped is
  not made up for, and a repeated hour has its windows twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from squidmesh.clock import Instant, to_datetime, to_instant

Matches = Callable[[datetime], Iterator[datetime]]
"""Strictly after a naive local time, the naive local minutes that an expression matches, in order."""
Windows = Callable[[Instant], Iterator[Instant]]
"""Strictly after a moment, the windows of a schedule, in order."""

_MINUTE = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)
_STRIDE = timedelta(hours=12)
"""No zone changes its offset twice in that time."""


def windows_of(matches: Matches, zone: tzinfo, *, elapsed: bool) -> Windows:
    """``elapsed``: the expression is one of the second kind."""

    def after(moment: Instant) -> Iterator[Instant]:
        found = _as_time_passes(matches, zone, moment) if elapsed else _at_times(matches, zone, moment)
        return map(to_instant, found)

    return after


def _at_times(matches: Matches, zone: tzinfo, moment: Instant) -> Iterator[datetime]:
    """Local times only grow here, each read as the first of its kind: so none is met twice."""
    last = to_datetime(moment)
    for local in matches(last.astimezone(zone).replace(tzinfo=None)):
        window = _first_valid(local, zone)
        if window > last:
            yield window
            last = window


def _first_valid(local: datetime, zone: tzinfo) -> datetime:
    while True:
        moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == local:
            return moment
        local += _MINUTE


def _as_time_passes(matches: Matches, zone: tzinfo, moment: Instant) -> Iterator[datetime]:
    """From one change of the zone's offset to the next: in between, local time and time run alike."""
    begin = to_datetime(moment)
    offset = _offset(zone, begin)
    local_begin = begin + offset
    while True:
        change = None
        for local in matches(local_begin.replace(tzinfo=None)):
            window = local.replace(tzinfo=UTC) - offset
            change = _first_change(zone, begin, window)
            if change is not None:
                break
            yield window
            begin = window
        if change is None:
            return  # the expression has no more
        begin = change
        offset = _offset(zone, begin)
        local_begin = begin + offset - _TICK  # there may be a window at the very moment of the change


def _first_change(zone: tzinfo, begin: datetime, end: datetime) -> datetime | None:
    """The first moment after ``begin``, and up to ``end``, at which the zone has another offset than before."""
    offset, low = _offset(zone, begin), begin
    while low < end:
        high = min(low + _STRIDE, end)
        if _offset(zone, high) != offset:
            while high - low > _TICK:
                middle = low + (high - low) // 2
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            return high
        low = high
    return None


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
