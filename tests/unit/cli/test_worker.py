"""The exit code of a worker process says whether it left as it should."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, cast

from squidmesh.cli.systemd import Notifier
from squidmesh.cli.worker import _Process
from squidmesh.observe.standing import Standing


class Pump:
    """A mesh and its worker in one: ``clean`` is what a drain comes to, ``dies`` ends it at once."""

    def __init__(self, *, clean: bool = True, dies: bool = False) -> None:
        self.calls: list[str] = []
        self.queues = ("default",)
        self._clean = clean
        self._ended = threading.Event()
        if dies:
            self._ended.set()

    def start(self) -> None:
        self.calls.append("start")
        if not self._ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def signs(self) -> None:
        raise AssertionError("nobody asks")

    def wait_turned(self) -> bool:
        return not self._ended.is_set()

    def join(self) -> None:
        self._ended.wait(10)

    def drain(self) -> bool:
        self.calls.append("drain")
        self._ended.set()
        return self._clean

    def close(self) -> None:
        self.calls.append("close")


class Heard:
    """Nobody listens."""

    url = None

    @property
    def health(self) -> Heard:
        return self

    @property
    def counts(self) -> Heard:
        return self

    def leave(self) -> None: ...

    def know(self, queues: tuple[str, ...]) -> None: ...


def run(pump: Pump) -> int:
    host = cast(Any, pump)
    heard = cast(Any, Heard())
    return _Process(host, lambda: host, Standing(), heard, Notifier(), frozenset()).run(None)


def test_a_clean_drain_is_a_success():
    pump = Pump()

    assert run(pump) == 0
    assert pump.calls == ["start", "drain", "close"]


def test_a_drain_that_could_not_be_recorded_is_a_failure():
    assert run(Pump(clean=False)) == 1


def test_a_pump_that_dies_is_a_failure_without_a_drain():
    pump = Pump(dies=True)

    assert run(pump) == 1
    assert pump.calls == ["start", "close"]
