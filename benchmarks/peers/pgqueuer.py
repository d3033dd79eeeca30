"""PgQueuer: jobs in PostgreSQL."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import asyncpg
import psycopg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver

from benchmarks.peers.loops import Loop
from benchmarks.peers.protocol import Peer, left


class PgQueuerPeer(Peer):
    package = "pgqueuer"
    how = "asyncpg and uvloop, batches of 100; enqueue, 500 a call"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.loop = Loop(uvloop.new_event_loop)

    async def _driver(self) -> AsyncpgDriver:
        return AsyncpgDriver(await asyncpg.connect(self.settings["postgres"]))

    async def _queries(self) -> Queries:
        if not hasattr(self, "starting"):
            self.starting = Queries(await self._driver())
        return self.starting

    def prepare(self) -> None:
        async def install() -> None:
            await (await self._queries()).install()

        self.loop.wait(install())

    def enqueue(self, count: int) -> None:
        async def some() -> None:
            queries = await self._queries()
            for begin in range(0, count, 500):
                payloads: list[bytes | None] = [b"%d" % number for number in range(begin, min(begin + 500, count))]
                await queries.enqueue(["job"] * len(payloads), payloads, [0] * len(payloads))

        self.loop.wait(some())

    def start_one(self) -> float:
        async def one() -> float:
            await (await self._queries()).enqueue("job", b"1")
            return time.monotonic()

        return float(self.loop.wait(one()))

    def work(self) -> None:
        async def run() -> None:
            pgq = PgQueuer(await self._driver())

            @pgq.entrypoint("job")
            async def job(_: Any) -> None:
                left()

            await pgq.run(batch_size=100, dequeue_timeout=timedelta(seconds=30))

        self.loop.begin(run())

    def ended(self) -> int:
        """Those that ended are gone from the queue, and stand in the log."""
        with psycopg.connect(self.settings["postgres"], autocommit=True) as connection:
            asked = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
            ((found,),) = connection.execute(asked).fetchall()
        return int(found)


PEER = PgQueuerPeer
