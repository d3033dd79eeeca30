"""When a pump looks for timers that are due: what has become due is fired at once, and who can not be told is asked
again after a pause, not all the time.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from squidmesh.clock import Instant
from squidmesh.errors import CorruptHistory
from squidmesh.ids import RunId
from squidmesh.journal.rows import TimerRow
from squidmesh.runtime import chance
from squidmesh.runtime.recorder import Intent, Verdict
from squidmesh.runtime.timers import BUSY_LOOK, Timers

SECOND = 1_000_000
LONG = timedelta(seconds=60)


class Moment:
    """As much of a store, a recorder and an observer as timers need: one timer, which is due at ``due_at``."""

    def __init__(self, due_at: int, *, error: Exception | None = None) -> None:
        self.time = 0
        self.error = error
        self.looks = 0
        self.timers = [TimerRow(timer="a/run", run_id=RunId("a"), kind="run", due_at=due_at)]

    def monotonic(self) -> float:
        return self.time / SECOND

    def now(self) -> Instant:
        return Instant(self.time)

    def next_timer(self) -> Instant | None:
        self.looks += 1
        return Instant(self.timers[0].due_at) if self.timers else None

    def due_timers(self, until: Instant, *, after: TimerRow | None = None, limit: int = 100) -> list[TimerRow]:
        return [row for row in self.timers if row.due_at <= until and after is None]

    def record(self, intents: Sequence[Intent]) -> list[Verdict]:
        if self.error is None:
            self.timers.clear()
        error: Any = self.error
        return [Verdict(intent=intent, error=error) for intent in intents]

    def take_timer_set(self) -> bool:
        return False

    def notice(self, event: str, /, **fields: object) -> None:
        pass


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[Moment], Timers]:
    monkeypatch.setattr(chance, "jitter", lambda: 0.5)

    def timers(moment: Moment) -> Timers:
        anything: Any = moment
        return Timers(anything, anything, anything, monotonic=moment.monotonic)

    return timers


def test_what_has_become_due_while_a_pump_was_busy_is_fired_by_its_next_turn(make: Callable[[Moment], Timers]) -> None:
    moment = Moment(due_at=SECOND // 10)
    timers = make(moment)
    timers.fire_now_and_then(rested=True)
    moment.time = SECOND // 5  # a commit took that long
    assert timers.rest(LONG) == timedelta(0), "the next turn follows at once"
    timers.fire_now_and_then(rested=False)
    assert moment.timers == []
    assert timers.rest(LONG) == LONG


def test_a_timer_of_a_run_that_can_not_be_read_lets_the_pump_rest(make: Callable[[Moment], Timers]) -> None:
    moment = Moment(due_at=0, error=CorruptHistory("unreadable", thread="a", revision=1))
    timers = make(moment)
    timers.fire_now_and_then(rested=True)
    assert timers.rest(LONG) == timedelta(seconds=BUSY_LOOK), "not zero: it would turn, and turn, and do nothing"
    looks = moment.looks
    moment.time += SECOND // 100
    timers.fire_now_and_then(rested=False)
    assert moment.looks == looks
    moment.time += SECOND
    timers.fire_now_and_then(rested=False)
    assert moment.looks > looks, "it may be readable by now"
