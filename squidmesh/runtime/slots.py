"""Where user code runs: slots take an assignment from an inbox and put its outcome into an outbox, nothing else."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from squidmesh.runtime.invoke import Assignment, Outcome, failed

Carry = Callable[[Assignment], Outcome]


class Slots(Protocol):
    capacity: int

    def submit(self, assignment: Assignment) -> None:
        """Called by the pump only, never beyond the capacity."""
        ...

    def drain(self) -> list[Outcome]:
        """What has ended since the last call."""
        ...

    def close(self) -> None:
        """Takes nothing more. Does not wait for user code."""
        ...


_LAST_WAIT = 5.0


class AsyncLoop:
    """One background event loop for ``async def`` steps, started when the first one comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._running: set[Future[_Ended]] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs it on the loop and returns its result, from any other thread. What it raises is raised here."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="squidmesh-async", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(_contained(coroutine), self._loop)
            self._running.add(future)
        try:
            ended = future.result()
        finally:
            self._running.discard(future)
        if ended.error is not None:
            raise ended.error
        return ended.result

    def close(self) -> None:
        """Cancels what runs; whoever waits for it gets a ``CancelledError``. A step that blocks the loop is left behind
        with it, after some seconds: nothing can end it.
        """
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            running = list(self._running)
        if loop is None or thread is None:
            return
        for future in running:
            future.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_LAST_WAIT)
        if not thread.is_alive():
            loop.close()


@dataclass(frozen=True, slots=True)
class _Ended:
    result: Any = None
    error: BaseException | None = None


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> _Ended:
    """A ``SystemExit`` that leaves a task would end the loop, and with it every other step on it."""
    try:
        return _Ended(result=await coroutine)
    except BaseException as error:
        return _Ended(error=error)


class InlineSlots:
    """One slot in the caller's own thread: ``submit`` returns when the step has ended."""

    capacity = 1

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._outbox: list[Outcome] = []

    def submit(self, assignment: Assignment) -> None:
        self._outbox.append(self._carry(assignment))

    def drain(self) -> list[Outcome]:
        ended, self._outbox = self._outbox, []
        return ended

    def close(self) -> None:
        pass


class ThreadSlots:
    """``capacity`` threads. ``carry`` brings an assignment to its outcome, in one of them; ``wake`` is called after
    each. The threads are daemons: a step that never returns does not keep a process alive that was told to leave.
    """

    def __init__(self, capacity: int, *, carry: Carry, wake: Callable[[], None]) -> None:
        self.capacity = capacity
        self._carry = carry
        self._wake = wake
        self._inbox: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
        self._outbox: deque[Outcome] = deque()
        self._threads = [
            threading.Thread(target=self._serve, name=f"squidmesh-slot-{n}", daemon=True) for n in range(capacity)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, assignment: Assignment) -> None:
        self._inbox.put(assignment)

    def drain(self) -> list[Outcome]:
        return [self._outbox.popleft() for _ in range(len(self._outbox))]

    def close(self) -> None:
        for _ in self._threads:
            self._inbox.put(None)

    def _serve(self) -> None:
        while (assignment := self._inbox.get()) is not None:
            try:
                outcome = self._carry(assignment)
            except BaseException as error:  # nobody waits for this thread: whatever it was, it is the step's failure
                outcome = failed(assignment, error)
            self._outbox.append(outcome)
            self._wake()
