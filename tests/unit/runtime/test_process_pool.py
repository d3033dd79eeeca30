"""Steps in processes of their own: warm, used again, replaced when they die, killed when their time is up."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from squidmesh.runtime import process_pool
from squidmesh.runtime.invoke import Assignment, Completed, Died, Failed, TimedOut, Unstarted
from squidmesh.runtime.process_pool import UNABLE_PAUSE, ProcessPool
from tests.unit.runtime.rig import Notices
from tests.unit.runtime.test_quarantine import HOME, NoVerbs, Postman, assignment, gone, until


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def pool(notices: Notices) -> Iterator[ProcessPool]:
    pool = ProcessPool(notices)
    yield pool
    pool.close()


def carry(pool: ProcessPool, work: Assignment, home: str = HOME, verbs: Any = None) -> Any:
    return pool.carry(work, home, verbs or NoVerbs())


def process_of(outcome: Any) -> int:
    assert isinstance(outcome, Completed)
    found: int = outcome.output["told"]["pid"]
    return found


def test_one_process_calls_step_after_step_and_is_replaced_when_it_dies(pool: ProcessPool) -> None:
    first = process_of(carry(pool, assignment("tell")))
    assert first != os.getpid()
    failed = carry(pool, assignment("raise"))
    assert isinstance(failed, Failed) and failed.error.type == "ConnectionError"
    assert process_of(carry(pool, assignment("tell"))) == first
    died = carry(pool, assignment("segfault"))
    assert isinstance(died, Died) and died.cause == "signal 11 (SIGSEGV)"
    second = process_of(carry(pool, assignment("tell")))
    assert second != first
    os.kill(second, signal.SIGKILL)  # while it is idle
    until(lambda: not pool._idle[0].alive)
    assert process_of(carry(pool, assignment("tell"))) not in (first, second)


def test_a_step_is_killed_at_its_timeout(pool: ProcessPool, tmp_path: Path) -> None:
    process_of(carry(pool, assignment("tell")))  # the time that a process needs to start counts, too
    file = tmp_path / "pid"
    work = assignment("for ever", str(file))
    work = structs.replace(work, spec=work.spec.model_copy(update={"timeout": timedelta(seconds=2)}))
    outcome = carry(pool, work)
    assert isinstance(outcome, TimedOut)
    assert gone(int(file.read_text()))


def test_a_context_verb_works_in_each_step_of_a_process(pool: ProcessPool) -> None:
    postman = Postman()
    for _ in range(2):
        outcome = carry(pool, assignment("start a child"), verbs=postman)
        assert isinstance(outcome, Completed)
        assert outcome.output == {"told": {"child": "c0de"}}
    assert len(postman.payloads) == 2


def test_a_process_is_spent_after_many_steps_or_when_it_has_grown(notices: Notices) -> None:
    for limits, steps in (({"most_steps": 2}, 3), ({"most_resident": 1}, 2)):
        pool = ProcessPool(notices, **limits)
        seen = [process_of(carry(pool, assignment("tell"))) for _ in range(steps)]
        pool.close()
        assert len(set(seen)) == 2
        assert all(map(gone, seen))


def test_a_process_that_nobody_needs_is_ended(pool: ProcessPool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(process_of(carry(pool, assignment("tell"))))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(set(seen)) == 1:  # one was quick enough for both
        return
    monkeypatch.setattr(process_pool, "LONGEST_IDLE", 0.0)
    stays = process_of(carry(pool, assignment("tell")))
    assert len(pool._idle) == 1
    assert [gone(process) for process in seen if process != stays] == [True]


def test_a_step_that_no_process_finds_waits_and_runs_nowhere(pool: ProcessPool, notices: Notices) -> None:
    outcome = carry(pool, assignment("tell"), "tests.support.nowhere:Suspect")
    assert isinstance(outcome, Unstarted)
    assert outcome.delay == UNABLE_PAUSE
    assert notices.events == ["isolation_impossible"]


def test_a_step_waits_where_there_can_be_no_process(
    pool: ProcessPool, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(process_pool, "StepProcess", full)
    assert isinstance(carry(pool, assignment("tell")), Unstarted)
    assert notices.events == ["isolation_impossible"]


def test_a_process_ends_with_its_worker_though_it_holds_its_interpreters_lock(tmp_path: Path) -> None:
    """Elsewhere than on Linux it ends when it lets go of the lock."""
    deed = "hold the lock" if sys.platform == "linux" else "for ever"
    file = tmp_path / "pid"
    code = (
        "from tests.unit.runtime.test_quarantine import HOME, NoVerbs, assignment\n"
        "from squidmesh.runtime.step_process import StepProcess\n"
        f"StepProcess().carry(assignment({deed!r}, {str(file)!r}), HOME, NoVerbs())"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    until(lambda: file.exists() and file.read_text().isdigit())
    time.sleep(0.1)  # from its note to the lock
    worker.kill()
    worker.wait()
    until(lambda: gone(int(file.read_text())))


def test_what_tells_a_service_to_leave_does_not_end_its_steps(pool: ProcessPool, tmp_path: Path) -> None:
    """A terminal's Ctrl-C and a service manager's SIGTERM reach all processes: the worker drains, and so says when."""
    file = tmp_path / "heard"
    work = assignment("until lost", str(file))
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(carry(pool, work)))
    thread.start()
    until(lambda: file.exists() and file.read_text().isdigit())
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(int(file.read_text()), number)
    time.sleep(0.2)  # it would be dead by then
    assert file.read_text().isdigit()
    work.lost.set()
    thread.join(20)
    assert isinstance(outcomes[0], Completed)
