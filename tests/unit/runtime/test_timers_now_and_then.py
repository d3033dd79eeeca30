"""When a pump asks the store for its timers: after a rest, and not after each step of its own."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from squidmesh.runtime.timers import BUSY_LOOK, Timers
from squidmesh.runtime.watch import LogObserver


class Store:
    def __init__(self) -> None:
        self.asked = 0
        self.due: int | None = None
        self.time = 0

    def next_timer(self) -> int | None:
        self.asked += 1
        return self.due

    def now(self) -> int:
        return self.time

    def due_timers(self, until: int, *, after: object, limit: int) -> list[object]:
        return []


@pytest.fixture
def world():
    found: Any = SimpleNamespace(store=Store(), at=100.0, was_set=False)
    recorder: Any = SimpleNamespace(take_timer_set=lambda: found.was_set, record=list)
    found.timers = Timers(found.store, recorder, LogObserver(), monotonic=lambda: found.at)
    found.timers.fire_now_and_then(rested=True, works=False)
    assert found.store.asked == 1
    return found


def test_a_pump_that_works_does_not_look_after_each_short_rest(world):
    for _ in range(20):
        world.timers.fire_now_and_then(rested=True, works=True)
    assert world.store.asked == 1


def test_it_owes_a_look_and_its_rest_is_short(world):
    assert world.timers.rest(timedelta(seconds=5)) == timedelta(seconds=5)
    world.timers.fire_now_and_then(rested=True, works=True)
    assert world.timers.rest(timedelta(seconds=5)) <= timedelta(seconds=1.25 * BUSY_LOOK)
    world.at += 1.25 * BUSY_LOOK
    world.timers.fire_now_and_then(rested=True, works=True)
    assert world.store.asked == 2
    assert world.timers.rest(timedelta(seconds=5)) == timedelta(seconds=5)


def test_one_that_was_woken_looks_at_once(world):
    world.timers.fire_now_and_then(rested=True, works=False)
    assert world.store.asked == 2


def test_what_is_known_to_be_due_is_looked_for(world):
    world.store.due = 10
    world.timers.fire_now_and_then(rested=True, works=False)
    world.store.time = 9
    world.timers.fire_now_and_then(rested=True, works=True)
    assert world.store.asked == 2
    world.store.due, world.store.time = None, 10
    world.timers.fire_now_and_then(rested=True, works=True)
    assert world.store.asked == 3


def test_what_was_set_here_is_looked_for(world):
    world.was_set = True
    world.timers.fire_now_and_then(rested=False, works=True)
    assert world.store.asked == 2


def test_a_look_stands_back_once_behind_a_step_that_begins_and_comes_a_moment_later(world):
    assert world.timers.fire_now_and_then(rested=True, begins=True) == []
    assert world.store.asked == 1
    moment = world.timers.rest(timedelta(seconds=5))
    assert timedelta(0) < moment <= timedelta(milliseconds=10)
    world.at += moment.total_seconds()
    world.timers.fire_now_and_then(rested=True, works=True, begins=True)
    assert world.store.asked == 2
    assert world.timers.rest(timedelta(seconds=5)) == timedelta(seconds=5)
