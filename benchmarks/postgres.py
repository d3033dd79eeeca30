"""A journal in PostgreSQL: what each call costs when the database has grown, and how many steps a process makes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from squidmesh_postgres import PostgresBackend

from benchmarks.journals import Journal, linear, open_backend
from benchmarks.latency import one_at_a_time
from benchmarks.postgres_calls import Caller
from benchmarks.postgres_place import Cost, Place, place
from benchmarks.report import Cell, Figure, Printer, Table
from benchmarks.scale import Scale
from benchmarks.throughput import once
from squidmesh import Workflow
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.processes import NoServer

BATCHES = (1, 64)
STEPS = 3
CONCURRENCY = (1, 16, 64, 256)
_ROOM = (("shared_buffers", "256MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h"))
_WARM_UP = 20
_SAID = re.compile(rb"^.*?(?:execute [^:]*|statement): ", re.MULTILINE)

Costs = dict[str, list[tuple[Cost, Cost]]]
"""By the kind of call: in the place that stays small and in the one that grows, a pair for each repeat."""


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    try:
        return [*growth(scale, folder / "postgres-growth", printer), *work(scale, folder / "postgres-work", printer)]
    except NoServer as error:
        return [Table(name="postgres", title="PostgreSQL", columns=("not measured",), rows=((str(error),),))]


# ------------------------------------------------------------------------------------------------------------- growth


def growth(scale: Scale, folder: Path, printer: Printer) -> Iterator[Table]:
    """Two databases of one server side by side, a few calls of each in turn."""
    (finished, open_), (more_finished, more_open) = scale.grown
    with ExitStack() as stack:
        server = stack.enter_context(Postgres(folder, durable=True, settings=(*_ROOM, ("autovacuum", "off"))))
        small, grown = (
            stack.enter_context(place(server, name, finished=finished, open_=open_)) for name in ("small", "grown")
        )
        printer.progress(f"postgres: filling in {more_finished:,} ended and {more_open:,} open runs")
        grown.fill(first=finished + open_, finished=more_finished - finished, open_=more_open - open_)
        for state in ("never analysed", "vacuumed and analysed"):
            if state != "never analysed":
                small.maintain()
                grown.maintain()
            printer.progress(f"postgres: calls, {state}")
            yield _beside(scale, state, _costs(scale, small, grown))


def _costs(scale: Scale, small: Place, grown: Place) -> Costs:
    callers = [Caller(each) for each in (small, grown)]
    costs: Costs = {}
    for _ in range(scale.repeats):
        for (kind, few), (_, many) in zip(
            *(caller.calls(scale.calls, sizes=BATCHES) for caller in callers), strict=True
        ):
            costs.setdefault(kind, []).append((small.cost(few), grown.cost(many)))
    return costs


def _beside(scale: Scale, state: str, costs: Costs) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for kind, pairs in costs.items():
        walls = [statistics.median(_walls(pair[at] for pair in pairs)) for at in (0, 1)]
        pages = [statistics.median(pair[at].pages for pair in pairs) for at in (0, 1)]
        rows.append((kind, *walls, walls[1] / walls[0], *pages, pages[1] / pages[0]))
    sizes = [f"{finished:,} + {open_:,}" for finished, open_ in scale.grown]
    return Table(
        name=f"postgres_growth_{state.split()[0]}",
        title=f"PostgreSQL: a call beside {sizes[0]} and beside {sizes[1]} runs, ended and open, {state}",
        columns=(
            "call",
            *(f"µs, {size}" for size in sizes),
            "ratio of times",
            *(f"pages, {size}" for size in sizes),
            "ratio of pages",
        ),
        rows=tuple(rows),
    )


def _walls(costs: Iterable[Cost]) -> list[float]:
    return [wall for cost in costs for wall in cost.walls]


# --------------------------------------------------------------------------------------------------------------- work


def work(scale: Scale, folder: Path, printer: Printer) -> Iterator[Table]:
    with Postgres(folder, durable=True, settings=_ROOM) as server:
        bench = _Bench(server)
        yield from _throughput(bench, scale, printer)
        yield _latency(bench, scale, printer)
        yield _counts(bench, scale, printer)


class _Bench:
    """``server``: on which each measurement gets a database of its own."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._numbers = count(1)
        self._urls: dict[str, str] = {}

    def url(self, name: str) -> str:
        """Of one that is there."""
        return self._urls[name]

    @contextmanager
    def journal(self, *workflows: type[Workflow], name: str | None = None) -> Iterator[Journal]:
        name = name or f"work_{next(self._numbers)}"
        self._urls[name] = self.server.create_database(name)
        backend = PostgresBackend(self._urls[name])
        backend.migrate()
        with open_backend(backend, *workflows) as journal:
            journal.mesh.execute_next()  # what the first claim of a journal does: once, so no run is to pay for it
            yield journal


def _throughput(bench: _Bench, scale: Scale, printer: Printer) -> Iterator[Table]:
    started: list[float] = []
    rows: list[tuple[Cell, ...]] = []
    for concurrency in CONCURRENCY:
        runs = scale.runs if concurrency > 1 else scale.runs // 5
        took = []
        for repeat in range((scale.repeats + 1) // 2):
            printer.progress(f"postgres: throughput, {concurrency} in flight, repeat {repeat + 1}")
            took.append(once(bench.journal, runs, concurrency))
        started += [runs / starting for starting, _, _ in took]
        rows.append(
            (
                f"{concurrency} in flight",
                Figure(tuple(runs / wall for _, wall, _ in took)),
                Figure(tuple(runs * STEPS / wall for _, wall, _ in took)),
                Figure(tuple(cpu * 1e6 / runs / STEPS for _, _, cpu in took)),
            )
        )
    yield Table(
        name="postgres_throughput",
        title=f"PostgreSQL: {scale.runs:,} runs of {STEPS} steps, one process (with 1 in flight, {scale.runs // 5:,})",
        columns=("worker", "runs/s", "steps/s", "CPU a step of this process, µs"),
        rows=tuple(rows),
    )
    row = ("1,000 a call", Figure(tuple(started)))
    yield Table(
        name="postgres_starts",
        title="PostgreSQL: starting them, in bulk",
        columns=("start_runs", "runs/s"),
        rows=(row,),
    )


def _latency(bench: _Bench, scale: Scale, printer: Printer) -> Table:
    halves, almost_all = [], []
    for repeat in range((scale.repeats + 1) // 2):
        printer.progress(f"postgres: latency, repeat {repeat + 1}")
        workflow = linear(STEPS)
        with bench.journal(workflow) as journal, journal.mesh.worker(concurrency=1):
            one_at_a_time(journal, workflow, _WARM_UP)
            took = sorted(one_at_a_time(journal, workflow, scale.singles))
        halves.append(took[len(took) // 2] * 1e3)
        almost_all.append(took[len(took) * 99 // 100] * 1e3)
    row = ("start_run to wait_for", Figure(tuple(halves)), Figure(tuple(almost_all)))
    title = f"PostgreSQL: {scale.singles} runs of {STEPS} steps, one at a time"
    return Table(name="postgres_latency", title=title, columns=("one run", "p50, ms", "p99, ms"), rows=(row,))


def _counts(bench: _Bench, scale: Scale, printer: Printer) -> Table:
    """By pumps whose batches are as full as they can be."""
    rows: list[tuple[Cell, ...]] = []
    for in_flight in CONCURRENCY:
        printer.progress(f"postgres: what a step asks, {in_flight} in flight")
        name, workflow = f"counted_{in_flight}", linear(STEPS)
        with bench.journal(workflow, name=name) as journal:
            journal.start(workflow, scale.counted)
        bench.server.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
        with open_backend(PostgresBackend(bench.url(name)), workflow) as journal:
            journal.mesh.count_runs()
            before = asked(bench.server, name)
            journal.finish(capacity=in_flight)
        after = asked(bench.server, name)
        each = [(late - early) / scale.counted / STEPS for early, late in zip(before, after, strict=True)]
        rows.append((f"{in_flight} in flight", *each))
    return Table(
        name="postgres_counts",
        title="PostgreSQL: what a step asks of the server",
        columns=("a step", "statements", "transactions", "bytes of its log"),
        rows=tuple(rows),
    )


def asked(server: Postgres, name: str) -> tuple[int, int, int]:
    """Statements, transactions, and bytes of the write-ahead log, until now."""
    ((transactions, written),) = server.execute(
        "SELECT xact_commit, pg_current_wal_insert_lsn() - '0/0' FROM pg_stat_database WHERE datname = %s", (name,)
    )
    return len(_SAID.findall(server.log.read_bytes())), int(transactions), int(written)
