"""Worker processes are seen by others: at work, while they drain, when they have left, and when they were killed. And
``squidmesh top`` on a terminal.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import squidmesh_sqlite

from squidmesh import Mesh, __version__
from squidmesh.clock import Instant, micros
from squidmesh.reading.workers import LOST_AFTER, workers_seen
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.register import everyone
from tests.integration.test_observed_worker import ROOT, WAIT, until
from tests.support.watched import Order, Shop


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "squidmesh", *arguments]


def environment(url: str, **more: str) -> dict[str, str]:
    return {**os.environ, "WATCHED_URL": url, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **more}


@contextmanager
def working(url: str) -> Iterator[subprocess.Popen[bytes]]:
    said = command("--app", "tests.support.watched:mesh", "worker", "--concurrency=2", "--grace=20")
    process = subprocess.Popen(said, env=environment(url), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)


def states(mesh: Mesh) -> list[tuple[int, str]]:
    return [(one.pid, one.state) for one in mesh.workers().workers]


def is_charging(mesh: Mesh, run_id: str) -> bool:
    """A run stands at a step before anybody has claimed it."""
    attempts = mesh.inspect_run(run_id).attempts
    return any(one.step == "charge" and one.status == "claimed" for one in attempts)


class Later:
    """The clock of a host whose time is two minutes on."""

    def now(self) -> Instant:
        return Instant(SystemClock().now() + micros(LOST_AFTER))


def states_later(url: str) -> list[tuple[int, str]]:
    with closing(squidmesh_sqlite.backend(url, clock=Later())) as opened:
        store = opened.journal()
        return [(one.pid, one.state) for one in workers_seen(everyone(store), store.now()).workers]


def test_a_worker_is_seen_at_work_while_it_drains_and_is_gone_when_it_has_left(url: str) -> None:
    with Mesh.connect(url, workflows=[Shop]) as mesh, working(url) as process:
        until(lambda: states(mesh), "it is registered")
        (one,) = mesh.workers().workers
        assert (one.pid, one.slots, one.version, set(one.queues)) == (process.pid, 2, __version__, {"default", "till"})
        runs = mesh.start_runs(Shop.placed, [Order(number=4)] * 4)
        until(lambda: any(is_charging(mesh, run.run_id) for run in runs), "a slow step runs")
        process.send_signal(signal.SIGTERM)
        until(lambda: states(mesh) == [(process.pid, "draining")], "it is seen to drain")
        assert process.wait(WAIT) == 0
        assert states(mesh) == []
        assert len(runs) == 4


def test_a_worker_that_was_killed_is_lost(url: str) -> None:
    with Mesh.connect(url, workflows=[Shop]) as mesh, working(url) as process:
        until(lambda: states(mesh), "it is registered")
        process.kill()
        process.wait(WAIT)
        assert states(mesh) == [(process.pid, "idle")], "nobody knows yet"
        assert states_later(url) == [(process.pid, "lost")]


# ------------------------------------------------------------------------------------------------------------- top


class Screen:
    """A terminal, and what was written to it."""

    def __init__(self, url: str, term: str, *options: str) -> None:
        self._end, theirs = pty.openpty()
        said = command("--url", url, "top", *options)
        told = environment(url, TERM=term, COLUMNS="120", LINES="24")
        self.process = subprocess.Popen(
            said, env=told, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.written = b""

    def read(self) -> str:
        """All so far."""
        while select.select([self._end], [], [], 0.02)[0]:
            try:
                some = os.read(self._end, 65536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            self.written += some
        return self.written.decode(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT)
        os.close(self._end)


@contextmanager
def screen(url: str, term: str, *options: str) -> Iterator[Screen]:
    opened = Screen(url, term, *options)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def stocked(url: str) -> str:
    with Mesh.connect(url, workflows=[Shop]) as mesh:
        mesh.start_runs(Shop.placed, [Order()] * 3)
    return url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_draws_again_and_again_and_leaves_the_terminal_as_it_was(stocked: str, number: signal.Signals) -> None:
    with screen(stocked, "xterm-256color", "--every=0.1") as shown:
        until(lambda: shown.read().count("squidmesh top") >= 3, "three frames")
        assert "3\xa0running" in shown.read()
        shown.process.send_signal(number)
        assert shown.process.wait(WAIT) == 0
        text = shown.read()
        assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1, "the other screen is entered, and left"
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "there is a cursor again"
        assert "Traceback" not in text


def test_on_a_dumb_terminal_a_frame_stands_under_the_other(stocked: str) -> None:
    with screen(stocked, "dumb", "--every=0.1") as shown:
        until(lambda: shown.read().count("squidmesh top") >= 2, "two frames")
        shown.process.send_signal(signal.SIGINT)
        assert shown.process.wait(WAIT) == 0
        assert not re.search(r"\x1b\[\?|\x1b\[\d*[A-HJK]", shown.read()), "nothing moves the cursor"


def test_a_store_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    began = time.monotonic()
    told = subprocess.run(
        command("--url", f"sqlite:///{tmp_path}/nowhere/journal.db", "top"),
        env=environment(""),
        capture_output=True,
        timeout=WAIT,
        check=False,
    )
    assert time.monotonic() - began < WAIT
    assert told.returncode != 0
    assert told.stdout == b""
    assert told.stderr.count(b"\n") == 1
