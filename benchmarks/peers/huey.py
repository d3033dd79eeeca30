"""Huey: jobs in Redis."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey

from benchmarks.peers.protocol import Peer, left


class HueyPeer(Peer):
    package = "huey"
    how = "1 worker thread, which blocks on Redis; results off"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.huey = RedisHuey("bench", url=settings["redis"], results=False, blocking=True)

        @self.huey.task()
        def job(number: int) -> None:
            left()

        self.job = job

    def enqueue(self, count: int) -> None:
        for number in range(count):
            self.job(number)

    def work(self) -> None:
        consumer = self.huey.create_consumer(workers=1, worker_type="thread", periodic=False)
        consumer.start()


PEER = HueyPeer
