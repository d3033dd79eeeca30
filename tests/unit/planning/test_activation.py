"""Which windows get a run: what was missed, whose schedule counts, and that nothing is fired twice or made up."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from squidmesh.clock import Instant, to_datetime, to_instant
from squidmesh.journal.triggers import (
    ScheduleChanged,
    TriggerRegistered,
    TriggerSchedule,
    TriggerState,
    WindowActivated,
    WindowsSkipped,
    fold_trigger,
)
from squidmesh.planning.activation import MOST_MISSED, SETTLING, due, schedule_of
from squidmesh.planning.schedule import Windows
from squidmesh.runtime.cron_matches import windows
from squidmesh.workflow.definition import CronTrigger

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def trigger(expression="0 * * * *", *, missed="last", within=DAY):
    return CronTrigger(
        name="nightly",
        payload_fields=(),
        payload_schema={},
        expression=expression,
        timezone="Etc/UTC",
        idempotency="return_existing_run",
        missed=missed,
        missed_within=within,
    )


def read(schedule: TriggerSchedule) -> Windows | None:
    return None if schedule.timezone == "Mars/Olympus" else windows(schedule.expression, schedule.timezone)


class Site:
    """One trigger's thread, a clock, and a node that carries out what it is told."""

    def __init__(self, now=START):
        self.state = TriggerState()
        self.now = now
        self.fired: list[datetime] = []
        self.facts: list[object] = []

    def ask(self, of):
        return due("Errand", of, self.state, to_instant(self.now), read)

    def look(self, of, now=None):
        """Everything that is due. The windows that were fired by it, as hours and minutes."""
        self.now = now or self.now
        before = len(self.fired)
        while (found := self.ask(of)).facts or found.fire:
            if found.facts:
                self._append(list(found.facts))
            for number, window in enumerate(found.fire):
                entry = [found.skipped] if found.skipped and not number else []
                self._append([*entry, WindowActivated(at=to_instant(self.now), window=window, run_id="r")])
                self.fired.append(to_datetime(window))
        assert len(self.fired) == len(set(self.fired)), "no window fires twice"
        return [f"{one:%H:%M}" for one in self.fired[before:]]

    def _append(self, entry):
        self.facts += entry
        self.state = fold_trigger(self.state, entry)

    def kinds(self):
        return [type(fact).__name__ for fact in self.facts]


@pytest.fixture
def site():
    found = Site()
    assert found.look(trigger()) == []
    return found


def at(hour, minute=0, *, day=1):
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC)


# --------------------------------------------------------------------------------------------------- the beginning


def test_a_trigger_begins_when_it_is_first_registered_and_makes_nothing_up():
    site = Site(now=at(12))
    assert site.look(trigger(missed="all")) == []
    assert site.facts == [
        TriggerRegistered(
            at=to_instant(at(12)),
            workflow="Errand",
            trigger="nightly",
            schedule=TriggerSchedule(expression="0 * * * *", timezone="Etc/UTC"),
        )
    ]
    assert site.look(trigger(missed="all"), at(12, 59)) == []
    assert site.look(trigger(missed="all"), at(13)) == ["13:00"]


def test_nothing_is_written_where_nothing_is_due(site):
    facts = len(site.facts)
    for minute in range(1, 60):
        assert site.look(trigger(), at(12, minute)) == []
    assert len(site.facts) == facts
    assert site.ask(trigger()).next == to_instant(at(13))


def test_a_clock_that_steps_back_fires_nothing_again(site):
    assert site.look(trigger(), at(13)) == ["13:00"]
    assert site.look(trigger(), at(12, 30)) == []
    assert site.look(trigger(), at(13)) == []
    assert site.look(trigger(), at(14)) == ["14:00"]


# ------------------------------------------------------------------------------------------------------ what was missed


def test_skip_fires_what_is_on_time_and_nothing_else(site):
    strict = trigger(missed="skip", within=MINUTE)
    assert site.look(strict, at(13) + timedelta(seconds=59)) == ["13:00"]
    assert site.look(strict, at(16, 1)) == [], "14:00 to 16:00 were missed, the last of them by a minute"
    assert site.look(strict, at(17)) == ["17:00"]
    assert [fact for fact in site.facts if isinstance(fact, WindowsSkipped)] == [
        WindowsSkipped(at=to_instant(at(16, 1)), first=to_instant(at(14)), until=to_instant(at(16, 1)))
    ]


def test_skip_fires_the_window_that_has_just_come_after_others_were_missed(site):
    assert site.look(trigger(missed="skip", within=MINUTE), at(16)) == ["16:00"]
    assert site.kinds()[1:] == ["WindowsSkipped", "WindowActivated"]


def test_last_fires_the_newest_of_those_that_were_missed(site):
    assert site.look(trigger(missed="last"), at(17, 40)) == ["17:00"]
    (skipped,) = (fact for fact in site.facts if isinstance(fact, WindowsSkipped))
    assert (skipped.first, skipped.until) == (to_instant(at(13)), to_instant(at(17)) - 1)


def test_last_fires_nothing_that_is_too_old():
    daily = trigger("0 6 * * *", within=2 * HOUR)
    site = Site()
    site.look(daily)
    assert site.look(daily, at(8, 1, day=4)) == []
    assert site.look(daily, at(8, day=5)) == [], "the bound itself is outside"
    assert site.look(daily, at(7, 59, day=6)) == ["06:00"]


def test_all_fires_each_oldest_first(site):
    assert site.look(trigger(missed="all"), at(17, 40)) == ["13:00", "14:00", "15:00", "16:00", "17:00"]
    assert "WindowsSkipped" not in site.kinds()


def test_all_is_bounded_by_time(site):
    assert site.look(trigger(missed="all", within=2 * HOUR), at(17, 40)) == ["16:00", "17:00"]


def test_all_is_bounded_by_count():
    often = trigger("* * * * *", missed="all", within=timedelta(days=30))
    site = Site()
    site.look(often)
    fired = site.look(often, START + 10 * DAY)
    assert len(fired) == MOST_MISSED
    assert site.fired[-1] == START + 10 * DAY
    assert site.fired[0] == START + 10 * DAY - (MOST_MISSED - 1) * MINUTE


def test_a_year_without_a_look_costs_no_walk_over_a_year():
    """``last`` of a trigger for every minute: looks back from now, not forward from then."""
    walked = 0

    def counted(schedule: TriggerSchedule) -> Windows:
        found = windows(schedule.expression, schedule.timezone)

        def after(moment: Instant) -> Iterator[Instant]:
            nonlocal walked
            for window in found(moment):
                walked += 1
                yield window

        return after

    often = trigger("* * * * *", within=timedelta(days=366))
    site = Site()
    site.look(often)
    found = due("Errand", often, site.state, to_instant(START + timedelta(days=365)), counted)
    assert found.fire == (to_instant(START + timedelta(days=365)),)
    assert walked < 100


# ---------------------------------------------------------------------------------------------------- a new schedule


def test_what_the_old_schedule_owes_is_fired_before_the_new_one_begins(site):
    """Deployed while no loop ran: 13:00 of the old schedule is not lost, 12:30 and 13:30 of the new one not made up."""
    assert site.look(trigger("30 * * * *", missed="all"), at(13, 45)) == ["13:00"]
    assert site.kinds()[1:] == ["WindowActivated", "ScheduleChanged"]
    assert site.look(trigger("30 * * * *", missed="all"), at(15)) == ["14:30"]


def test_a_new_schedule_does_not_fire_again_what_both_have(site):
    assert site.look(trigger(), at(13)) == ["13:00"]
    assert site.look(trigger("0,30 * * * *"), at(13, 10)) == []
    assert site.look(trigger("0,30 * * * *"), at(13, 30)) == ["13:30"]


def test_in_a_rolling_deploy_the_replaced_schedule_does_not_come_back():
    """Old and new nodes look in turn. All follow the new schedule, and every window of it has its run."""
    old, new = trigger("0 * * * *"), trigger("5 * * * *")
    site = Site(now=at(12, 50))
    site.look(old)
    fired = []
    for minute in range(51, 64):
        now = at(12) + minute * MINUTE
        fired += site.look(new if minute % 2 else old, now)
    assert fired == []
    assert site.kinds() == ["TriggerRegistered", "ScheduleChanged"]
    assert site.look(old, at(13, 5)) == ["13:05"], "an old node fires what the new schedule says"


def test_after_a_rollback_the_former_schedule_comes_back():
    old, new = trigger("0 * * * *"), trigger("5 * * * *")
    site = Site(now=at(12, 10))
    site.look(old)
    site.look(new, at(12, 20))
    assert site.state.schedule == schedule_of(new)
    site.look(old, at(12, 20) + SETTLING - MINUTE)
    assert site.state.schedule == schedule_of(new)
    site.look(old, at(12, 20) + SETTLING)
    assert site.state.schedule == schedule_of(old)
    assert site.look(old, at(13)) == ["13:00"]


def test_a_third_schedule_need_not_wait():
    site = Site(now=at(12, 10))
    site.look(trigger("0 * * * *"))
    site.look(trigger("5 * * * *"), at(12, 20))
    site.look(trigger("10 * * * *"), at(12, 21))
    assert site.state.schedule == schedule_of(trigger("10 * * * *"))


def test_a_schedule_that_can_not_be_read_any_more_is_replaced(site):
    site.state.schedule = TriggerSchedule(expression="0 * * * *", timezone="Mars/Olympus")
    assert site.look(trigger(), at(14, 30)) == []
    assert isinstance(site.facts[-1], ScheduleChanged)
    assert site.look(trigger(), at(15)) == ["15:00"]


def test_a_schedule_may_change_while_the_clock_stands_before_its_mark(site):
    site.look(trigger(), at(13))
    site.look(trigger("5 * * * *"), at(12, 30))
    assert site.state.since == to_instant(at(13)), "the mark never goes back"
    assert site.look(trigger("5 * * * *"), at(13, 5)) == ["13:05"]
