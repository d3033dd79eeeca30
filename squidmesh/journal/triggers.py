"""The thread of a cron trigger: what happened to it, and the state that this adds up to (protocol 3.7).

It holds which schedule is in force, and the moment up to which its windows are dealt with: the high-water mark. A run
of a window is revision 1 of a thread of its own; both are appended as one group. Moments are microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from squidmesh.journal.facts import Fact
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.thread_codec import ThreadCodec


class TriggerSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A cron expression, normalised, and the name of the timezone that it is read in."""

    expression: str
    timezone: str


# ---------------------------------------------------------------------------------------------------------- facts


class TriggerRegistered(Fact, frozen=True, kw_only=True):
    """Somebody waits for its windows for the first time. Those before are not made up for."""

    workflow: str
    trigger: str
    schedule: TriggerSchedule


class ScheduleChanged(Fact, frozen=True, kw_only=True):
    """From now on it has the windows of another schedule; all of the former one, up to now, are dealt with."""

    schedule: TriggerSchedule


class WindowActivated(Fact, frozen=True, kw_only=True):
    """The run of a window; ``found``: it was there already. ``by_host``: a host's own scheduler asked for it, possibly
    in any order and beside the schedule, so the high-water mark stays where it is.
    """

    window: int
    run_id: str
    signal_id: str | None = None
    found: bool = False
    by_host: bool = False


class WindowsSkipped(Fact, frozen=True, kw_only=True):
    """The windows from ``first`` up to ``until`` get no run: they were missed, and the trigger's policy drops them."""

    first: int
    until: int


AnyTriggerFact = TriggerRegistered | ScheduleChanged | WindowActivated | WindowsSkipped


# ---------------------------------------------------------------------------------------------------------- state


class TriggerState(msgspec.Struct, kw_only=True):
    """``since``: windows at or before it are dealt with; windows of the schedule after it are to come. Both are None
    while only hosts have fired it. ``former``: the schedule before this one, which was in force until ``changed_at``.
    ``last_*``: the newest window that has a run.
    """

    revision: int = 0
    registered_at: int | None = None
    schedule: TriggerSchedule | None = None
    since: int | None = None
    former: TriggerSchedule | None = None
    changed_at: int | None = None
    last_window: int | None = None
    last_run_id: str | None = None
    last_at: int | None = None


def fold_trigger(state: TriggerState, entry: Iterable[AnyTriggerFact]) -> TriggerState:
    """The state after one entry, changed in place; its revision is one higher."""
    for fact in entry:
        _evolve(state, fact)
    state.revision += 1
    return state


def _evolve(state: TriggerState, fact: AnyTriggerFact) -> None:
    match fact:
        case TriggerRegistered():
            if state.registered_at is not None:
                raise IllegalFact("TriggerRegistered twice")
            state.registered_at = state.since = fact.at
            state.schedule = fact.schedule
        case ScheduleChanged():
            _advance(state, fact, fact.at)
            state.former, state.changed_at = state.schedule, fact.at
            state.schedule = fact.schedule
        case WindowsSkipped():
            _advance(state, fact, fact.until)
        case WindowActivated():
            if not fact.by_host:
                _advance(state, fact, fact.window)
            if state.last_window is None or fact.window >= state.last_window:
                state.last_window, state.last_run_id, state.last_at = fact.window, fact.run_id, fact.at
        case _:
            assert_never(fact)


def _advance(state: TriggerState, fact: AnyTriggerFact, to: int) -> None:
    """The high-water mark never goes back: what is below it has happened."""
    if state.since is None or to < state.since:
        raise IllegalFact(f"{type(fact).__name__} up to {to} where the high-water mark is {state.since}")
    state.since = to


TRIGGER_CODEC: ThreadCodec[AnyTriggerFact, TriggerState] = ThreadCodec(
    AnyTriggerFact, TriggerState, facts_version=1, state_version=1
)
