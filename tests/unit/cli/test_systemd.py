"""What is said to systemd, and by whom."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from squidmesh.cli.systemd import take_over, to_parent


@pytest.mark.parametrize("abstract", [False, True])
def test_words_arrive_in_one_message_and_the_environment_is_taken_over(tmp_path: Path, abstract: bool):
    name = f"@squidmesh-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + name[1:] if abstract else name)
        line.settimeout(5)
        notifier = take_over(environment)
        notifier.say("READY=1", "STATUS=two\nlines")
        assert line.recv(1000) == b"READY=1\nSTATUS=two lines"
    assert environment == {"HOME": "/"}
    assert (notifier.listens, notifier.watchdog, notifier.every) == (True, 3.0, 1.5)
    notifier.say("STOPPING=1")  # systemd is gone, and nobody is hurt


@pytest.mark.parametrize("told", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_for_somebody_else_or_none_is_none(told: dict[str, str]):
    notifier = take_over({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "3000000"} | told)
    assert (notifier.listens, notifier.watchdog) == (True, None)


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_where_nobody_listens_nothing_is_said(address: str):
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}
    notifier = take_over(environment)
    notifier.say("READY=1")
    assert (notifier.listens, notifier.watchdog, environment) == (False, None, {})


def test_a_child_tells_its_parent_a_line_a_message_and_never_waits_for_it():
    ears, mouth = os.pipe()
    notifier = to_parent(mouth, 0.5)
    notifier.say("READY=1")
    assert os.read(ears, 100) == b"READY=1\n"
    for _ in range(100_000):
        notifier.say("WATCHDOG=1")  # nobody reads
    os.close(ears)
    notifier.say("WATCHDOG=1")
    os.close(mouth)
