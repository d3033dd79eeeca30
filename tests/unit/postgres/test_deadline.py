"""What is late on a frozen server is cut off, also where a clock is moved meanwhile."""

import socket
import time

import pytest
from squidmesh_postgres import deadline

SOON = 60.0


def test_a_late_call_is_cut_off_where_sleeping_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(seconds: float) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "sleep", fails)
    monkeypatch.setattr(deadline, "_LOOK", 0.01)
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(SOON)
        with deadline.Deadlines().guard(here, seconds=0.0):  # type: ignore[arg-type]
            assert here.recv(1) == b"", "the line was cut"
