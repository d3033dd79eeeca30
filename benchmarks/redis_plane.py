"""Leases in Redis: what a claim and a settle cost beside a backlog, and how many bytes an item takes there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

from redis import Redis
from squidmesh_redis import RedisBackend

from benchmarks.report import Cell, Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh.ids import attempt_key
from squidmesh.ports.lease_backend import Item, LeaseBackend, Settlement
from squidmesh.runtime.chance import uuid7
from squidmesh.testing.servers import Server, available

LEASE = timedelta(minutes=10)
BATCHES = (64, 1)
_MOST_AT_ONCE = 2000


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    kinds = available()
    if not kinds:
        nothing = (("there is no wheel with a server for this machine",),)
        return [Table(name="redis", title="Leases in Redis", columns=("not measured",), rows=nothing)]
    pairs: dict[tuple[int, int], list[float]] = {}
    delayed: dict[int, list[float]] = {}
    taken: list[tuple[int, float, float]] = []
    for backlog in scale.backlogs:
        with server(kinds[-1], folder / f"redis-{backlog}") as (running, leases):
            printer.progress(f"redis: offering {backlog:,} items")
            before = _memory(running)
            began = time.perf_counter()
            offer(leases, backlog)
            taken.append((backlog, (_memory(running) - before) / backlog, backlog / (time.perf_counter() - began)))
            for repeat in range(scale.repeats):
                for size in BATCHES:
                    printer.progress(f"redis: {backlog:,} items, batches of {size}, repeat {repeat + 1}")
                    wanted = scale.pairs if size > 1 else max(100, scale.pairs // 20)
                    pairs.setdefault((backlog, size), []).append(claim_and_settle(leases, wanted, size))
        with server(kinds[-1], folder / f"redis-delayed-{backlog}") as (_, leases):
            offer(leases, backlog, delay=timedelta(days=1))
            for _ in range(scale.repeats):
                delayed.setdefault(backlog, []).append(claim_and_settle(leases, scale.pairs, BATCHES[0]))
    rows: list[tuple[Cell, ...]] = []
    for backlog, bytes_, rate in taken:
        figures = [Figure(tuple(pairs[backlog, size])) for size in BATCHES]
        rows.append((f"{backlog:,} items", *figures, Figure(tuple(delayed[backlog])), bytes_, rate))
    columns = ("backlog", *(f"pairs/s, batches of {size}" for size in BATCHES), "pairs/s, all else delayed")
    return [
        Table(
            name="redis",
            title=f"Leases in {kinds[-1]}: claim and settle, one client, one queue",
            columns=(*columns, "bytes an item", "offers/s"),
            rows=tuple(rows),
            note="As many new items are offered as are settled, outside the clock, so the backlog stays what it is.",
        )
    ]


@contextmanager
def server(kind: str, folder: Path) -> Iterator[tuple[Server, LeaseBackend]]:
    with Server(kind, folder) as running:
        backend = RedisBackend(running.url)
        try:
            yield running, backend.leases()
        finally:
            backend.close()


def offer(leases: LeaseBackend, items: int, *, delay: timedelta = timedelta(0)) -> None:
    for begin in range(0, items, _MOST_AT_ONCE):
        leases.offer([_item(delay) for _ in range(min(_MOST_AT_ONCE, items - begin))])


def claim_and_settle(leases: LeaseBackend, pairs: int, size: int) -> float:
    """Pairs a second."""
    offer(leases, pairs)
    requests, done = count(), 0
    began = time.perf_counter()
    while done < pairs:
        request = f"{began}-{next(requests)}"
        granted = leases.claim(["default"], owner="bench@1", limit=size, lease=LEASE, request_id=request).claims
        leases.settle([Settlement(claim=claim) for claim in granted])
        done += len(granted)
    return pairs / (time.perf_counter() - began)


def _item(delay: timedelta) -> Item:
    return Item(key=attempt_key(uuid7(), "charge", 1), queue="default", priority=5, delay=delay)


def _memory(running: Server) -> int:
    with Redis.from_url(running.url) as client:
        return int(client.info("memory")["used_memory"])
