"""What SQLite is asked to do for a step and for a run: counted, not timed."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

from benchmarks.journals import Counts, Journal, Ledger, linear, open_journal
from benchmarks.latency import one_at_a_time
from benchmarks.report import Cell, Printer, Table
from benchmarks.scale import Scale
from squidmesh.testing.clock import VirtualClock

STEPS = 3
_COLUMNS = ("calls", "statements", "durable commits", "ordered commits", "rows written", "entries")
_NOTE = (
    "The first three rows work in one thread, so that each batch is full and the counts are the same everywhere; "
    "the two with a worker are as its threads happened to meet."
)


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    printer.progress("counts")
    counted = {
        "start_runs, in bulk": started(folder, scale.counted),
        "1 in flight": executed(folder, scale.counted, in_flight=1),
        "16 in flight": executed(folder, scale.counted, in_flight=16),
        "16 in flight, worker": worked(folder, scale.counted, concurrency=16),
        "one at a time, worker, with its start": alone(folder, min(scale.counted, scale.singles)),
    }
    tables = []
    for each, divisor in (("run", 1), ("step", STEPS)):
        rows = tuple((name, *_shares(found, divisor)) for name, found in counted.items())
        tables.append(
            Table(
                name=f"counts_a_{each}",
                title=f"What a {each} of {STEPS} steps asks of SQLite" if divisor == 1 else "The same, a step",
                columns=(f"a {each}", *_COLUMNS),
                rows=rows,
                note=_NOTE if divisor == 1 else "",
            )
        )
    return tables


class Counted:
    """What some runs cost: the counts, and the entries that they left in the journal."""

    def __init__(self, counts: Counts, entries: int, runs: int) -> None:
        self.counts = counts
        self.entries = entries
        self.runs = runs

    def a_run(self) -> dict[str, float]:
        found = self.counts
        return {
            "calls": found.calls / self.runs,
            "statements": found.statements / self.runs,
            "durable commits": found.durable / self.runs,
            "ordered commits": found.ordered / self.runs,
            "rows written": found.rows / self.runs,
            "entries": self.entries / self.runs,
        }


def _shares(found: Counted, divisor: int) -> tuple[Cell, ...]:
    a_run = found.a_run()
    return tuple(a_run[name] / divisor for name in _COLUMNS)


class _Tally:
    """Counts what happens within it."""

    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self._journal, self._ledger = journal, ledger
        self._before, self._entries_before = ledger.read(), self._entries()

    def of(self, runs: int) -> Counted:
        return Counted(self._ledger.read() - self._before, self._entries() - self._entries_before, runs)

    def _entries(self) -> int:
        return self._journal.query("SELECT count(*) FROM entries")


def started(folder: Path, runs: int) -> Counted:
    ledger, workflow = Ledger(), linear(STEPS)
    with open_journal(folder / "counts-start.db", workflow, ledger=ledger) as journal:
        tally = _Tally(journal, ledger)
        journal.start(workflow, runs)
        return tally.of(runs)


def executed(folder: Path, runs: int, *, in_flight: int, steps: int = STEPS) -> Counted:
    """All of them, by one pump with that many slots in this thread; their start is not counted. Time stands still: a
    run that goes on some seconds later than it began writes a little more.
    """
    ledger, workflow = Ledger(), linear(steps)
    place = folder / f"counts-{in_flight}-{steps}.db"
    with open_journal(place, workflow, ledger=ledger, clock=VirtualClock()) as journal:
        journal.start(workflow, runs)
        tally = _Tally(journal, ledger)
        journal.finish(capacity=in_flight)
        return tally.of(runs)


def worked(folder: Path, runs: int, *, concurrency: int) -> Counted:
    """As :func:`executed`, by a worker with threads."""
    numbers, ended = count(1), threading.Event()
    ledger = Ledger()

    def last(number: int) -> None:
        if next(numbers) == runs:
            ended.set()

    workflow = linear(STEPS, last=last)
    with open_journal(folder / f"counts-worker-{concurrency}.db", workflow, ledger=ledger) as journal:
        journal.start(workflow, runs)
        tally = _Tally(journal, ledger)
        with journal.mesh.worker(concurrency=concurrency):
            ended.wait()  # leaving the block records what has ended
        return tally.of(runs)


def alone(folder: Path, runs: int) -> Counted:
    """Each started when the one before has ended, beside an idle worker; with their starts and the waiting for them."""
    ledger, workflow = Ledger(), linear(STEPS)
    with open_journal(folder / "counts-alone.db", workflow, ledger=ledger) as journal:
        tally = _Tally(journal, ledger)
        with journal.mesh.worker(concurrency=1):
            one_at_a_time(journal, workflow, runs)
        return tally.of(runs)
