"""Runs and steps a second, of runs that were all started beforehand; and how fast those were started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.journals import Journal, linear, open_journal
from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Workflow

STEPS = 3
CONCURRENCY = (1, 16)


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    started: list[float] = []
    took: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCY}
    worked: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCY}
    for repeat in range(scale.repeats):
        for concurrency in CONCURRENCY:
            printer.progress(f"throughput, {concurrency} in flight, repeat {repeat + 1} of {scale.repeats}")
            starting, wall, cpu = once(
                partial(open_journal, folder / f"throughput-{concurrency}-{repeat}.db"), scale.runs, concurrency
            )
            started.append(scale.runs / starting)
            took[concurrency].append(wall)
            worked[concurrency].append(cpu)
    rows = [
        (
            f"{concurrency} in flight",
            Figure(tuple(scale.runs / seconds for seconds in took[concurrency])),
            Figure(tuple(scale.runs * STEPS / seconds for seconds in took[concurrency])),
            Figure(tuple(seconds * 1e6 / scale.runs / STEPS for seconds in worked[concurrency])),
        )
        for concurrency in CONCURRENCY
    ]
    return [
        Table(
            name="throughput",
            title=f"Throughput: {scale.runs:,} runs of {STEPS} steps, one process",
            columns=("worker", "runs/s", "steps/s", "CPU a step, µs"),
            rows=tuple(rows),
        ),
        Table(
            name="starts",
            title="Starting them, in bulk",
            columns=("start_runs", "runs/s"),
            rows=(("1,000 a call", Figure(tuple(started))),),
        ),
    ]


def once(
    opened: Callable[[type[Workflow]], AbstractContextManager[Journal]], runs: int, concurrency: int
) -> tuple[float, float, float]:
    """Seconds to start them all, seconds to run them all, and seconds of CPU that the latter took."""
    numbers, ended = count(1), threading.Event()

    def last(number: int) -> None:
        if next(numbers) == runs:
            ended.set()

    workflow = linear(STEPS, last=last)
    with opened(workflow) as journal:
        before = time.perf_counter()
        journal.start(workflow, runs)
        starting = time.perf_counter() - before
        before, busy = time.perf_counter(), time.process_time()
        with journal.mesh.worker(concurrency=concurrency):
            ended.wait()
            _wait_for_the_rest(journal)
            wall, cpu = time.perf_counter() - before, time.process_time() - busy
    return starting, wall, cpu


def _wait_for_the_rest(journal: Journal) -> None:
    """The last steps have run; what is left is the commit of the last batch."""
    for run in journal.mesh.list_runs(status="running", limit=1000).runs:
        journal.mesh.wait_for(run.run_id)
