"""SAQ: jobs in Redis."""

from __future__ import annotations

import time
from typing import Any

from saq import Queue, Worker

from benchmarks.peers.loops import Loop
from benchmarks.peers.protocol import Peer, left


async def job(context: Any, *, number: int) -> None:
    left()


class InThread(Worker):
    SIGNALS: list[Any] = []  # noqa: RUF012 (as there; this worker is not in the main thread)


class Saq(Peer):
    package = "saq"
    how = "20 jobs at once, ttl -1: no results are kept"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.loop = Loop()

    async def _queue(self) -> Queue:
        queue = Queue.from_url(self.settings["redis"], name="bench")
        await queue.connect()
        return queue

    def enqueue(self, count: int) -> None:
        async def some() -> None:
            queue = await self._queue()
            for number in range(count):
                await queue.enqueue("job", number=number, ttl=-1)

        self.loop.wait(some())

    def start_one(self) -> float:
        async def one() -> float:
            if not hasattr(self, "starting"):
                self.starting = await self._queue()
            await self.starting.enqueue("job", number=1, ttl=-1)
            return time.monotonic()

        return float(self.loop.wait(one()))

    def work(self) -> None:
        async def run() -> None:
            await InThread(await self._queue(), [("job", job)], concurrency=20).start()

        self.loop.begin(run())


PEER = Saq
