"""arq: jobs in Redis."""

from __future__ import annotations

import time
from typing import Any

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.peers.loops import Loop
from benchmarks.peers.protocol import Peer, left


async def job(context: Any, number: int) -> None:
    left()


class Arq(Peer):
    package = "arq"
    how = "100 jobs at once, polling every 10 ms, keep_result 0, uvloop"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.loop = Loop(uvloop.new_event_loop)
        self.redis = RedisSettings.from_dsn(settings["redis"])

    async def _starter(self) -> Any:
        if not hasattr(self, "starting"):
            self.starting = await create_pool(self.redis)
        return self.starting

    def enqueue(self, count: int) -> None:
        async def some() -> None:
            pool = await self._starter()
            for number in range(count):
                await pool.enqueue_job("job", number)

        self.loop.wait(some())

    def start_one(self) -> float:
        async def one() -> float:
            await (await self._starter()).enqueue_job("job", 1)
            return time.monotonic()

        return float(self.loop.wait(one()))

    def work(self) -> None:
        async def run() -> None:
            settings: Any = {"redis_settings": self.redis, "max_jobs": 100, "poll_delay": 0.01, "keep_result": 0}
            await Worker([func(job, name="job")], handle_signals=False, **settings).async_run()

        self.loop.begin(run())


PEER = Arq
