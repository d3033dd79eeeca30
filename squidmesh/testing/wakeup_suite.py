"""What every wake-up promises. A backend's tests subclass this and provide the fixture ``backend``."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from datetime import timedelta

import pytest

from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import Wakeup

AGES = timedelta(minutes=10)
"""Longer than any test may take: who waits that long was not woken."""


def waiting(wakeup: Wakeup) -> threading.Thread:
    """A thread that waits for ages."""
    thread = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
    thread.start()
    return thread


class WakeupSuite:
    """Provide ``backend``: a new one, ready for use. Nothing here depends on how long anything takes."""

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("a backend's tests provide the fixture `backend`")

    def test_a_wait_ends_with_its_timeout(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        begin = time.monotonic()
        wakeup.wait(timedelta(milliseconds=20))
        wakeup.wait(timedelta(0))
        assert time.monotonic() - begin >= 0.02
        wakeup.close()

    def test_a_poke_ends_the_present_or_the_next_wait(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        for _ in range(3):
            thread = waiting(wakeup)
            wakeup.poke()
            thread.join()

    def test_a_poke_ends_one_wait_only(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        wakeup.poke()
        wakeup.wait(AGES)
        begin = time.monotonic()
        wakeup.wait(timedelta(milliseconds=20))
        assert time.monotonic() - begin >= 0.02

    def test_a_poke_wakes_every_sleeper_of_the_backend(self, backend: Backend) -> None:
        sleepers = [backend.wakeup() for _ in range(3)]
        threads = [waiting(wakeup) for wakeup in sleepers]
        sleepers[0].poke()
        for thread in threads:
            thread.join()

    def test_a_close_ends_the_wait(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        thread = waiting(wakeup)
        wakeup.close()
        thread.join()

    def test_who_waits_on_a_closed_one_sleeps_as_long_as_it_said(self, backend: Backend) -> None:
        """A worker that was forgotten must not spin."""
        wakeup = backend.wakeup()
        wakeup.close()
        wakeup.wait(AGES)  # ended by the close itself
        for _ in range(3):
            begin = time.monotonic()
            wakeup.wait(timedelta(milliseconds=20))
            assert time.monotonic() - begin >= 0.02

    def test_a_closed_one_can_still_be_poked(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        wakeup.close()
        wakeup.wait(AGES)
        wakeup.poke()
        wakeup.wait(AGES)
        wakeup.close()

    def test_a_closed_one_is_let_go(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        gone = weakref.ref(wakeup)
        wakeup.close()
        del wakeup
        gc.collect()
        assert gone() is None

    def test_a_wait_may_be_as_long_as_time(self, backend: Backend) -> None:
        wakeup = backend.wakeup()
        wakeup.poke()
        wakeup.wait(timedelta.max)
