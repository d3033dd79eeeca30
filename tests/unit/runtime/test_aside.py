"""Runs that a pump leaves alone while somebody holds their thread locked."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from squidmesh.runtime import aside, chance

LONG = timedelta(seconds=60)


@dataclass
class Of:
    """As much of an outcome as is looked at."""

    run_id: str

    @property
    def assignment(self) -> "Of":
        return self


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr(chance, "jitter", lambda: 0.5)
    return Time()


def part(runs: aside.Aside, *names: str) -> tuple[list[str], list[str]]:
    outcomes: list[Any] = [Of(name) for name in names]
    stay, now = runs.part(outcomes)
    return [of.assignment.run_id for of in stay], [of.assignment.run_id for of in now]


def test_a_run_is_left_alone_for_a_pause_and_the_others_go_on(time: Time) -> None:
    runs = aside.Aside(time)
    assert runs.put("a")
    assert part(runs, "a", "b", "a") == (["a", "a"], ["b"])
    assert runs.rest(LONG) == timedelta(seconds=0.5)
    time.now += 0.5
    assert part(runs, "a", "b") == ([], ["a", "b"])


def test_pauses_grow_to_a_limit_and_only_the_first_is_news(time: Time) -> None:
    runs = aside.Aside(time)
    pauses = []
    for turn in range(7):
        assert runs.put("a") is (turn == 0)
        assert not runs.put("a"), "the run's second outcome of the same turn"
        pauses.append(runs.rest(LONG).total_seconds())
        time.now += pauses[-1]
        assert part(runs, "a") == ([], ["a"])
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_run_with_nothing_left_to_record_is_forgotten(time: Time) -> None:
    runs = aside.Aside(time)
    runs.put("a")
    assert part(runs, "b") == ([], ["b"])
    assert runs.rest(LONG) == LONG
    assert runs.put("a"), "news again"


def test_at_the_end_everything_is_tried(time: Time) -> None:
    runs = aside.Aside(time)
    runs.put("a")
    runs.clear()
    assert part(runs, "a") == ([], ["a"])
