"""What is planned is applied in its time, looked at until it is seen, and healed whatever comes."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from chaos.faults import register
from chaos.faults.fault import Fault, NoTarget, World
from chaos.history import Fault as FaultLine
from chaos.history import read_file
from chaos.recorder import Recorder
from chaos.scenarios.injector import Injector
from chaos.scenarios.plan import Planned


class Pretended(Fault):
    """Is seen after so many looks, and finds a target after so many tries."""

    name = "pretended"
    what, expected = "nothing", "nothing"
    needs = frozenset()
    touches = frozenset({"it"})
    lasts = (1.0, 2.0)
    patience = 5.0
    told: ClassVar[list[str]] = []
    looks, tries = 1, 0

    def apply(self) -> str:
        if Pretended.tries > 0:
            Pretended.tries -= 1
            raise NoTarget("nobody is there")
        self.told.append("applied")
        self._left = self.looks
        return "it"

    def seen(self) -> str | None:
        self._left -= 1
        return "seen" if self._left <= 0 else None

    def heal(self) -> None:
        self.told.append("healed")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Pretended]]:
    monkeypatch.setitem(cast(dict[str, Any], register.FAULTS), "pretended", Pretended)
    monkeypatch.setattr(Pretended, "told", [])
    monkeypatch.setattr(Pretended, "tries", 0)
    yield Pretended


def injector(folder: Path, *times: float) -> Injector:
    plan = [
        Planned(number=n, at=at, fault="pretended", lasts=2.0, seed=f"{random.random()}")
        for n, at in enumerate(times, start=1)
    ]
    return Injector(cast(World, None), plan, Recorder(folder, process="harness"))


def lines(folder: Path) -> list[FaultLine]:
    (path,) = folder.iterdir()
    return [line for _, line in read_file(path) if isinstance(line, FaultLine)]


def test_a_fault_is_applied_in_its_time_and_healed_after_it(pretended: type[Pretended], tmp_path: Path):
    made = injector(tmp_path, 1.0)
    (one,) = made.injections
    made.turn(0.5)
    assert pretended.told == []
    made.turn(1.0)
    assert (one.state, one.evidence, pretended.told) == ("active", "seen", ["applied"])
    made.turn(2.9)
    assert pretended.told == ["applied"]
    made.turn(3.1)
    assert (made.active(), pretended.told) == ([], ["applied", "healed"])
    assert [(line.phase, line.detail) for line in lines(tmp_path)] == [("applied", ""), ("healed", "seen")]


def test_what_is_left_of_one_that_was_taken_away_still_counts(
    pretended: type[Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its line of the end is written when it is over, and no other of its kind begins before."""
    left = [True, True]
    monkeypatch.setattr(pretended, "over", lambda self: not left or not left.pop())
    made = injector(tmp_path, 1.0, 2.0)
    for now in (1.0, 3.0, 4.0):
        made.turn(now)
    assert pretended.told == ["applied", "healed"]
    assert [one.state for one in made.injections] == ["active", "waiting"]
    assert [line.phase for line in lines(tmp_path)] == ["applied"]
    made.turn(5.0)
    assert [line.phase for line in lines(tmp_path)][:2] == ["applied", "healed"]
    assert made.injections[0].state == "over"
    left[:] = [True] * 99
    for now in (6.0, 8.0, 12.9, 13.1):
        made.turn(now)
    assert made.injections[1].state == "over"  # its patience has ended
    assert pretended.told == ["applied", "healed"] * 2


def test_one_that_is_not_seen_in_time_is_healed_and_told(
    pretended: type[Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Pretended, "looks", 1000)
    made = injector(tmp_path, 0.0)
    for tenth in range(65):
        made.turn(tenth / 10)
    assert made.injections[0].state == "active", "there is patience"
    made.turn(7.1)
    assert (made.injections[0].state, made.happened()) == ("unseen", [])
    assert pretended.told == ["applied", "healed"]


def test_two_that_touch_the_same_come_one_after_the_other(pretended: type[Pretended], tmp_path: Path):
    made = injector(tmp_path, 0.0, 0.5)
    made.turn(1.0)
    assert [one.state for one in made.injections] == ["active", "waiting"]
    made.turn(3.1)
    assert [one.state for one in made.injections] == ["over", "active"]


def test_one_without_a_target_is_tried_again_and_dropped_in_the_end(pretended: type[Pretended], tmp_path: Path):
    pretended.tries = 2
    made = injector(tmp_path, 0.0)
    made.turn(0.0)
    made.turn(1.0)
    assert (made.injections[0].state, pretended.told) == ("waiting", [])
    made.turn(2.0)
    assert made.injections[0].state == "active"
    pretended.tries = 1000
    late = injector(tmp_path / "late", 0.0)
    late.turn(10.0)
    late.turn(21.0)
    assert (late.injections[0].state, late.injections[0].why) == ("dropped", "NoTarget: nobody is there")


def test_at_the_end_of_the_day_all_is_healed_and_nothing_more_begins(pretended: type[Pretended], tmp_path: Path):
    made = injector(tmp_path, 0.0, 50.0)
    made.turn(0.0)
    made.heal_all(1.0)
    assert [one.state for one in made.injections] == ["over", "dropped"]
    assert made.active() == []
