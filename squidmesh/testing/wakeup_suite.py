"""What every wake-up promises. A backend's tests subclass this and provide the fixture ``backend``."""

from __future__ import annotations

import threading
import time
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
