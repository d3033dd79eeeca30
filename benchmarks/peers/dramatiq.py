"""Dramatiq: jobs in Redis."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.protocol import Peer, left


class DramatiqPeer(Peer):
    package = "dramatiq"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.threads = settings.get("slots", 8)
        self.how = f"{self.threads} worker threads, as it comes; no result backend"
        dramatiq.set_broker(RedisBroker(url=settings["redis"]))

        @dramatiq.actor
        def job(number: int) -> None:
            left()

        self.job = job

    def enqueue(self, count: int) -> None:
        for number in range(count):
            self.job.send(number)

    def work(self) -> None:
        dramatiq.Worker(dramatiq.get_broker(), worker_threads=self.threads).start()


PEER = DramatiqPeer
