"""Who is measured at what. ``pace`` is about how many a second each gets done, so that each measurement takes about as
long as all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from benchmarks.beside import measures
from benchmarks.beside.measures import Figures
from benchmarks.beside.place import Bench, Contestant


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """``call``: what measures it, given ``runs``. ``pace``: by the contestants' names, who takes part. ``most``: runs
    that are enough, whoever is fast.
    """

    name: str
    title: str
    call: Callable[..., Figures]
    pace: Mapping[str, int]
    most: int = 1_000_000
    seconds: float = 1.0
    """How much longer than others it is measured."""
    once: bool = False
    """It takes long, and hardly varies: a single time is enough."""

    def runs(self, contestant: str, seconds: float) -> int:
        return min(self.most, max(20, int(self.pace[contestant] * seconds * self.seconds)))

    def measure(self, bench: Bench, contestant: Contestant, seconds: float) -> Figures:
        return self.call(bench, contestant, runs=self.runs(contestant.name, seconds))


def _contestant(name: str, peer: str, *stores: str, **settings: Any) -> Contestant:
    return Contestant(name=name, peer=peer, stores=stores, settings=tuple(settings.items()))


SQLITE, POSTGRES, REDIS = "ours, SQLite", "ours, PostgreSQL", "ours, PostgreSQL + Redis"
SLOTS16, SLOTS16_SQLITE = "ours, PostgreSQL + Redis, 16 slots", "ours, SQLite, 16 slots"
DBOS_SQLITE, DBOS, ABSURD = "dbos, SQLite", "dbos, PostgreSQL", "absurd, PostgreSQL"
RQ_SIMPLE, RQ, DRAMATIQ16 = "rq, SimpleWorker", "rq, forking", "dramatiq, 16 threads"

CONTESTANTS: Mapping[str, Contestant] = MappingProxyType(
    {
        each.name: each
        for each in (
            _contestant(SQLITE, "ours", "sqlite"),
            _contestant(POSTGRES, "ours", "postgres"),
            _contestant(REDIS, "ours", "postgres", "redis"),
            _contestant(SLOTS16, "ours", "postgres", "redis", slots=16),
            _contestant(SLOTS16_SQLITE, "ours", "sqlite", slots=16),
            _contestant(DBOS_SQLITE, "dbos", "sqlite"),
            _contestant(DBOS, "dbos", "postgres"),
            _contestant(ABSURD, "absurd", "postgres"),
            _contestant(RQ_SIMPLE, "rq", "redis", variant="simple"),
            _contestant(RQ, "rq", "redis"),
            _contestant("celery", "celery", "redis"),
            _contestant("dramatiq", "dramatiq", "redis"),
            _contestant(DRAMATIQ16, "dramatiq", "redis", slots=16),
            _contestant("huey", "huey", "redis"),
            _contestant("taskiq", "taskiq", "redis"),
            _contestant("saq", "saq", "redis"),
            _contestant("arq", "arq", "redis"),
            _contestant("pgqueuer", "pgqueuer", "postgres"),
            _contestant("procrastinate", "procrastinate", "postgres"),
        )
    }
)
PEERS = tuple(sorted({each.peer for each in CONTESTANTS.values()} - {"ours"}))

_OURS = {SQLITE: 1000, POSTGRES: 800, REDIS: 800}
_DURABLE = {DBOS_SQLITE: 50, DBOS: 100, ABSURD: 150}

WORKS: Mapping[str, Work] = MappingProxyType(
    {
        each.name: each
        for each in (
            Work(
                name="queued",
                title="Durable runs of three steps, all started beforehand, 1 process",
                call=measures.queued,
                pace={**_OURS, **_DURABLE},
            ),
            Work(
                name="queued by two",
                title="The same, 2 processes",
                call=partial(measures.queued, processes=2),
                pace={POSTGRES: 1000, REDIS: 1000, DBOS: 100, ABSURD: 200},
            ),
            Work(
                name="direct",
                title="Durable runs of three steps, started and run by one process",
                call=measures.direct,
                pace={**_OURS, **_DURABLE},
            ),
            Work(
                name="direct by threads",
                title="The same, with 4 threads, where threads call",
                call=partial(measures.direct, threads=4),
                pace={DBOS: 120, DBOS_SQLITE: 50},
            ),
            Work(
                name="alone",
                title="From start to result, three steps, one run at a time, ms",
                call=measures.alone,
                pace={SQLITE: 150, POSTGRES: 80, REDIS: 80, DBOS_SQLITE: 30, DBOS: 60, ABSURD: 60},
            ),
            Work(
                name="job",
                title="One step through Redis, 1 process; the peers record no results",
                call=partial(measures.queued, steps=1),
                pace={
                    REDIS: 1500,
                    RQ_SIMPLE: 300,
                    RQ: 60,
                    "celery": 800,
                    "dramatiq": 2000,
                    "huey": 3000,
                    "taskiq": 2000,
                    "saq": 1200,
                    "arq": 1200,
                },
            ),
            Work(
                name="job in PostgreSQL",
                title="One step through PostgreSQL alone, 1 process",
                call=partial(measures.queued, steps=1),
                pace={POSTGRES: 1500, "pgqueuer": 6000, "procrastinate": 300},
            ),
            Work(
                name="bulk",
                title="Starting in bulk, 500 a call, PostgreSQL, a second",
                call=measures.bulk,
                pace={POSTGRES: 5000, REDIS: 5000, "pgqueuer": 15000, "procrastinate": 4000},
            ),
            Work(
                name="pick-up",
                title="From the return of the start to the step, in an idle worker's process, ms",
                call=measures.pick_up,
                pace={
                    REDIS: 30,
                    POSTGRES: 30,
                    "celery": 30,
                    RQ_SIMPLE: 30,
                    "dramatiq": 30,
                    "huey": 30,
                    "taskiq": 30,
                    "procrastinate": 30,
                    DBOS: 20,
                    ABSURD: 20,
                },
                seconds=2.0,
            ),
            Work(
                name="item",
                title="Memory in Redis of each item that waits, bytes",
                call=measures.redis_memory,
                pace={REDIS: 4000, RQ_SIMPLE: 4000, "celery": 1000, "dramatiq": 1000},
            ),
            Work(
                name="worker",
                title="Memory of a worker process, 16 slots, MB",
                call=measures.worker_memory,
                pace={SLOTS16: 10_000, DRAMATIQ16: 10_000, SLOTS16_SQLITE: 10_000},
                most=66_667,
                seconds=2.5,
                once=True,
            ),
        )
    }
)
