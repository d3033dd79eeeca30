"""Squid Mesh, by the rules of the peers: durable runs in SQLite, or in PostgreSQL, also with leases in Redis."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from benchmarks.peers.protocol import Peer, entered, lasts, left, timed
from squidmesh import Mesh, Workflow, complete, manual, step
from squidmesh.cli.collector import collect_rarely

BATCH = 500
SLOTS = 256
"""As ``docs/operations.md`` advises where steps take next to no time."""


class Number(BaseModel):
    number: int = 0


def first(number: int) -> None:
    entered()


def second(number: int) -> None:
    pass


def last(number: int) -> None:
    left()


class Errand(Workflow):
    version = "1"
    begin = manual(Number)
    one = step(first)
    two = step(second)
    three = step(last)
    flow = one >> two >> three >> complete


class Job(Workflow):
    version = "1"
    begin = manual(Number)
    act = step(last)


class Ours(Peer):
    package = "squidmesh"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.url = settings.get("postgres") or f"sqlite:///{settings['sqlite']}"
        self.slots = settings.get("slots", SLOTS)
        self.workflow = Errand if settings.get("steps", 3) == 3 else Job
        self.how = f"{self.slots} slots, collector as in a squidmesh worker; start_runs, {BATCH} a call"
        self.mesh = Mesh.connect(self.url, leases=settings.get("redis"), workflows=[Errand, Job])

    def prepare(self) -> None:
        Mesh.migrate(self.url)

    def enqueue(self, count: int) -> None:
        for begin in range(0, count, BATCH):
            payloads = [{"number": number} for number in range(begin, min(begin + BATCH, count))]
            self.mesh.start_runs(self.workflow, payloads)

    def start_one(self) -> float:
        self.mesh.start_run(self.workflow, Number())
        return time.monotonic()

    @cached_property
    def worker(self) -> Any:
        return self.mesh.worker(concurrency=self.slots).__enter__()

    def work(self) -> None:
        collect_rarely()  # as ``squidmesh worker`` does
        assert self.worker

    def ended(self) -> int:
        return self.mesh.count_runs().get("completed", 0)

    def direct(self, count: int, threads: int = 1) -> None:
        self.work()
        goal, steps = self.ended() + count, lasts.number + count
        self.enqueue(count)
        while lasts.number < steps:  # the store is asked, which costs something, when it is nearly over
            time.sleep(0.002)
        self.until_ended(goal)

    def alone(self, count: int) -> list[float]:
        self.work()

        def one(number: int) -> None:
            self.mesh.wait_for(self.mesh.start_run(self.workflow, Number(number=number)).run_id)

        return timed(one, count)


PEER = Ours
