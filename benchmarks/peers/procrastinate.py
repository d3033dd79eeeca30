"""Procrastinate: jobs in PostgreSQL."""

from __future__ import annotations

import time
from typing import Any

import procrastinate
import psycopg

from benchmarks.peers.loops import Loop
from benchmarks.peers.protocol import Peer, left


class ProcrastinatePeer(Peer):
    package = "procrastinate"
    how = "10 jobs at once; batch_defer, 500 a call"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.loop = Loop()
        self.app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=settings["postgres"]))

        @self.app.task(name="job")
        async def job(number: int) -> None:
            left()

        self.job = job

        async def open_it() -> None:
            await self.app.open_async()

        self.loop.wait(open_it())

    def prepare(self) -> None:
        self.loop.wait(self.app.schema_manager.apply_schema_async())

    def enqueue(self, count: int) -> None:
        async def some() -> None:
            for begin in range(0, count, 500):
                numbers = range(begin, min(begin + 500, count))
                await self.job.batch_defer_async(*({"number": number} for number in numbers))

        self.loop.wait(some())

    def start_one(self) -> float:
        async def one() -> float:
            await self.job.defer_async(number=1)
            return time.monotonic()

        return float(self.loop.wait(one()))

    def work(self) -> None:
        self.loop.begin(self.app.run_worker_async(concurrency=10, install_signal_handlers=False))

    def ended(self) -> int:
        with psycopg.connect(self.settings["postgres"], autocommit=True) as connection:
            asked = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
            ((found,),) = connection.execute(asked).fetchall()
        return int(found)


PEER = ProcrastinatePeer
