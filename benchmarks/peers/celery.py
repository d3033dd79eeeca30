"""Celery: jobs in Redis."""

from __future__ import annotations

import threading
from typing import Any

from celery import Celery

from benchmarks.peers.protocol import Peer, left


class CeleryPeer(Peer):
    package = "celery"
    how = "pool solo, prefetch multiplier 64, ignore_result, no events, gossip, mingle or heartbeats"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.app = Celery("bench", broker=settings["redis"])
        self.app.conf.update(
            task_ignore_result=True,
            worker_prefetch_multiplier=64,
            worker_hijack_root_logger=False,
            worker_send_task_events=False,
        )

        @self.app.task(name="job")
        def job(number: int) -> None:
            left()

        self.job = job

    def enqueue(self, count: int) -> None:
        with self.app.producer_or_acquire() as producer:
            for number in range(count):
                self.job.apply_async((number,), producer=producer)

    def work(self) -> None:
        options = {"pool": "solo", "without_gossip": True, "without_mingle": True, "without_heartbeat": True}
        worker = self.app.Worker(loglevel="ERROR", **options)
        threading.Thread(target=worker.start, daemon=True).start()


PEER = CeleryPeer
