"""A worker under systemd: a socket of the test's own hears what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from squidmesh import Mesh
from tests.support.watched import Stuck

ROOT = Path(__file__).resolve().parents[2]
WAIT = 30.0


class Service:
    """One unit: its process, and what systemd hears."""

    def __init__(self, folder: Path, *options: str, url: str, watchdog: float, **environment: str) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(folder / "notify"))
        self._log = folder / "worker.log"
        told = {
            **os.environ,
            "WATCHED_URL": url,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends"), *sys.path]),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(watchdog * 1e6)),
            **environment,
        }
        command = [sys.executable, "-m", "squidmesh", "--app", "tests.support.watched:mesh", "worker", *options]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, env=told, stderr=out)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def hear(self, word: str) -> list[str]:
        """Everything up to the message that has this word in it."""
        heard: list[str] = []
        ends = time.monotonic() + WAIT
        while not any(word in message for message in heard):
            self._line.settimeout(max(0.01, ends - time.monotonic()))
            try:
                heard.append(self._line.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"never heard {word}, but {heard}: {self.log}") from None
        return heard

    def silent_for(self, seconds: float) -> bool:
        self._line.settimeout(seconds)
        try:
            return not self._line.recv(4096)
        except TimeoutError:
            return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT)
        self._line.close()


@contextmanager
def service(folder: Path, *options: str, url: str, watchdog: float = 0.4, **environment: str) -> Iterator[Service]:
    found = Service(folder, *options, url=url, watchdog=watchdog, **environment)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.mark.parametrize(
    "options", [(), pytest.param(("--processes=2",), marks=pytest.mark.all)], ids=["one", "several"]
)
def test_it_is_ready_when_it_works_and_lives_until_it_stops(tmp_path: Path, url: str, options: tuple[str, ...]) -> None:
    with service(tmp_path, *options, url=url, watchdog=1.0) as unit:
        before = unit.hear("READY=1")
        assert unit.log.count("worker_started") == (2 if options else 1)
        assert not any("WATCHDOG=1" in message for message in before), before
        for _ in range(2):
            unit.hear("WATCHDOG=1")
        unit.process.send_signal(signal.SIGTERM)
        unit.hear("STOPPING=1")
        assert unit.process.wait(WAIT) == 0, unit.log


@pytest.mark.all
def test_a_pump_that_hangs_is_given_up(tmp_path: Path, url: str) -> None:
    with Mesh.connect(url, workflows=[Stuck]) as mesh, service(tmp_path, url=url, WATCHED_HANGS="1") as unit:
        unit.hear("READY=1")
        mesh.start_run(Stuck.placed)
        ends = time.monotonic() + WAIT
        while not unit.silent_for(1.0):
            assert time.monotonic() < ends, "it goes on to say that it lives"
        assert unit.process.poll() is None
