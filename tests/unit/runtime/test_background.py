"""A thread for whose end several others wait."""

import os
import threading
from datetime import timedelta

import pytest

from squidmesh import Mesh
from squidmesh.runtime.background import Background

WAITERS = 8
SOON = 60.0


def held(leave: threading.Event) -> None:
    assert leave.wait(SOON)


def test_several_wait_for_its_end_and_never_two_ask_python_at_once(monkeypatch):
    leave = threading.Event()
    within: list[None] = []
    most: list[int] = []
    one = Background(lambda: held(leave), name="one")
    real = one._thread.join

    def join(timeout=None):
        within.append(None)
        most.append(len(within))
        assert leave.is_set(), "asked before its end"
        real(timeout)
        within.pop()

    monkeypatch.setattr(one._thread, "join", join)
    waiters = [threading.Thread(target=one.join, args=[SOON]) for _ in range(WAITERS)]
    for waiter in waiters:
        waiter.start()
    one.join(0.01)
    assert one.alive
    leave.set()
    for waiter in waiters:
        waiter.join(SOON)
        assert not waiter.is_alive()
    assert (len(most), set(most), one.alive) == (WAITERS, {1}, False)


def test_it_can_not_wait_for_itself():
    known = threading.Event()
    found: list[str] = []

    def act() -> None:
        held(known)
        with pytest.raises(RuntimeError, match="cannot join"):
            one.join()
        found.append("told")

    one = Background(act, name="one")
    known.set()
    one.join(SOON)
    assert found == ["told"]


def test_a_child_of_a_fork_has_none(monkeypatch):
    leave = threading.Event()
    one = Background(lambda: held(leave), name="one")
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    assert not one.alive
    one.join()  # returns at once
    monkeypatch.undo()
    leave.set()
    one.join(SOON)


def test_a_worker_is_waited_for_while_it_drains():
    with Mesh.connect("memory://") as mesh:
        worker = mesh.worker().start()
        ends = [threading.Thread(target=worker.join) for _ in range(WAITERS)]
        for end in ends:
            end.start()
        assert worker.drain(timedelta(seconds=5))
        for end in ends:
            end.join(SOON)
            assert not end.is_alive()
