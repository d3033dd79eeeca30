"""RQ: jobs in Redis. The variant ``simple`` runs them in the worker's own process, the other forks for each job."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from benchmarks.peers.protocol import Peer, left


def job(number: int) -> None:
    left()


class Rq(Peer):
    package = "rq"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.simple = settings.get("variant") == "simple"
        self.how = "SimpleWorker" if self.simple else "Worker, which forks for each job"
        self.how += "; result_ttl 0; enqueue_many, 500 a call"

    @cached_property
    def queue(self) -> Queue:
        return Queue("bench", connection=Redis.from_url(self.settings["redis"]))

    def enqueue(self, count: int) -> None:
        for begin in range(0, count, 500):
            numbers = range(begin, min(begin + 500, count))
            self.queue.enqueue_many([Queue.prepare_data(job, (number,), result_ttl=0) for number in numbers])

    def start_one(self) -> float:
        self.queue.enqueue(job, 1, result_ttl=0)
        return time.monotonic()

    def work(self) -> None:
        """In a child: a worker wants a main thread, for its signals."""
        if os.fork():
            return
        worker = SimpleWorker if self.simple else Worker
        worker([self.queue], connection=self.queue.connection).work(logging_level="WARNING")
        os._exit(0)


PEER = Rq
