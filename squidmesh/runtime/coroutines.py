"""Async steps: they run straight on one background event loop, and none of them takes a thread.

The loop runs user code and nothing else. A step that blocks it holds up the other async steps; heartbeats, the pump and
all other steps have threads of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from squidmesh.runtime.context import StepVerbs
from squidmesh.runtime.invoke import Assignment, Failed, Outcome, TimedOut, failed, invoke_async
from squidmesh.runtime.seeing import Call

_LAST_WAIT = 5.0
_LAST_WORD = 1.0
"""Seconds that cancelled steps have to end by themselves when the loop is closed."""


def _unseen(assignment: Assignment) -> AbstractContextManager[Call]:
    return nullcontext(Call())


class AsyncLoop:
    """One a process, started when the first async step comes. Thread-safe. ``around``: entered by the task of each
    step, and told its outcome there.
    """

    def __init__(self, around: Callable[[Assignment], AbstractContextManager[Call]] = _unseen) -> None:
        self._around = around
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[_Answer] = set()

    def begin(self, assignment: Assignment, verbs: StepVerbs, ended: Callable[[Outcome], None]) -> None:
        """Returns at once. ``ended`` is called from the loop's thread."""
        loop = self._running()

        async def carried() -> None:
            with self._around(assignment) as call:
                call.outcome = outcome = await _carry(assignment, verbs)
            ended(outcome)

        def start() -> None:
            task = loop.create_task(carried())
            self._tasks.add(task)  # the loop itself would forget it
            task.add_done_callback(self._tasks.discard)

        if not _soon(loop, start):
            ended(failed(assignment, asyncio.CancelledError()))

    def carry(self, assignment: Assignment, verbs: StepVerbs) -> Outcome:
        """The same for who waits, in any other thread. A loop that is closed meanwhile fails the step."""
        answer = _Answer()
        with self._lock:
            self._waiting.add(answer)
        try:
            self.begin(assignment, verbs, answer.give)
            return answer.wait() or failed(assignment, asyncio.CancelledError())
        finally:
            self._waiting.discard(answer)

    def close(self) -> None:
        """Cancels what runs, and gives it a moment to end. A step that blocks the loop is left behind with it, after
        some seconds: nothing can end it.
        """
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        _soon(loop, lambda: self._wind_up(loop))
        thread.join(_LAST_WAIT)
        for answer in list(self._waiting):
            answer.give(None)

    def _wind_up(self, loop: asyncio.AbstractEventLoop) -> None:
        async def cancel_all() -> None:
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=_LAST_WORD)
            loop.stop()

        self._last = loop.create_task(cancel_all())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="squidmesh-async", daemon=True)
                self._thread.start()
            return self._loop


class _Answer:
    """What one thread waits for and another gives, once."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._outcome: Outcome | None = None

    def give(self, outcome: Outcome | None) -> None:
        if not self._given.is_set():
            self._outcome = outcome
            self._given.set()

    def wait(self) -> Outcome | None:
        self._given.wait()
        return self._outcome


async def _carry(assignment: Assignment, verbs: StepVerbs) -> Outcome:
    """The step to its outcome. It is cancelled, once, when its lease is lost or given back, or its time is up."""
    loop = asyncio.get_running_loop()
    end = _End(asyncio.current_task())
    limit = assignment.spec.timeout
    timer = None if limit is None else loop.call_later(limit.total_seconds(), end.time_is_up)
    assignment.lost.tell(partial(_soon, loop, end.cancel))
    try:
        outcome: Outcome = await invoke_async(assignment, verbs)
    except BaseException as error:  # nobody waits for a task, and one that raises an interrupt would end the loop
        outcome = failed(assignment, error)
    finally:
        end.over = True
        if timer is not None:
            timer.cancel()
    return TimedOut(assignment=assignment) if end.timed_out and isinstance(outcome, Failed) else outcome


class _End:
    """Of one task; used in the loop's thread only."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task
        self.over = False
        self.timed_out = False

    def time_is_up(self) -> None:
        self.timed_out = not self.over
        self.cancel()

    def cancel(self) -> None:
        if not self.over and self._task is not None:
            self.over = True
            self._task.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """False where the loop has been closed."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
