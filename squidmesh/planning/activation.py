"""Which windows of a cron trigger get a run now, which are given up, and whose schedule counts (protocol 3.7).

Pure: the state of the trigger's thread, what the code says of it, and the time come in; facts come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Final

from squidmesh.clock import Instant, micros
from squidmesh.journal.triggers import (
    AnyTriggerFact,
    ScheduleChanged,
    TriggerRegistered,
    TriggerSchedule,
    TriggerState,
    WindowsSkipped,
)
from squidmesh.planning.schedule import Windows
from squidmesh.workflow.definition import CronTrigger

MOST_MISSED: Final = 1000
"""So many windows of the past get a run at once, where all shall: the newest."""
SETTLING: Final = timedelta(minutes=15)
"""How long a node whose schedule has just been replaced by another one follows that one. In a rolling deploy old and
new nodes look in turn: each would change the schedule back, and windows would depend on who looked last.
"""
_FIRST_LOOK_BACK: Final = micros(timedelta(hours=1))

Read = Callable[[TriggerSchedule], Windows | None]
"""The windows of a schedule; None where this node can not read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """``facts``: to be appended before anything else, on their own. ``fire``: windows that get a run, oldest first;
    ``skipped`` goes into the entry of the first of them, or into ``facts`` where nothing fires. ``timezone``: that of
    the schedule in force. ``next``: when its next window comes, if nothing is done until then.
    """

    timezone: str
    facts: tuple[AnyTriggerFact, ...] = ()
    fire: tuple[Instant, ...] = ()
    skipped: WindowsSkipped | None = None
    next: Instant | None = None


def schedule_of(trigger: CronTrigger) -> TriggerSchedule:
    return TriggerSchedule(expression=trigger.expression, timezone=trigger.timezone)


def due(workflow: str, trigger: CronTrigger, state: TriggerState, now: Instant, read: Read) -> Due:
    """What there is to do. Where ``facts`` are given, they come first, and then it is asked again.

    Up to now it is the schedule in force that counts, also for nodes which have another one: a new one begins when the
    windows of the old one are dealt with. So no deploy makes a window up, fires one again, or loses one.
    """
    own = schedule_of(trigger)
    if state.schedule is None or state.since is None:
        registered = TriggerRegistered(at=now, workflow=workflow, trigger=trigger.name, schedule=own)
        return Due(timezone=own.timezone, facts=(registered,))
    windows = read(state.schedule)
    if windows is None:
        return Due(timezone=own.timezone, facts=(ScheduleChanged(at=max(now, state.since), schedule=own),))
    since = Instant(state.since)
    if (first := next(windows(since), None)) is not None and first <= now:
        return _past(trigger, state.schedule, windows, since, first, now)
    if state.schedule != own and not _settling(own, state, now):
        return Due(timezone=own.timezone, facts=(ScheduleChanged(at=max(now, since), schedule=own),))
    return Due(timezone=state.schedule.timezone, next=first)


def _past(
    trigger: CronTrigger, schedule: TriggerSchedule, windows: Windows, since: Instant, first: Instant, now: Instant
) -> Due:
    """There are windows between ``since`` and now."""
    bound = Instant(max(since, now - micros(trigger.missed_within)))
    fire = _newest(windows, bound, now, MOST_MISSED if trigger.missed == "all" else 1)
    if not fire:
        skipped = WindowsSkipped(at=now, first=first, until=now)
        return Due(timezone=schedule.timezone, facts=(skipped,))
    late = WindowsSkipped(at=now, first=first, until=fire[0] - 1) if first < fire[0] else None
    return Due(timezone=schedule.timezone, fire=fire, skipped=late)


def _newest(windows: Windows, since: Instant, now: Instant, most: int) -> tuple[Instant, ...]:
    """The last ``most`` windows after ``since`` and up to now. Looks back further and further, as there may be very
    many of them.
    """
    back = _FIRST_LOOK_BACK
    while True:
        begin = Instant(max(since, now - back))
        found = deque(takewhile(lambda window: window <= now, windows(begin)), maxlen=most)
        if len(found) == most or begin == since:
            return tuple(found)
        back *= 4


def _settling(own: TriggerSchedule, state: TriggerState, now: Instant) -> bool:
    """Whether a schedule that was in force until a moment ago should wait before it comes back."""
    return state.former == own and state.changed_at is not None and now - state.changed_at < micros(SETTLING)
