"""An answer that is kept for a while, and is waited for with patience that ends."""

import threading
from itertools import count

import pytest

from squidmesh.observe.remembered import Remembered

WAIT = 20.0


def test_it_is_asked_once_for_as_long_as_its_answer_is_good():
    look = Remembered(count(1).__next__, keep=WAIT)
    assert [look(), look(), look()] == [1, 1, 1]


def test_an_error_is_an_answer_too():
    asked = []

    def fails() -> int:
        asked.append(1)
        raise ValueError("away")

    look = Remembered(fails, keep=WAIT)
    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            look()
    assert asked == [1]


def test_whoever_waits_gives_up_and_nobody_asks_beside_one_that_hangs():
    gate, asked = threading.Event(), []

    def hangs() -> str:
        asked.append(1)
        assert gate.wait(WAIT)
        return "back"

    look = Remembered(hangs, keep=0.0, patience=0.05)
    for _ in range(3):
        with pytest.raises(TimeoutError, match=r"no answer for 0\.05 s"):
            look()
    assert asked == [1]
    patient = Remembered(look._ask, keep=WAIT, patience=WAIT)
    gate.set()
    assert patient() == "back"
