"""What one PostgreSQL, one Redis and one worker carry: a model of a few lines, whose inputs were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.beside.results import Results
from benchmarks.beside.works import POSTGRES, REDIS
from benchmarks.report import Cell, Table

_MEMORY = 4e9
"""Bytes of a Redis that this page reckons with."""
_CORES = 8
"""Of a PostgreSQL's machine that this page reckons with."""
_LOG = 100e6
"""Bytes a second that its disk takes of the write-ahead log, of a modest disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Of a step: ``worker``, ``postgres`` and ``redis`` are seconds of CPU; ``commits`` of PostgreSQL that wrote, and
    ``log``, the bytes of its write-ahead log; ``scripts`` of Redis. Of an open item: ``item``, bytes in Redis.
    ``commits_a_second``: what the disk and one client allow.
    """

    worker: float
    postgres: float
    redis: float
    commits: float
    log: float
    scripts: float
    item: float
    commits_a_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``cores``: of PostgreSQL's machine. ``log``: bytes a second that its disk takes. ``memory``: bytes of a Redis."""

    cores: float = _CORES
    log: float = _LOG
    memory: float = _MEMORY


def limits(costs: Costs, machine: Machine) -> Mapping[str, float]:
    """Steps a second that each resource allows by itself; Redis runs its scripts on one core."""
    return {
        "a worker process, its CPU": 1 / costs.worker,
        "PostgreSQL, CPU": machine.cores / costs.postgres,
        "PostgreSQL, write-ahead log": machine.log / costs.log,
        "PostgreSQL, commits of one client": costs.commits_a_second / costs.commits,
        "Redis, CPU": 1 / costs.redis,
    }


def shards_first(costs: Costs, machine: Machine) -> str:
    """The server that is full before the other: workers can be added without asking anybody."""
    found = limits(costs, machine)
    return min((name for name in found if not name.startswith("a worker")), key=lambda name: found[name])


def backlog(costs: Costs, machine: Machine) -> float:
    """Open items that one Redis holds; half of its memory stays free, for forks and for what comes."""
    return machine.memory / 2 / costs.item


def on_one_machine(costs: Costs, cores: float, processes: int) -> float:
    """Steps a second of so many worker processes that share the cores with their servers."""
    together = costs.worker + costs.postgres + costs.redis
    return min(processes / costs.worker, cores / together)


def measured(results: Results) -> Costs | None:
    """The inputs, by the medians; None where one of them was not measured."""
    asked = {
        "worker": ("queued by two", REDIS, "cpu", 1e-6),
        "postgres": ("queued by two", REDIS, "cpu of PostgreSQL", 1e-6),
        "redis": ("queued by two", REDIS, "cpu of Redis", 1e-6),
        "commits": ("asked", REDIS, "commits that wrote", 1.0),
        "log": ("asked", REDIS, "bytes of PostgreSQL's log", 1.0),
        "scripts": ("asked", REDIS, "scripts in Redis", 1.0),
        "item": ("item", REDIS, "bytes", 1.0),
        "commits_a_second": ("limits", "PostgreSQL", "commits/s, 1 client", 1.0),
    }
    found = {}
    for name, (work, who, figure, factor) in asked.items():
        value = results.figure(work, who, figure)
        if value is None:
            return None
        found[name] = value.median * factor
    return Costs(**found)


def tables(results: Results, cores: int) -> list[Table]:
    """The costs, what they allow, and the model beside what two processes did on this machine, of ``cores``."""
    costs = measured(results)
    if costs is None:
        return []
    machine = Machine()
    return [_inputs(costs), _allowed(costs, machine), _checked(costs, results, cores)]


def _inputs(costs: Costs) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("CPU of a worker, µs a step", costs.worker * 1e6),
        ("CPU of PostgreSQL, µs a step", costs.postgres * 1e6),
        ("CPU of Redis, µs a step", costs.redis * 1e6),
        ("commits of PostgreSQL that wrote, a step", costs.commits),
        ("bytes of its write-ahead log, a step", costs.log),
        ("scripts of Redis, a step", costs.scripts),
        ("bytes in Redis, an open item", costs.item),
        ("commits a second, one client, one row", costs.commits_a_second),
    )
    return Table(name="costs", title="What goes in: costs as measured", columns=("cost", "measured"), rows=rows)


def _allowed(costs: Costs, machine: Machine) -> Table:
    found = limits(costs, machine)
    rows: list[tuple[Cell, ...]] = [(name, value) for name, value in found.items()]
    rows.append(("Redis, items that wait", backlog(costs, machine)))
    note = (
        f"With {machine.cores:g} cores and {machine.log / 1e6:g} MB/s of log for PostgreSQL, and "
        f"{machine.memory / 1e9:g} GB of memory for Redis, of which half is used. "
        f"Full first: {shards_first(costs, machine)}."
    )
    return Table(
        name="allowed",
        title="What comes out: steps a second",
        columns=("resource", "at most"),
        rows=tuple(rows),
        note=note,
    )


def _checked(costs: Costs, results: Results, cores: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for processes, work in ((1, "queued"), (2, "queued by two")):
        for who in (REDIS, POSTGRES):
            own = of_path(results, work, who)
            runs = results.figure(work, who, "runs/s")
            if own is None or runs is None:
                continue
            reckoned = on_one_machine(own, cores, processes)
            steps = runs.median * 3
            name = f"{who}, {processes} process{'es' * (processes > 1)}"
            rows.append((name, reckoned, steps, steps / reckoned))
    return Table(
        name="checked",
        title="The model beside the measurement: steps a second on the machine of the benchmarks",
        columns=("who", "reckoned", "measured", "ratio"),
        rows=tuple(rows),
        note=f"Workers and servers share {cores} cores there. What is missing to 1 is time in which nobody worked: "
        "waiting for the disk, and for each other.",
    )


def of_path(results: Results, work: str, who: str) -> Costs | None:
    """The CPU of that measurement alone: a path without Redis uses none of it."""
    found = {name: results.figure(work, who, name) for name in ("cpu", "cpu of PostgreSQL", "cpu of Redis")}
    worker, postgres, redis = found.values()
    if worker is None or postgres is None:
        return None
    return Costs(
        worker=worker.median * 1e-6,
        postgres=postgres.median * 1e-6,
        redis=redis.median * 1e-6 if redis else 0.0,
        commits=0,
        log=0,
        scripts=0,
        item=0,
        commits_a_second=0,
    )
