"""Calls of a mesh from coroutines: each in a thread of ours, none in the event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from squidmesh.config import check_integer
from squidmesh.errors import UsageError
from squidmesh.reading.inspect import Run
from squidmesh.runtime.mesh import Mesh
from squidmesh.runtime.worker import Worker

T = TypeVar("T")
_THREADS = range(1, 257)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.25


class AsyncCalls:
    """What every verb of an ``AsyncMesh`` is made of. Two pools of threads of our own: one for verbs that answer at
    once, one for those that take their time (they run a step, or walk over many runs), so that however many of these
    there are, a start does not wait for them. Waiting for a run's end holds no thread at all. The event loop's default
    executor is left to the host.
    """

    def __init__(self, mesh: Mesh, *, threads: int = 16) -> None:
        """``threads`` (1 to 256): how many verbs of each kind are carried out at once. Made when they are needed."""
        self.mesh = mesh
        """The mesh itself, for code that is not async. Closed together with this."""
        count = check_integer(threads, field="threads", allowed=_THREADS)
        self._quick = ThreadPoolExecutor(count, thread_name_prefix="squidmesh-quick")
        self._slow = ThreadPoolExecutor(count, thread_name_prefix="squidmesh-slow")
        self._closed = False

    async def wait_for(self, run_id: str, timeout: timedelta | float | None = None) -> Run:  # noqa: ASYNC109
        """The ended run, with its output. ``TimeoutError`` if it has not ended by then; the run goes on."""
        awaited = await self._call(self.mesh._await, run_id, timeout)
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop was closed over our head: whoever recorded the end goes on
                loop.call_soon_threadsafe(changed.set)

        pause = _FIRST_PAUSE
        with awaited.engine.endings.listening(awaited.run_id, tell):
            while True:
                changed.clear()
                if (ended := await self._call(awaited.look)) is not None:
                    return ended
                try:
                    async with asyncio.timeout(max(0.0, min(pause, awaited.left))):
                        await changed.wait()
                except TimeoutError:  # another process may have ended it: look more and more seldom
                    pause = min(pause * 2, _LONGEST_PAUSE)

    async def close(self) -> None:
        """Closes what was opened in this process. Workers must have ended; a verb that is under way may fail."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._alone(self.mesh.close)
        finally:
            self._quick.shutdown(wait=False)
            self._slow.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Async{repr(self.mesh).removeprefix('<')}"

    # --------------------------------------------------------------------------------------------------- inside

    async def _call(self, verb: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """For verbs that answer at once."""
        return await self._in(self._pool(self._quick), verb, *args, **kwargs)

    async def _call_slow(self, verb: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """For verbs that take their time."""
        return await self._in(self._pool(self._slow), verb, *args, **kwargs)

    async def _alone(self, work: Callable[..., T], /, *args: Any) -> T:
        """For what may not wait for any verb, and is done once: in a thread of its own, also when this is closed."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="squidmesh-once")
        try:
            return await self._in(pool, work, *args)
        finally:
            pool.shutdown(wait=False)

    def _pool(self, pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
        if self._closed:
            raise UsageError("this mesh is closed", code="mesh_closed")
        return pool

    async def _in(self, pool: ThreadPoolExecutor, verb: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        call = partial(contextvars.copy_context().run, verb, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(pool, call)


class AsyncWorker:
    """A :class:`~squidmesh.runtime.worker.Worker` as an async context manager: ``async with mesh.worker(): …`` runs
    until the block is left, then drains. Where the drain is cancelled it goes on in its thread; closing the mesh ends
    what is left of it.
    """

    def __init__(self, calls: AsyncCalls, make: Callable[[], Worker]) -> None:
        self._calls = calls
        self._make = make
        self._worker: Worker | None = None

    @property
    def running(self) -> bool:
        return self._worker is not None and self._worker.running

    @property
    def failed(self) -> BaseException | None:
        """What ended the pump, if it did not end as it should."""
        return None if self._worker is None else self._worker.failed

    async def start(self) -> AsyncWorker:
        if self._worker is not None:
            raise UsageError("a worker is started once", code="already_started")
        worker = self._worker = await self._calls._call(self._make)
        try:
            await self._calls._call(worker.start)
        except asyncio.CancelledError:
            worker.abort()  # it may have started, and nobody would end it
            raise
        return self

    async def drain(self, grace: timedelta | float | None = None) -> bool:
        """As ``Worker.drain``. True where there is nothing to drain."""
        return self._worker is None or await self._calls._alone(self._worker.drain, grace)

    def abort(self) -> None:
        """Stops at once: records nothing more, gives nothing back."""
        if self._worker is not None:
            self._worker.abort()

    async def __aenter__(self) -> AsyncWorker:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            await self._calls._alone(self._worker.__exit__, kind, error, trace)
