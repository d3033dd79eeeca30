"""What must not grow, on each path: a step beside more open runs, more finished ones, or further on in a long run.

Each size has a store of its own, and a step of each is measured in turn: what else the machine does hurts all alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import psycopg
from squidmesh_postgres import PostgresBackend
from squidmesh_redis import RedisBackend

from benchmarks.beside.place import ROOM
from benchmarks.beside.results import Results
from benchmarks.beside.works import POSTGRES, REDIS, SQLITE
from benchmarks.growth import Case
from benchmarks.journals import Journal, Ledger, growing, linear, open_backend, open_journal
from benchmarks.report import Printer
from squidmesh import Workflow
from squidmesh.ids import attempt_key
from squidmesh.ports.lease_backend import Item
from squidmesh.runtime.pump import Pump
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.servers import Server, available

_STEPS = 3
_LAST = 9
"""A priority: those that fill the queue come after those that are measured."""
_AROUND = 10
"""Steps of one run that are measured, around a position."""
_WARM_UP = 16
_OFFERED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """``samples``: steps measured of each size, in ``rounds`` of which each gives a median."""

    open: tuple[int, ...]
    finished: tuple[int, ...]
    behind: tuple[int, ...]
    samples: int
    rounds: int = 3


FULL = Sizes(open=(1_000, 10_000, 100_000, 1_000_000), finished=(1_000, 1_000_000), behind=(10, 1_000), samples=240)
QUICK = Sizes(open=(1_000, 10_000, 100_000), finished=(1_000, 100_000), behind=(10, 300), samples=120)


class Path_(Protocol):
    """Opens an empty store, of its own."""

    def __call__(self, *workflows: type[Workflow]) -> AbstractContextManager[Store]: ...


class Store:
    """``journal``: opened in it. The other calls fill it."""

    def __init__(self, journal: Journal, fill: Filler, redis: RedisBackend | None = None) -> None:
        self.journal = journal
        self._fill = fill
        self._redis = redis

    def copy(self, run_id: str, number: int) -> None:
        """So many more of this run; an open one is offered too, where leases are elsewhere."""
        self._fill(run_id, number)
        if self._redis is not None and self.journal.mesh.inspect_run(run_id).status == "running":
            leases = self._redis.leases()
            for begin in range(0, number, _OFFERED):
                leases.offer([_item(run_id, each) for each in range(begin, min(begin + _OFFERED, number))])


class Filler(Protocol):
    def __call__(self, run_id: str, number: int, /) -> None: ...


def _item(run_id: str, number: int) -> Item:
    key = attempt_key(f"{run_id[:24]}{number + 1:012x}", "step-0", 1)
    return Item(key=key, queue="default", priority=_LAST, delay=timedelta(0))


def measure(sizes: Sizes, folder: Path, printer: Printer, results: Results) -> None:
    """Microseconds of a step by the clock, for each size, and ``ratio``: of the largest median to the smallest."""
    folder.mkdir()
    with ExitStack() as stack:
        for name, path in _paths(folder, stack).items():
            for what, (case, steps) in _cases(sizes).items():
                printer.progress(f"growth, {name}: {what}")
                with ExitStack() as opened:
                    cases = [opened.enter_context(case(path, size, sizes)) for size in steps]
                    _in_turn(cases, sizes)
                    for each in cases:
                        for wall in each.wall:
                            results.add(f"growth: {what}", name, {each.what: wall})
                medians = [sorted(each.wall)[len(each.wall) // 2] for each in cases]
                results.add(f"growth: {what}", name, {"ratio": max(medians) / min(medians)})


def _cases(sizes: Sizes) -> Mapping[str, tuple[CaseOf, Sequence[int]]]:
    return MappingProxyType(
        {
            "open runs": (_open_runs, sizes.open),
            "finished runs": (_finished_runs, sizes.finished),
            "steps behind": (_steps_behind, sizes.behind),
        }
    )


class CaseOf(Protocol):
    def __call__(self, path: Path_, size: int, sizes: Sizes, /) -> AbstractContextManager[Case]: ...


def _in_turn(cases: Sequence[Case], sizes: Sizes) -> None:
    for _ in range(sizes.rounds):
        for _ in range(sizes.samples // sizes.rounds):
            for case in cases:
                case.sample()
        for case in cases:
            case.end_round()


@contextmanager
def _open_runs(path: Path_, size: int, sizes: Sizes) -> Iterator[Case]:
    workflow = linear(_STEPS)
    with path(workflow) as store:
        (first,) = store.journal.mesh.start_runs(workflow, [{"number": 0}], priority=_LAST)
        store.copy(first.run_id, size - 1)
        store.journal.start(workflow, sizes.samples + 2 * _WARM_UP)
        yield _case(size, store.journal)


@contextmanager
def _finished_runs(path: Path_, size: int, sizes: Sizes) -> Iterator[Case]:
    workflow = linear(_STEPS)
    with path(workflow) as store:
        (first,) = store.journal.start(workflow, 1)
        store.journal.finish(capacity=1)
        store.copy(first, size - 1)
        store.journal.start(workflow, sizes.samples + 2 * _WARM_UP)
        yield _case(size, store.journal)


@contextmanager
def _steps_behind(path: Path_, size: int, sizes: Sizes) -> Iterator[Case]:
    """As many runs as it takes to measure a few steps of each, all of them shortly before the position."""
    runs = sizes.samples // _AROUND
    workflow = growing(size + 2 * _AROUND)
    with path(workflow) as store:
        store.journal.start(workflow, runs)
        pump = store.journal.pump(capacity=runs, continues=False)
        for _ in range(max(0, size - _AROUND)):
            _turn(pump)
        yield _case(size, store.journal, warm_up=runs)


def _case(size: int, journal: Journal, warm_up: int = _WARM_UP) -> Case:
    pump = journal.pump(continues=False)
    for _ in range(warm_up):
        _turn(pump)
    return Case(what=f"{size:,}", ledger=Ledger(statements=False), act=lambda: _turn(pump))


def _turn(pump: Pump) -> None:
    """One step of as many runs as the pump has slots."""
    granted = pump.turn().granted
    assert granted, "nothing was left to claim"
    pump.turn(claim=False)


# ------------------------------------------------------------------------------------------------------------- stores


def _paths(folder: Path, stack: ExitStack) -> Mapping[str, Path_]:
    numbers = count(1)
    server = stack.enter_context(
        Postgres(folder / "postgres", durable=True, settings=(*ROOM, ("max_connections", "200")))
    )

    @contextmanager
    def sqlite(*workflows: type[Workflow]) -> Iterator[Store]:
        file = folder / f"grown-{next(numbers)}.db"
        with open_journal(file, *workflows) as journal:
            yield Store(journal, lambda run_id, number: _fill_sqlite(file, run_id, number))

    @contextmanager
    def postgres(*workflows: type[Workflow], redis: RedisBackend | None = None) -> Iterator[Store]:
        name = f"grown_{next(numbers)}"
        url = server.create_database(name)
        backend = PostgresBackend(url)
        backend.migrate()
        try:
            with open_backend(backend, *workflows, leases=redis) as journal:
                journal.mesh.execute_next()  # what the first claim of a journal does, once
                yield Store(journal, lambda run_id, number: _fill_postgres(url, run_id, number), redis)
        finally:
            server.drop_database(name)

    @contextmanager
    def redis(*workflows: type[Workflow]) -> Iterator[Store]:
        folder_of_it = folder / f"grown-redis-{next(numbers)}"
        with (
            Server(available()[-1], folder_of_it, aof=True) as running,
            postgres(*workflows, redis=RedisBackend(running.url)) as store,
        ):
            yield store

    return MappingProxyType({SQLITE: sqlite, POSTGRES: postgres, REDIS: redis})


def _fill_sqlite(file: Path, run_id: str, number: int) -> None:
    connection = sqlite3.connect(file, timeout=60)
    try:
        with connection:
            for statement in _statements("grown_sqlite.sql"):
                connection.execute(statement, {"run": run_id, "count": number})
    finally:
        connection.close()


def _fill_postgres(url: str, run_id: str, number: int) -> None:
    """As it is after a while: autovacuum has been there."""
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in _statements("grown_postgres.sql"):
            connection.execute(statement.encode(), {"run": run_id, "count": number})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _statements(name: str) -> list[str]:
    script = (resources.files("benchmarks") / name).read_text()
    return [statement for statement in script.split(";\n") if statement.strip()]
