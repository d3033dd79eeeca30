"""How long work stands still when a Redis is replaced, and when a worker dies: from the fault to the next claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

from redis import Redis
from squidmesh_redis import RedisBackend
from squidmesh_redis.slots import slot_of

from benchmarks.journals import linear
from benchmarks.redis_plane import offer
from benchmarks.report import Cell, Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Mesh
from squidmesh.errors import BackendUnavailable
from squidmesh.ports.lease_backend import LeaseBackend, Settlement
from squidmesh.testing.clusters import ClusterNode, ClusterServers
from squidmesh.testing.sentinels import SentinelServers
from squidmesh.testing.servers import Server, available

LEASE = timedelta(seconds=4)
MISSED_AFTER = 1.0
"""Seconds after which Sentinels, or the nodes of a Cluster, hold one to be gone that says nothing."""
_PAUSE = 0.02
_LIMIT = 120.0
STEPS = 3
HELD = 20_000
"""Items that a server reads from its file when it starts again."""

Measured = Callable[[str, Path], float]
"""Seconds, with servers of that kind in that folder."""


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    kinds = available()
    if not kinds:
        return []
    rows: list[tuple[Cell, ...]] = []
    for number, (what, measured) in enumerate(MEASURED.items()):
        found = []
        for repeat in range(min(scale.repeats, 3)):
            printer.progress(f"failover: {what}, repeat {repeat + 1}")
            found.append(measured(kinds[-1], folder / f"failover-{number}-{repeat}"))
        rows.append((what, Figure(tuple(found))))
    printer.progress("failover: scripts a step")
    return [
        Table(
            name="failover",
            title=f"How long work stands still, {kinds[-1]}",
            columns=("what happens", "seconds until the next claim"),
            rows=tuple(rows),
            note=f"Servers are missed after {MISSED_AFTER} s, a lease lasts {LEASE.total_seconds()} s.",
        ),
        Table(
            name="redis_scripts",
            title=f"What a step of a run of {STEPS} asks of a {kinds[-1]}, with its start and its end",
            columns=("a worker with", "scripts a step"),
            rows=tuple((f"{slots} slots", scripts_a_step(kinds[-1], folder, slots)) for slots in (1, 16)),
        ),
    ]


def stands_still(leases: LeaseBackend, fault: Callable[[], object]) -> float:
    """Seconds from the fault until something is granted that was offered after it."""
    requests = count()
    _grant(leases, f"warm-{next(requests)}")
    began = time.perf_counter()
    fault()
    while time.perf_counter() - began < _LIMIT:
        try:
            if _grant(leases, f"{began}-{next(requests)}"):
                return time.perf_counter() - began
        except BackendUnavailable:
            pass
        time.sleep(_PAUSE)
    raise TimeoutError(f"nothing is granted {_LIMIT} seconds after the fault")


def _grant(leases: LeaseBackend, request: str) -> bool:
    offer(leases, 1)
    granted = leases.claim(["default"], owner="bench@1", limit=1, lease=LEASE, request_id=request).claims
    leases.settle([Settlement(claim=claim) for claim in granted])
    return bool(granted)


def behind_sentinels(fault: Callable[[SentinelServers], object]) -> Measured:
    def measured(kind: str, folder: Path) -> float:
        with SentinelServers(kind, folder, timeout=MISSED_AFTER) as servers, _leases(servers.url) as leases:
            return stands_still(leases, lambda: fault(servers))

    return measured


def on_a_cluster(fault: Callable[[ClusterNode, ClusterNode], object]) -> Measured:
    """``fault`` is told the node that holds the queue, and its replica."""

    def measured(kind: str, folder: Path) -> float:
        with ClusterServers(kind, folder, replicas=3, timeout=MISSED_AFTER) as servers, _leases(servers.url) as leases:
            primary = servers.holder(slot_of("{default}"))
            replica = servers.replicas[servers.primaries.index(primary)]
            return stands_still(leases, lambda: fault(primary, replica))

    return measured


def restarted(kind: str, folder: Path) -> float:
    with Server(kind, folder, aof=True) as server, _leases(server.url) as leases:
        offer(leases, HELD)

        def kill_and_start() -> None:
            server.kill()
            server.start()

        return stands_still(leases, kill_and_start)


def taken_over(kind: str, folder: Path) -> float:
    """From the last sign of life of a worker, here its claim, until another one is granted what it held."""
    with Server(kind, folder) as server, _leases(server.url) as leases:
        offer(leases, 1)
        leases.claim(["default"], owner="dead@1", limit=1, lease=LEASE, request_id="dead")
        began = time.perf_counter()
        for number in count():
            request = f"next-{number}"
            if leases.claim(["default"], owner="bench@1", limit=1, lease=LEASE, request_id=request).claims:
                break
            time.sleep(_PAUSE)
        return time.perf_counter() - began


def scripts_a_step(kind: str, folder: Path, slots: int, runs: int = 200) -> float:
    """What workers and reconciler ask together, in a fleet of one process that has something to do all the time."""
    ended, done = threading.Event(), count(1)

    def last(number: int) -> None:
        if next(done) == runs:
            ended.set()

    workflow = linear(STEPS, last=last)
    with Server(kind, folder / f"scripts-{slots}") as server, Redis.from_url(server.url) as redis:
        url = f"sqlite:///{folder / f'scripts-{slots}.db'}"
        Mesh.migrate(url)
        mesh = Mesh.connect(url, leases=server.url, workflows=[workflow])
        try:
            redis.config_resetstat()
            mesh.start_runs(workflow, [{"number": number} for number in range(runs)])
            with mesh.worker(concurrency=slots):
                ended.wait()
            asked = redis.info("commandstats")
        finally:
            mesh.close()
    return sum(int(asked.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "eval")) / runs / STEPS


@contextmanager
def _leases(url: str) -> Iterator[LeaseBackend]:
    backend = RedisBackend(url)
    try:
        yield backend.leases()
    finally:
        backend.close()


MEASURED: dict[str, Measured] = {
    "Sentinel: the primary is killed": behind_sentinels(lambda servers: servers.primary().kill()),
    "Sentinel: the primary stands still": behind_sentinels(lambda servers: servers.primary().freeze()),
    "Sentinel: a planned failover": behind_sentinels(lambda servers: servers.fail_over()),
    "Cluster: the primary is killed": on_a_cluster(lambda primary, replica: primary.kill()),
    "Cluster: the primary stands still": on_a_cluster(lambda primary, replica: primary.freeze()),
    "Cluster: a planned failover": on_a_cluster(lambda primary, replica: replica.ask("CLUSTER", "FAILOVER")),
    f"one server is killed and started, {HELD:,} items in its file": restarted,
    f"a worker is killed, its lease lasts {LEASE.total_seconds()} s": taken_over,
}
