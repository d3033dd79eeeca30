"""Pruning: runs that ended long ago go, whole, in batches that keep nobody waiting (protocol 3.7, I1, I12).

Each batch is one transaction, so whoever dies leaves whole runs. An archive writes the lines of a batch, and has them
on the disk, before it prunes that batch: what is gone is in the file, and what was written last may come again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from squidmesh.clock import Instant, check_duration, micros, to_datetime
from squidmesh.config import check_integer
from squidmesh.errors import CommitUnknown, CorruptHistory, InvalidInput, JournalConflict, NotFound, RunPruned
from squidmesh.journal.state import ENDED_RUN
from squidmesh.ports.journal_store import Committed, Conflict, Pruning
from squidmesh.reading.retention import Archived, Pruned, archived_run
from squidmesh.runtime.archiving import Archive
from squidmesh.runtime.arguments import check_list, check_name, check_one_of
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.families import Family, families
from squidmesh.runtime.held import HeldRun, Runs
from squidmesh.runtime.looking import look

SHORTEST_AGE = timedelta(minutes=1)
"""Younger than that, a run may still be waited for, and whoever started it may still repeat a start whose answer was
lost: with no key, it would begin again.
"""
LONGEST_AGE = timedelta(days=36_500)
MOST_RUNS = 100
MOST_ENTRIES = 2000
"""In one transaction, as far as a single run does not have more."""
_LIMITS = range(1, 10**12)
_LONGEST_PAUSE = 0.1
_REASONS = 100

Tell = Callable[[int], None]
"""Hears of each batch: how many runs have gone so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is to be pruned, checked."""

    older_than: timedelta
    workflow: str | None
    statuses: frozenset[str]
    limit: int | None
    dry_run: bool
    tell: Tell


def check_terms(
    *, older_than: object, workflow: object, statuses: object, limit: object, dry_run: object, tell: Tell
) -> Terms:
    """Raises ``InvalidInput``; asks no store."""
    if not isinstance(dry_run, bool):
        raise InvalidInput(f"is a {type(dry_run).__name__}; allowed are True and False", field="dry_run")
    if not callable(tell):
        raise InvalidInput(f"is a {type(tell).__name__}; allowed is a function of a number of runs", field="tell")
    return Terms(
        older_than=check_duration(older_than, field="older_than", least=SHORTEST_AGE, most=LONGEST_AGE),
        workflow=None if workflow is None else check_name(workflow, field="workflow"),
        statuses=ENDED_RUN if statuses is None else _check_statuses(statuses),
        limit=None if limit is None else check_integer(limit, field="limit", allowed=_LIMITS),
        dry_run=dry_run,
        tell=tell,
    )


def _check_statuses(statuses: object) -> frozenset[str]:
    allowed = sorted(ENDED_RUN)
    given = check_list(statuses, field="statuses", of=f"{', '.join(allowed)}")
    if not given:
        raise InvalidInput(f"is empty; allowed are {', '.join(allowed)}", field="statuses")
    return frozenset(check_one_of(one, allowed, field=f"statuses[{place}]") for place, one in enumerate(given))


# --------------------------------------------------------------------------------------------------------- the work


@dataclass(slots=True)
class Tally:
    """What has gone so far, or would go."""

    before: Instant
    dry_run: bool
    runs: int = 0
    entries: int = 0
    tombstones: int = 0
    held: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def gone(self, batch: Sequence[Pruning]) -> None:
        self.runs += len(batch)
        self.entries += sum(run.revision for run in batch)
        self.tombstones += sum(run.tombstone is not None for run in batch)

    def hold(self, family: Family) -> None:
        self.held += 1
        if len(self.reasons) < _REASONS:
            self.reasons[family.root] = family.unreadable or ""

    def pruned(self) -> Pruned:
        return Pruned(
            runs=self.runs,
            entries=self.entries,
            tombstones=self.tombstones,
            before=to_datetime(self.before),
            held=self.held,
            reasons=self.reasons,
            dry_run=self.dry_run,
        )

    def archived(self, written: int) -> Archived:
        return Archived(
            runs=self.runs,
            entries=self.entries,
            tombstones=self.tombstones,
            before=to_datetime(self.before),
            held=self.held,
            reasons=self.reasons,
            dry_run=self.dry_run,
            bytes=written,
        )


def prune(engine: Engine, terms: Terms, archive: Archive | None = None) -> Tally:
    """Prunes what the terms name, or counts it. With an ``archive``, it is written there first."""
    tally = Tally(before=Instant(engine.store.now() - micros(terms.older_than)), dry_run=terms.dry_run)
    for batch in _batches(_limited(_readable(engine, terms, tally), terms.limit)):
        pieces = batch if archive is None or terms.dry_run else _written(engine, archive, batch, tally)
        runs = [run for piece in pieces for run in piece.runs]
        if not runs:
            continue
        tally.gone(runs if terms.dry_run else _prune(engine, runs))
        terms.tell(tally.runs)
    if tally.runs and not terms.dry_run:
        engine.observer.notice("runs_pruned", runs=tally.runs, entries=tally.entries)
    return tally


def _readable(engine: Engine, terms: Terms, tally: Tally) -> Iterator[Family]:
    for family in families(engine, tally.before, workflow=terms.workflow, statuses=terms.statuses):
        if family.unreadable is None:
            yield family
        else:
            tally.hold(family)


def _limited(found: Iterator[Family], limit: int | None) -> Iterator[Family]:
    """Until there are so many runs; the last family is not cut."""
    taken = 0
    for family in found:
        yield family
        taken += len(family.runs)
        if limit is not None and taken >= limit:
            return


@dataclass(slots=True)
class Piece:
    """Runs of one family that go in one transaction: all of it where it is small enough."""

    family: Family
    runs: list[Pruning]

    @property
    def entries(self) -> int:
        return sum(run.revision for run in self.runs)


def _batches(found: Iterator[Family]) -> Iterator[list[Piece]]:
    """Transactions of a bounded size. A family is in one of them, unless it is larger by itself."""
    batch: list[Piece] = []
    for piece in (piece for family in found for piece in _pieces(family)):
        if batch and not _fits(batch, piece):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _fits(batch: Sequence[Piece], more: Piece) -> bool:
    runs = len(more.runs) + sum(len(piece.runs) for piece in batch)
    return runs <= MOST_RUNS and more.entries + sum(piece.entries for piece in batch) <= MOST_ENTRIES


def _pieces(family: Family) -> Iterator[Piece]:
    piece = Piece(family, [])
    for run in family.runs:
        if piece.runs and not _fits([piece], Piece(family, [run])):
            yield piece
            piece = Piece(family, [])
        piece.runs.append(run)
    yield piece


def _prune(engine: Engine, runs: Sequence[Pruning]) -> Sequence[Pruning]:
    """One transaction; those that went by it. What another prune has taken meanwhile is left out."""
    while runs:
        begun = time.monotonic()
        answer, unknown = _commit(engine, runs)
        if isinstance(answer, Committed):
            _give_way(time.monotonic() - begun)
            return runs
        if answer.revision != 0:
            raise JournalConflict(f"run {answer.thread} has ended, and its thread has moved on to {answer.revision}")
        there = _still_there(engine, runs)
        if unknown and not there:  # all or nothing: it was ours
            return runs
        runs = there
    return runs


def _commit(engine: Engine, runs: Sequence[Pruning]) -> tuple[Committed | Conflict, bool]:
    """The answer, and whether an earlier one was lost."""
    unknown = False

    def once() -> Committed | Conflict:
        nonlocal unknown
        try:
            return engine.store.prune(runs)
        except CommitUnknown:
            unknown = True
            raise

    return engine.caller_patience().call(once), unknown


def _still_there(engine: Engine, runs: Sequence[Pruning]) -> list[Pruning]:
    found = Runs(engine.store, engine.definitions, engine.caller_patience()).load([run.thread for run in runs])
    return [run for run in runs if isinstance(found.get(run.thread), HeldRun)]


def _give_way(took: float) -> None:
    """To whoever waits for his turn to write: for as long as he may have waited."""
    threading.Event().wait(min(took, _LONGEST_PAUSE))


# ------------------------------------------------------------------------------------------------------ the archive


def _written(engine: Engine, archive: Archive, batch: Sequence[Piece], tally: Tally) -> list[Piece]:
    """The pieces whose lines are on the disk. One that can not be read to its end stays, with its family."""
    kept: list[Piece] = []
    lines: list[bytes] = []
    for piece in batch:
        if piece.family.unreadable is not None:  # an earlier piece of it was met before
            continue
        found = _lines(engine, piece)
        if found is None:
            tally.hold(piece.family)
            continue
        kept.append(piece)
        lines += found
    if lines:
        archive.append(lines)
    return kept


def _lines(engine: Engine, piece: Piece) -> list[bytes] | None:
    lines = []
    for run in piece.runs:
        try:
            seen = look(engine, run.thread, history=True)
            problem = seen.anomaly
        except CorruptHistory as error:
            problem = error
        except (NotFound, RunPruned):  # another prune was first
            continue
        if problem is not None:
            piece.family.unreadable = str(problem)
            return None
        line = archived_run(seen.state, seen.definition, seen.entries or [], now=engine.store.now())
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return lines
