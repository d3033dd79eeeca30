"""What it costs where a step is called: in a thread, on the event loop, or in a process of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from benchmarks.journals import Journal, Number, open_journal
from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Workflow, manual, step

CONCURRENCY = 4
_LOOK = 0.005


def nothing(number: int) -> None:
    """The step is empty: what is measured is what stands around it."""


async def nothing_async(number: int) -> None:
    """The same."""


class InThread(Workflow):
    version = "1"
    begin = manual(Number)
    act = step(nothing)


class OnLoop(Workflow):
    version = "1"
    begin = manual(Number)
    act = step(nothing_async)


class InProcess(Workflow):
    version = "1"
    begin = manual(Number)
    act = step(nothing, isolation="process")


KINDS: dict[str, type[Workflow]] = {
    "a thread": InThread,
    "the event loop": OnLoop,
    "a warm process": InProcess,
}


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    delays: dict[str, list[float]] = {kind: [] for kind in KINDS}
    first: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for repeat in range(scale.repeats):
        for kind, workflow in KINDS.items():
            printer.progress(f"slots, {kind}, repeat {repeat + 1} of {scale.repeats}")
            with open_journal(folder / f"slots-{workflow.__name__}-{repeat}.db", workflow) as journal:
                cold, alone, together = _once(journal, workflow, scale)
            first[kind].append(cold * 1e3)
            delays[kind].append(alone * 1e3)
            rates[kind].append(scale.runs / together)
    rows = [
        (kind, Figure(tuple(rates[kind])), Figure(tuple(delays[kind])), Figure(tuple(first[kind]))) for kind in KINDS
    ]
    title = f"Slots: {scale.runs:,} runs of one step, {CONCURRENCY} in flight, and {scale.singles:,} one at a time"
    columns = ("the step is called in", "steps/s", "one alone, ms", "the first one, ms")
    return [Table(name="slots", title=title, columns=columns, rows=tuple(rows))]


def _once(journal: Journal, workflow: type[Workflow], scale: Scale) -> tuple[float, float, float]:
    """Seconds of the first step of all, of one alone (half of them took less), and of many together."""
    with journal.mesh.worker(concurrency=CONCURRENCY):
        cold = _alone(journal, workflow)
        took = sorted(_alone(journal, workflow) for _ in range(scale.singles))
        _together(journal, workflow, 4 * CONCURRENCY)  # as many processes as there will be
        return cold, took[len(took) // 2], _together(journal, workflow, scale.runs)


def _alone(journal: Journal, workflow: type[Workflow]) -> float:
    before = time.perf_counter()
    run = journal.mesh.start_run(workflow, Number(number=1))
    journal.mesh.wait_for(run.run_id)
    return time.perf_counter() - before


def _together(journal: Journal, workflow: type[Workflow], runs: int) -> float:
    """From the call that starts them to the last end."""
    goal = journal.mesh.count_runs().get("completed", 0) + runs
    before, turn = time.perf_counter(), threading.Event()
    journal.start(workflow, runs)
    while journal.mesh.count_runs().get("completed", 0) < goal:
        turn.wait(_LOOK)
    return time.perf_counter() - before
