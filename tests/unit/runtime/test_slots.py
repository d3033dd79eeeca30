"""Slots of a worker: threads that are called one at a time, and a pump that is woken once a drain (protocol 5)."""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from squidmesh.runtime.invoke import Assignment, Completed, Failed, Outcome
from squidmesh.runtime.slots import MOMENT, WorkerSlots

WAIT = 20.0


class Carry:
    """Calls what it is given, in whatever thread that is."""

    def __init__(self) -> None:
        self.threads: set[str] = set()

    def __call__(self, assignment: Assignment) -> Outcome:
        self.threads.add(threading.current_thread().name)
        cast(Any, assignment).act()
        return Completed(assignment=assignment, output={})

    def begin(self, assignment: Assignment, ended: Callable[[Outcome], None]) -> bool:
        return False


def act(function: Callable[[], object]) -> Assignment:
    return cast(Assignment, SimpleNamespace(act=function, secrets=frozenset()))


def drained(slots: WorkerSlots, woken: threading.Semaphore, number: int) -> list[Outcome]:
    found: list[Outcome] = []
    while len(found) < number:
        assert woken.acquire(timeout=WAIT)
        found += slots.drain()
    return found


def test_steps_that_block_all_run_at_once() -> None:
    carry, woken = Carry(), threading.Semaphore(0)
    slots = WorkerSlots(8, carry=carry, wake=woken.release)
    meeting = threading.Barrier(8)
    for _ in range(8):
        slots.submit(act(lambda: meeting.wait(WAIT)))
    assert len(drained(slots, woken, 8)) == 8
    assert len(carry.threads) == 8
    slots.close()


def test_a_step_that_blocks_does_not_hold_up_what_comes_later() -> None:
    carry, woken = Carry(), threading.Semaphore(0)
    slots = WorkerSlots(2, carry=carry, wake=woken.release)
    go_on = threading.Event()
    slots.submit(act(lambda: go_on.wait(WAIT)))
    for _ in range(5):
        slots.submit(act(lambda: None))
        assert len(drained(slots, woken, 1)) == 1
    go_on.set()
    assert len(drained(slots, woken, 1)) == 1
    slots.close()


def test_many_rounds_lose_nothing_and_wake_for_each() -> None:
    carry, woken = Carry(), threading.Semaphore(0)
    slots = WorkerSlots(4, carry=carry, wake=woken.release)
    for _ in range(500):
        for _ in range(4):
            slots.submit(act(lambda: None))
        assert len(drained(slots, woken, 4)) == 4
    assert slots.drain() == []
    slots.close()


def test_what_was_submitted_together_begins_before_anything_is_drained() -> None:
    """Steps that are short have ended then, and share a commit."""
    carry, woken, begun = Carry(), threading.Semaphore(0), deque[int]()
    slots = WorkerSlots(64, carry=carry, wake=woken.release, monotonic=lambda: 0.0)
    for _ in range(20):
        for number in range(64):
            slots.submit(act(partial(begun.append, number)))
        found = slots.drain()
        assert len(cast(Any, slots)._inbox) < 2
        while len(found) < 64:
            assert woken.acquire(timeout=WAIT)
            found += slots.drain()
        assert len(begun) == 64
        begun.clear()
    slots.close()


def test_what_has_ended_waits_for_no_more_than_a_moment() -> None:
    """Of what never begins, as if all threads were kept from the interpreter's lock."""
    woken, moments = threading.Semaphore(0), count()
    slots = WorkerSlots(8, carry=Carry(), wake=woken.release, monotonic=lambda: next(moments) * MOMENT)
    cast(Any, slots)._add_thread = lambda: None
    for _ in range(8):
        slots.submit(act(lambda: None))
    assert slots.drain() == []
    assert next(moments) == 2


def test_it_wakes_once_until_it_is_drained() -> None:
    wakes = 0
    woken = threading.Semaphore(0)

    def wake() -> None:
        nonlocal wakes
        wakes += 1
        woken.release()

    slots = WorkerSlots(2, carry=Carry(), wake=wake)
    for turn in (1, 2):
        slots.submit(act(lambda: None))
        assert woken.acquire(timeout=WAIT)
        slots.submit(act(lambda: None))
        while len(slots._outbox) < 2:
            threading.Event().wait(0.001)
        assert len(slots.drain()) == 2
        assert wakes == turn, "the second is found beside the first"
    slots.close()


def test_a_step_that_ends_its_thread_has_failed_and_the_thread_goes_on() -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    woken = threading.Semaphore(0)
    slots = WorkerSlots(1, carry=Carry(), wake=woken.release)
    slots.submit(act(leave))
    (outcome,) = drained(slots, woken, 1)
    assert isinstance(outcome, Failed)
    slots.submit(act(lambda: None))
    (outcome,) = drained(slots, woken, 1)
    assert isinstance(outcome, Completed)
    slots.close()
