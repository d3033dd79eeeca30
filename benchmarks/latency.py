"""From ``start_run`` to the result in hand, one run at a time, beside an idle worker of the same process."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.journals import Journal, Number, linear, open_journal
from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Workflow

STEPS = 3
_WARM_UP = 20


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    halves, almost_all = [], []
    for repeat in range(scale.repeats):
        printer.progress(f"latency, repeat {repeat + 1} of {scale.repeats}")
        workflow = linear(STEPS)
        with open_journal(folder / f"latency-{repeat}.db", workflow) as journal, journal.mesh.worker(concurrency=1):
            one_at_a_time(journal, workflow, _WARM_UP)
            took = sorted(one_at_a_time(journal, workflow, scale.singles))
        halves.append(took[len(took) // 2] * 1e3)
        almost_all.append(took[len(took) * 99 // 100] * 1e3)
    row = ("start_run to wait_for", Figure(tuple(halves)), Figure(tuple(almost_all)))
    title = f"Latency: {scale.singles} runs of {STEPS} steps, one at a time"
    return [Table(name="latency", title=title, columns=("one run", "p50, ms", "p99, ms"), rows=(row,))]


def one_at_a_time(journal: Journal, workflow: type[Workflow], runs: int) -> list[float]:
    """Starts each run when the one before has ended; how many seconds each took."""
    took = []
    for number in range(runs):
        before = time.perf_counter()
        run = journal.mesh.start_run(workflow, Number(number=number))
        journal.mesh.wait_for(run.run_id)
        took.append(time.perf_counter() - before)
    return took
