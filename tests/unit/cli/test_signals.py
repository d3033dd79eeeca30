"""The main thread sleeps until something happens, and misses nothing of it."""

from __future__ import annotations

import os
import signal
import threading
from queue import Empty

import pytest

from squidmesh.cli.signals import Events, Signalled, in_background, watch_lifeline


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_an_event(number):
    with Events[str]() as events:
        os.kill(os.getpid(), number)

        event = events.get(10)

    assert event == Signalled(number)
    assert Signalled(number).exit_code == 128 + number


def test_a_signal_wakes_a_sleeper():
    with Events[str]() as events:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()

        assert events.get(10) == Signalled(signal.SIGTERM)
        timer.join()


def test_another_thread_wakes_a_sleeper():
    with Events[str]() as events:
        timer = threading.Timer(0.05, events.put, ("hello",))
        timer.start()

        assert events.get(10) == "hello"
        timer.join()


def test_events_come_in_order_and_none_is_lost():
    with Events[int]() as events:
        for number in range(100_000):
            events.put(number)

        assert [events.get(0) for _ in range(100_000)] == list(range(100_000))


def test_nothing_comes_of_nothing():
    with Events[str]() as events, pytest.raises(Empty):
        while True:
            events.get(0)


def test_the_former_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)

    with Events[str]() as events:
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
    events.put("too late, and no error")


def test_a_lifeline_tells_when_the_last_holder_is_gone():
    lifeline, held = os.pipe()
    gone = threading.Event()

    watch_lifeline(lifeline, gone.set)
    assert not gone.wait(0.05)
    os.close(held)

    assert gone.wait(10)
    os.close(lifeline)


def test_work_in_the_background_does_not_keep_a_process_alive():
    thread = in_background(lambda: None)

    assert thread.daemon
    thread.join(10)
