"""The command line as a shell starts it: real processes, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from squidmesh import Mesh, Run

APP = '''
import os
from pathlib import Path
from threading import Event

from pydantic import BaseModel
from squidmesh import Mesh, Workflow, manual, step

HERE = Path(__file__).parent


class Nothing(BaseModel):
    pass


def hold() -> dict[str, int]:
    """Runs until a file says that it may end."""
    (HERE / "holding").write_text(str(os.getpid()))
    while not (HERE / "may_end").exists():
        Event().wait(0.01)
    return {"ended_in": os.getpid()}


class Held(Workflow):
    version = "1"
    begin = manual(Nothing)
    hold = step(hold)


mesh = Mesh.connect("sqlite:///" + str(HERE / "held.db"), workflows=[Held], lease=60)
'''
PATIENCE = 60.0


class Shell:
    """Starts ``squidmesh`` in a folder that holds an app; ends what a test leaves behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'held.db'}"
        self._processes: list[subprocess.Popen[str]] = []
        (folder / "held_app.py").write_text(APP)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "squidmesh", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def start(self) -> str:
        """A run that holds the worker which takes it; its id."""
        done = self.run("--app", "held_app:mesh", "start", "Held", "--json")
        assert done.returncode == 0, done.stderr
        run_id: str = json.loads(done.stdout)["run_id"]
        return run_id

    def worker(self, *arguments: str) -> Spoken:
        process = subprocess.Popen(
            [sys.executable, "-m", "squidmesh", "worker", "--app", "held_app:mesh", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return Spoken(process)

    def is_holding(self) -> bool:
        return (self.folder / "holding").exists()

    def let_go(self) -> None:
        (self.folder / "may_end").touch()

    def inspect(self, run_id: str) -> Run:
        with Mesh.connect(self.url) as mesh:
            return mesh.inspect_run(run_id, history=True)

    def close(self) -> None:
        self.let_go()
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


class Spoken:
    """A worker that is understood by what it says on stderr. Its children say it there too."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        self._stderr: IO[str] = process.stderr
        self.said = ""

    def hear(self, event: str, *, times: int = 1) -> list[int]:
        """Waits until the event was told that often, from now on; the process ids that it was told of."""
        pids: list[int] = []
        while len(pids) < times:
            line = self._stderr.readline()
            assert line, f"the worker ended without {event}: {self.said}"
            self.said += line
            if f" {event} " in line:
                found = re.search(r"pid=(\d+)", line)
                pids.append(int(found[1]) if found else 0)
        return pids

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """The exit code, once this process and all that it started have closed their stderr."""
        _, rest = self.process.communicate(timeout=PATIENCE)
        self.said += rest
        return self.process.returncode


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def until(holds: Callable[[], bool]) -> None:
    """Looks again and again, but not for ever."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        pause.wait(0.02)


def kinds(run: Run) -> list[str]:
    return [event.kind for event in run.history or ()]


# ------------------------------------------------------------------------------------------------ one process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_leave_lets_its_steps_end(shell, number):
    run_id = shell.start()
    worker = shell.worker()
    until(shell.is_holding)

    worker.tell(number)
    worker.hear("worker_drains")
    shell.let_go()

    assert worker.end() == 0
    run = shell.inspect(run_id)
    assert run.status == "completed"
    assert run.output == {"ended_in": worker.process.pid}


def test_what_does_not_end_within_the_grace_is_given_back_unspent(shell):
    run_id = shell.start()
    worker = shell.worker("--grace", "0.2", "--json")
    until(shell.is_holding)

    worker.tell(signal.SIGTERM)

    stdout, _ = worker.process.communicate(timeout=PATIENCE)
    assert (worker.process.returncode, json.loads(stdout)) == (0, {"drained": True})
    run = shell.inspect(run_id)
    (attempt,) = run.attempts
    assert (attempt.attempt, attempt.status, attempt.lost) == (1, "scheduled", 0)
    assert kinds(run)[-1] == "ClaimReleased"


def test_what_was_given_back_goes_on_elsewhere_at_once(shell):
    run_id = shell.start()
    first = shell.worker("--grace", "0")
    until(shell.is_holding)
    first.tell(signal.SIGTERM)
    assert first.end() == 0

    shell.let_go()
    second = shell.worker()
    until(lambda: shell.inspect(run_id).ended)
    second.tell(signal.SIGTERM)

    assert second.end() == 0
    assert shell.inspect(run_id).output == {"ended_in": second.process.pid}


def test_the_second_signal_leaves_at_once_and_gives_nothing_back(shell):
    run_id = shell.start()
    worker = shell.worker()
    until(shell.is_holding)

    worker.tell(signal.SIGTERM)
    worker.hear("worker_drains")
    worker.tell(signal.SIGINT)

    assert worker.end() == 128 + signal.SIGINT
    (attempt,) = shell.inspect(run_id).attempts
    assert attempt.status == "claimed"


def test_a_worker_takes_only_from_the_queues_that_it_was_given(shell):
    shell.start()
    worker = shell.worker("--queue", "other", "--queue", "another")
    worker.hear("worker_started")

    worker.tell(signal.SIGTERM)

    assert worker.end() == 0
    assert not shell.is_holding()


# --------------------------------------------------------------------------------------------- several processes


def test_a_fleet_passes_the_signal_on_and_ends_with_its_children(shell):
    run_id = shell.start()
    fleet = shell.worker("--processes", "2")
    pids = fleet.hear("worker_started", times=2)
    until(shell.is_holding)

    fleet.tell(signal.SIGTERM)
    assert set(fleet.hear("worker_drains", times=2)) == set(pids)
    shell.let_go()

    assert fleet.end() == 0
    run = shell.inspect(run_id)
    assert run.status == "completed"
    assert run.output is not None and run.output["ended_in"] in pids


def test_a_child_that_dies_is_replaced(shell):
    fleet = shell.worker("--processes", "2")
    first, second = fleet.hear("worker_started", times=2)

    os.kill(first, signal.SIGKILL)

    assert fleet.hear("process_died") == [first]
    (third,) = fleet.hear("worker_started")
    assert third not in (first, second)
    assert "code=-9" in fleet.said
    fleet.tell(signal.SIGTERM)
    assert fleet.end() == 0


def test_children_drain_when_their_parent_is_killed(shell):
    run_id = shell.start()
    fleet = shell.worker("--processes", "2")
    fleet.hear("worker_started", times=2)
    until(shell.is_holding)

    fleet.tell(signal.SIGKILL)
    fleet.hear("worker_drains", times=2)
    shell.let_go()

    assert fleet.end() == -signal.SIGKILL
    assert fleet.said.count('because="the parent is gone"') == 2
    assert fleet.said.count("worker_ended") == 2
    assert shell.inspect(run_id).status == "completed"


def test_the_second_signal_takes_the_children_along(shell):
    shell.start()
    fleet = shell.worker("--processes", "2")
    fleet.hear("worker_started", times=2)
    until(shell.is_holding)

    fleet.tell(signal.SIGTERM)
    fleet.hear("worker_drains", times=2)
    fleet.tell(signal.SIGTERM)

    assert fleet.end() == 128 + signal.SIGTERM
    assert "worker_aborted" in fleet.said


def test_a_fleet_that_is_told_to_leave_while_it_starts_ends_cleanly(shell):
    fleet = shell.worker("--processes", "2")
    fleet.hear("process_started", times=2)

    fleet.tell(signal.SIGINT)

    assert fleet.end() == 0


def test_a_fleet_whose_app_can_not_be_had_starts_no_child(shell):
    done = shell.run("worker", "--app", "held_app:nothing", "--processes", "3")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "squidmesh: invalid_app: --app: 'held_app' has no 'nothing'; allowed are its meshes: mesh\n"


# ------------------------------------------------------------------------------------------------- pipes


def test_a_reader_that_goes_away_is_no_error(shell):
    shell.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "squidmesh", "--url", shell.url, "runs", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait(PATIENCE) != 2
    process.stderr.close()


def test_stdout_is_one_document_even_where_the_runtime_has_something_to_say(shell):
    run_id = shell.start()

    done = shell.run("--url", shell.url, "runs", "explain", run_id, "--json")

    assert json.loads(done.stdout)["reason"] == "waiting_for_worker"
