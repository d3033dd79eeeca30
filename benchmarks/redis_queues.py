"""Many queues in Redis: what a claim costs when there are thousands of them, and what the index of queues costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.redis_plane import LEASE, server
from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh.ids import attempt_key
from squidmesh.ports.lease_backend import Item, LeaseBackend, Settlement
from squidmesh.runtime.chance import uuid7
from squidmesh.testing.servers import available

NUMBERS = (10, 1_000, 10_000)
EACH = 3
_AT_ONCE = 16
_BATCH = 64


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    kinds = available()
    if not kinds:
        return []
    claims: dict[int, list[float]] = {number: [] for number in NUMBERS}
    offers: list[float] = []
    bare: list[float] = []
    for number in NUMBERS:
        with server(kinds[-1], folder / f"queues-{number}") as (_, leases):
            printer.progress(f"redis: {number:,} queues of {EACH} items")
            names = [f"tenant-{n}" for n in range(number)]
            fill(leases, names)
            for _ in range(scale.repeats):
                claims[number].append(claim_one_by_one(leases, names, min(200, 2 * number)))
    with server(kinds[-1], folder / "marks") as (_, leases):
        for _ in range(scale.repeats):
            offers.append(offer_batches(leases, marks=True))
            bare.append(offer_batches(leases, marks=False))
    least = median(claims[NUMBERS[0]])
    rows = tuple((f"{n:,} queues", Figure(tuple(told)), median(told) / least) for n, told in claims.items())
    ratio = median(offers) / median(bare)
    return [
        Table(
            name="redis_queues",
            title=f"Claims by a prefix in {kinds[-1]}: which queues are due, a claim of {_AT_ONCE}, its settlement",
            columns=("queues", "ms a claim", "as much as with 10"),
            rows=rows,
            note=f"Each has {EACH} items. An offer of {_BATCH} items takes {ratio:.2f} times as long with its mark.",
        )
    ]


def fill(leases: LeaseBackend, names: Sequence[str]) -> None:
    items = [_item(name) for name in names for _ in range(EACH)]
    for begin in range(0, len(items), 3000):
        leases.offer(items[begin : begin + 3000])


def claim_one_by_one(leases: LeaseBackend, names: Sequence[str], times: int) -> float:
    """Milliseconds a claim. What is settled is offered again, outside the clock."""
    requests, spent = count(), 0.0
    for _ in range(times):
        request = f"{time.perf_counter()}-{next(requests)}"
        began = time.perf_counter()
        due = leases.due_queues((), ["tenant-"], limit=_AT_ONCE).queues
        granted = leases.claim(due, owner="bench@1", limit=_AT_ONCE, lease=LEASE, request_id=request).claims
        leases.settle([Settlement(claim=claim) for claim in granted])
        spent += time.perf_counter() - began
        leases.offer([_item(claim.queue) for claim in granted])
    return 1000 * spent / times


def offer_batches(leases: LeaseBackend, *, marks: bool) -> float:
    """Seconds for a hundred offers to one queue. Without marks: the scripts of the offers alone."""
    batches = [[_item("default") for _ in range(_BATCH)] for _ in range(100)]
    index = leases._index  # type: ignore[attr-defined]
    marked = index._marks
    if not marks:
        index._marks = lambda delays: []
    try:
        began = time.perf_counter()
        for batch in batches:
            leases.offer(batch)
        return time.perf_counter() - began
    finally:
        index._marks = marked


def _item(queue: str) -> Item:
    return Item(key=attempt_key(uuid7(), "charge", 1), queue=queue, priority=5, delay=timedelta(0))
