"""The scenarios, by their names: a fleet, and the faults that befall it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaos.faults.fault import Fault
from chaos.faults.register import FAULTS, missing, possible
from chaos.fleet.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``faults``: their names; none: all that this setup makes possible. ``every``: seconds, about, from one to the
    next. ``most``: runs that are open at once. ``apart``: it needs root, or a package of Debian's, or the history of
    this repository.
    """

    name: str
    what: str
    setup: Setup
    faults: tuple[str, ...] = ()
    every: float = 5.0
    most: int = 60
    apart: bool = False

    @property
    def kinds(self) -> list[type[Fault]]:
        kinds = [FAULTS[name] for name in self.faults] if self.faults else possible(self.setup)
        return [kind for kind in kinds if not missing(kind) and (self.apart or not kind.package)]


_POSTGRES_REDIS = Setup(journal="postgres", leases="redis")
_SQLITE_REDIS = Setup(journal="sqlite", leases="redis", workers=3)
_WORKERS = ("worker-killed", "worker-zombie", "poison-step")

_ALL = (
    Scenario(
        name="workers",
        what="workers are killed, stopped past their leases and poisoned; leases in PostgreSQL",
        setup=Setup(journal="postgres", leases="journal"),
        faults=_WORKERS,
        every=4.0,
    ),
    Scenario(
        name="redis-forgets",
        what="the Redis is killed, emptied, flushed, and put back to what it knew some seconds ago",
        setup=_POSTGRES_REDIS,
        faults=("redis-killed", "redis-flushed", "redis-emptied", "redis-old-dump", "redis-power-cut"),
    ),
    Scenario(
        name="redis-falters",
        what="the Redis stands still, is full, and its answers are lost; connections break",
        setup=_POSTGRES_REDIS,
        faults=(
            "redis-stalled",
            "redis-paused",
            "redis-full",
            "redis-wrong-policy",
            "redis-answers-lost",
            "redis-cut-off",
            "redis-torn",
        ),
        every=4.0,
    ),
    Scenario(
        name="postgres",
        what="the PostgreSQL is killed, stands still, loses sessions and answers; leases in it too",
        setup=Setup(journal="postgres", leases="journal"),
        faults=(
            "postgres-killed",
            "postgres-backend-killed",
            "postgres-sessions-ended",
            "postgres-stalled",
            "postgres-lock-held",
            "commit-unknown",
            "postgres-cut-off",
            "postgres-torn",
        ),
    ),
    Scenario(
        name="sqlite",
        what="the journal in SQLite, shared by processes; its lock is held, workers die",
        setup=Setup(journal="sqlite", leases="journal", workers=3),
        faults=("worker-killed", "worker-zombie", "poison-step", "sqlite-lock-held"),
        every=4.0,
        most=30,
    ),
    Scenario(
        name="sqlite-redis",
        what="the journal in SQLite, leases in a Redis: all that can befall the two",
        setup=_SQLITE_REDIS,
        every=4.0,
        most=30,
    ),
    Scenario(
        name="storm",
        what="PostgreSQL and Redis, and everything that this machine can do to them without root",
        setup=_POSTGRES_REDIS,
        every=4.0,
        most=120,
    ),
    Scenario(
        name="sentinel",
        what="a Redis with replicas and Sentinels: failovers that lose writes, two primaries at once",
        setup=Setup(journal="postgres", leases="sentinel", workers=3),
        faults=("sentinel-failover", "sentinel-split-brain", "sentinel-killed", "worker-killed"),
        every=10.0,
        most=40,
    ),
    Scenario(
        name="cluster",
        what="a Redis Cluster whose nodes are killed and change places",
        setup=Setup(journal="postgres", leases="cluster", workers=3),
        faults=("cluster-node-killed", "cluster-failover", "worker-killed"),
        every=8.0,
        most=40,
    ),
    Scenario(
        name="clocks",
        what="the clock of the Redis jumps, and workers have clocks that are hours away",
        setup=Setup(journal="postgres", leases="redis", moved_clock=True),
        faults=("redis-clock", "worker-clock", "worker-killed"),
        apart=True,
    ),
    Scenario(
        name="partition",
        what="three machines in network namespaces, whose links are cut one after the other",
        setup=Setup(journal="postgres", leases="redis", workers=6, nodes=3),
        faults=("node-cut-off", "worker-killed"),
        every=8.0,
        apart=True,
    ),
    Scenario(
        name="disk",
        what="the file system of the PostgreSQL has no room left, again and again",
        setup=Setup(journal="postgres", leases="redis", small_disk=True),
        faults=("disk-full", "worker-killed"),
        every=10.0,
        apart=True,
    ),
    Scenario(
        name="sqlite-disk",
        what="the file system of the SQLite journal has no room left",
        setup=Setup(journal="sqlite", leases="redis", workers=3, small_disk=True),
        faults=("disk-full", "redis-killed"),
        every=8.0,
        most=30,
        apart=True,
    ),
    Scenario(
        name="versions",
        what="a fleet of two versions, whose workers take each other's places and die",
        setup=Setup(journal="postgres", leases="redis", old=True),
        faults=("old-version", "worker-killed", "redis-flushed", "postgres-sessions-ended"),
        every=6.0,
        apart=True,
    ),
    Scenario(
        name="everything",
        what="PostgreSQL and Redis, root's means too: clocks, a full disk, an old version among the rest",
        setup=Setup(journal="postgres", leases="redis", moved_clock=True, small_disk=True, old=True),
        every=4.0,
        most=120,
        apart=True,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
ORDINARY: tuple[str, ...] = tuple(name for name, scenario in SCENARIOS.items() if not scenario.apart)
