"""What must not grow: the cost of a step with more open runs, more finished ones, or a longer run behind it.

The sizes are measured side by side, a step of each in turn: what else the machine does hurts all of them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from benchmarks.journals import Journal, Ledger, growing, linear, open_journal, wide
from benchmarks.report import Cell, Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh.runtime.pump import Pump

_STEPS = 3
_AROUND = 10
"""Steps of one run that are measured around a position."""
_COUNTED = 16
"""Steps whose instructions are counted."""
_COLUMNS = ("wall, µs", "wall ratio", "CPU, µs", "CPU ratio", "SQLite instructions", "instructions ratio")


@dataclass(slots=True, kw_only=True)
class Case:
    """``act`` claims one step, runs it and completes it. ``walls`` and ``cpus``: of the present round, in µs; ``wall``
    and ``cpu``: the median of each round before.
    """

    what: str
    ledger: Ledger
    act: Callable[[], object]
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    instructions: float = 0.0

    def sample(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        self.act()
        self.cpus.append((time.thread_time() - cpu) * 1e6)
        self.walls.append((time.perf_counter() - wall) * 1e6)

    def end_round(self) -> None:
        self.wall.append(statistics.median(self.walls))
        self.cpu.append(statistics.median(self.cpus))
        self.walls.clear()
        self.cpus.clear()

    def count(self) -> None:
        self.ledger.count_instructions(True)
        before = self.ledger.read().instructions
        for _ in range(_COUNTED):
            self.act()
        self.instructions = (self.ledger.read().instructions - before) / _COUNTED
        self.ledger.count_instructions(False)


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    tables = []
    for name, title, case, sizes in (
        ("open", "with more open runs in the queue", open_runs, scale.sizes),
        ("finished", "with more finished runs in the journal", finished_runs, scale.sizes),
        ("leased", "with more items ahead of it that others hold", leased_items, scale.leased),
        ("position", "further on in a long run", position, scale.positions),
        ("roots", "of a run with more parallel roots", parallel_roots, scale.roots),
        ("snapshot", "further on in a long run, through execute_next", snapshot, scale.positions),
    ):
        with ExitStack() as stack:
            cases = []
            for size in sizes:
                printer.progress(f"growth, {name}: {size:,}")
                cases.append(stack.enter_context(case(folder / f"growth-{name}-{size}.db", size, scale)))
            _measure(cases, scale)
        rows = tuple((each.what, *_beside(each, cases[0])) for each in cases)
        tables.append(
            Table(
                name=f"growth_{name}",
                title=f"Growth: one step, claimed and completed, {title}",
                columns=("with", *_COLUMNS),
                rows=rows,
            )
        )
    return tables


def _measure(cases: Sequence[Case], scale: Scale) -> None:
    for _ in range(scale.repeats):
        for _ in range(scale.samples // scale.repeats):
            for case in cases:
                case.sample()
        for case in cases:
            case.end_round()
    for case in cases:
        case.count()


def _beside(case: Case, first: Case) -> Sequence[Cell]:
    wall, cpu = Figure(tuple(case.wall)), Figure(tuple(case.cpu))
    return (
        wall,
        wall.median / statistics.median(first.wall),
        cpu,
        cpu.median / statistics.median(first.cpu),
        case.instructions,
        case.instructions / first.instructions,
    )


def _steps_to_measure(scale: Scale) -> int:
    return scale.samples + 2 * _COUNTED


@contextmanager
def open_runs(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    workflow, ledger = linear(_STEPS), Ledger(statements=False)
    with open_journal(path, workflow, ledger=ledger) as journal:
        journal.start(workflow, size)
        yield Case(what=f"{size:,} open runs", ledger=ledger, act=_warm(journal))


@contextmanager
def finished_runs(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    workflow, short, ledger = linear(_STEPS), linear(1), Ledger(statements=False)
    with open_journal(path, workflow, short, ledger=ledger) as journal:
        journal.start(short, size)
        journal.finish(capacity=256)
        journal.start(workflow, _steps_to_measure(scale))
        yield Case(what=f"{size:,} finished runs", ledger=ledger, act=_warm(journal))


@contextmanager
def leased_items(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    """Leased to workers elsewhere, ahead of what is free."""
    workflow, ledger = linear(_STEPS), Ledger(statements=False)
    with open_journal(path, workflow, ledger=ledger) as journal:
        journal.start(workflow, size + _steps_to_measure(scale))
        journal.engine.leases.claim(
            ("default",), owner="elsewhere", limit=size, lease=timedelta(hours=1), request_id="elsewhere"
        )
        yield Case(what=f"{size:,} leased items", ledger=ledger, act=_warm(journal))


@contextmanager
def position(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    ledger = Ledger(statements=False)
    with _long_runs(path, size, scale, ledger) as journal:
        yield Case(what=f"step {size:,}", ledger=ledger, act=_warm(journal, scale.samples // _AROUND))


@contextmanager
def parallel_roots(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    """As many runs as have enough roots between them."""
    workflow, ledger = wide(size), Ledger(statements=False)
    with open_journal(path, workflow, ledger=ledger) as journal:
        journal.start(workflow, -(-_steps_to_measure(scale) // size))
        yield Case(what=f"{size:,} roots", ledger=ledger, act=_warm(journal))


@contextmanager
def snapshot(path: Path, size: int, scale: Scale) -> Iterator[Case]:
    ledger = Ledger(statements=False)
    with _long_runs(path, size, scale, ledger) as journal:
        for _ in range(scale.samples // _AROUND):
            journal.mesh.execute_next()
        yield Case(what=f"step {size:,}", ledger=ledger, act=journal.mesh.execute_next)


@contextmanager
def _long_runs(path: Path, size: int, scale: Scale, ledger: Ledger) -> Iterator[Journal]:
    """As many runs as it takes to measure a few steps of each, all of them shortly before the position."""
    runs = scale.samples // _AROUND
    workflow = growing(size + 2 * _AROUND)
    with open_journal(path, workflow, ledger=ledger) as journal:
        journal.start(workflow, runs)
        pump = journal.pump(capacity=runs, continues=False)
        for _ in range(max(0, size - _AROUND)):
            _one_step(pump)
        yield journal


def _warm(journal: Journal, steps: int = _COUNTED) -> Callable[[], object]:
    """What claims and completes one step, after the first few: it then holds the runs that it holds in daily life."""
    pump = journal.pump(continues=False)
    for _ in range(steps):
        _one_step(pump)
    return lambda: _one_step(pump)


def _one_step(pump: Pump) -> None:
    """Of as many runs as the pump has slots."""
    granted = pump.turn().granted
    assert granted, "nothing was left to claim"
    pump.turn(claim=False)
