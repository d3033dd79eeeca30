"""The cron window that a run stands for, as people and steps see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from squidmesh.clock import to_datetime
from squidmesh.journal.facts import Activation
from squidmesh.workflow.timezones import read_timezone


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``window``: the time that the run stands for, whenever it really started, in the trigger's own timezone.
    ``signal_id``: the name that a host's own scheduler gave to this firing, if one did.
    """

    window: datetime
    timezone: str
    trigger: str
    signal_id: str | None


def schedule_of(trigger: str, activation: Activation | None) -> Schedule | None:
    """None where no cron trigger started the run."""
    if activation is None:
        return None
    return Schedule(
        window=to_datetime(activation.window).astimezone(read_timezone(activation.timezone)),
        timezone=activation.timezone,
        trigger=trigger,
        signal_id=activation.signal_id,
    )
