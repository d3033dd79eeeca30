"""What a process that begins waits for, and what it does not."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from squidmesh import AccessRefused, BackendUnavailable, SquidMeshError, WrongPlane
from squidmesh.cli.arriving import Arrived, Refused, arrive

AWAY = BackendUnavailable("away")


class Door:
    """Raises each of these, and opens then."""

    def __init__(self, *errors: SquidMeshError) -> None:
        self._errors = list(errors)
        self.waited: list[BaseException] = []
        self._events: SimpleQueue[Arrived[str] | Refused] = SimpleQueue()

    def open(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "in"

    def arrive(self, *, once: bool = False) -> Arrived[str] | Refused:
        arrive(self.open, self._events.put, waits=self.waited.append, once=once)
        return self._events.get(timeout=10)


def test_a_store_that_is_away_is_waited_for_and_that_is_told_once():
    door = Door(AWAY, AWAY, AWAY)
    assert door.arrive() == Arrived("in")
    assert door.waited == [AWAY]


@pytest.mark.parametrize("error", [AccessRefused("no entry"), WrongPlane("elsewhere")])
def test_what_no_waiting_mends_is_refused_at_once_and_also_after_a_wait(error: SquidMeshError):
    door = Door(error)
    assert door.arrive() == Refused(error)
    assert door.waited == []
    later = Door(AWAY, error)
    assert later.arrive() == Refused(error)


def test_who_only_asks_once_does_not_wait():
    door = Door(AWAY)
    assert door.arrive(once=True) == Refused(AWAY)
    assert door.waited == []
