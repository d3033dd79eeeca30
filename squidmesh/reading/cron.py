"""``list_cron``: the cron triggers as people look at them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from squidmesh.clock import Instant, to_datetime
from squidmesh.journal.triggers import TriggerState
from squidmesh.planning.activation import schedule_of
from squidmesh.planning.schedule import Windows
from squidmesh.reading.plain import to_plain
from squidmesh.workflow.definition import CronTrigger
from squidmesh.workflow.timezones import read_timezone


@dataclass(frozen=True, slots=True, kw_only=True)
class CronStatus:
    """One trigger at ``as_of``. ``expression``, ``timezone`` and ``next`` (its coming windows, in that timezone) are of
    the schedule in force, which is the journal's where ``changing`` says that the code's own waits to replace it.
    ``registered_at`` is None until a cron loop has seen it: no window fires before that. ``last_window`` and
    ``last_run_id``: the newest that has a run. ``overdue``: windows have come that no loop has dealt with.
    """

    workflow: str
    trigger: str
    expression: str
    timezone: str
    idempotency: str
    missed: str
    missed_within: timedelta
    changing: bool
    registered_at: datetime | None
    last_window: datetime | None
    last_run_id: str | None
    overdue: bool
    next: tuple[datetime, ...]
    as_of: datetime = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601, durations in seconds."""
        found: dict[str, Any] = to_plain(self)
        return found


def cron_status(
    workflow: str, trigger: CronTrigger, state: TriggerState, windows: Windows, *, now: Instant, count: int
) -> CronStatus:
    """``windows``: of the schedule in force, or of the trigger's own where none is."""
    own = schedule_of(trigger)
    force = state.schedule or own
    zone = read_timezone(force.timezone)
    since = None if state.since is None else Instant(state.since)
    missed = None if since is None else next(windows(since), None)
    return CronStatus(
        workflow=workflow,
        trigger=trigger.name,
        expression=force.expression,
        timezone=force.timezone,
        idempotency=trigger.idempotency,
        missed=trigger.missed,
        missed_within=trigger.missed_within,
        changing=force != own,
        registered_at=None if state.registered_at is None else to_datetime(state.registered_at),
        last_window=None if state.last_window is None else to_datetime(state.last_window).astimezone(zone),
        last_run_id=state.last_run_id,
        overdue=missed is not None and missed <= now,
        next=tuple(to_datetime(window).astimezone(zone) for window in islice(windows(max(now, since or now)), count)),
        as_of=to_datetime(now),
    )
