"""Taskiq: jobs in Redis."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from taskiq.receiver import Receiver
from taskiq_redis import ListQueueBroker

from benchmarks.peers.loops import Loop
from benchmarks.peers.protocol import Peer, left


class TaskiqPeer(Peer):
    package = "taskiq"
    how = "ListQueueBroker, 100 tasks at once, prefetch 100, parameters not validated, no results"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.loop = Loop()
        self.broker = ListQueueBroker(settings["redis"], queue_name="bench")

        @self.broker.task(task_name="job")
        async def job(number: int) -> None:
            left()

        self.job = job

    def enqueue(self, count: int) -> None:
        async def some() -> None:
            for number in range(count):
                await self.job.kiq(number)

        self.loop.wait(some())

    def start_one(self) -> float:
        async def one() -> float:
            await self.job.kiq(1)
            return time.monotonic()

        return float(self.loop.wait(one()))

    def work(self) -> None:
        async def listen() -> None:
            self.broker.is_worker_process = True
            receiver = Receiver(self.broker, validate_params=False, max_async_tasks=100, max_prefetch=100)
            await receiver.listen(asyncio.Event())

        self.loop.begin(listen())


PEER = TaskiqPeer
