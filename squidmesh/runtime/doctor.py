"""What is there, and whether it is as it should be: for an operator who has no idea what is wrong.

Nothing is written, made or migrated, and whatever can not be looked at is a finding of its own. What it costs is
bounded: by the number of queues, not by that of runs. No finding shows a password, a payload or a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from squidmesh.clock import Instant, duration
from squidmesh.errors import CorruptHistory, SquidMeshError, WrongPlane
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.backend import Finding, Level
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.lease_backend import LeaseBackend
from squidmesh.runtime.coded import coded
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.engine import Stores
from squidmesh.runtime.held import Definitions, HeldRun, Runs
from squidmesh.runtime.plane import recognise
from squidmesh.runtime.served import Waiting, look_at_workers
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.registry import Registry

LATE = timedelta(minutes=15)
"""An attempt that nobody has claimed for so long, although it is due, is worth a word."""
MOST_QUEUES = 100
MOST_ATTEMPTS = 1000
"""So many queues, and so many attempts of each, are looked at."""
_RUNS_OF_A_STEP, _MOST_RUNS = 3, 100
"""Runs that are read to see which steps have no function here."""
_LOOKS, _LOOK = 64, 100
_A_STORE = "a store that can be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``findings`` in the order in which they were made."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The gravest of them."""
        found = {finding.level for finding in self.findings}
        return "refused" if "refused" in found else "warning" if "warning" in found else "ok"

    def to_json(self) -> dict[str, object]:
        plain = [
            {"name": one.name, "level": one.level, "found": one.found, "wanted": one.wanted} for one in self.findings
        ]
        return {"level": self.level, "findings": plain}


def examine(stores: Stores, registry: Registry) -> Report:
    """Raises nothing that a store raises."""
    found = list(stores.journal.doctor())
    with ExitStack() as opened:
        journal, leases = _opened(stores, opened, found)
        if stores.leases is not None:
            found += stores.leases.doctor(now=journal.now() if journal is not None else None)
            try:
                leases = opened.enter_context(stores.leases.reading()).leases
            except SquidMeshError as error:
                found.append(_finding("leases", "refused", str(error), "a lease backend that can be reached"))
        if journal is not None and leases is not None:
            found += _look_inside(stores, registry, journal, leases)
    return Report(findings=tuple(found))


def _opened(stores: Stores, opened: ExitStack, found: list[Finding]) -> tuple[JournalStore | None, LeaseBackend | None]:
    """The journal, with the leases at the same address. None where it can not be opened: that is told, unless the
    backend has told it.
    """
    try:
        if stores.journal.migrations():  # there is nothing yet, or nothing that this version reads
            return None, None
        reading = opened.enter_context(stores.journal.reading())
    except SquidMeshError as error:
        if all(one.level != "refused" for one in found):
            found.append(_finding("journal", "refused", str(error), _A_STORE))
        return None, None
    if reading.journal is None:
        found.append(_finding("journal", "refused", "holds leases, and no journal", "name it as leases="))
        return None, None
    return reading.journal, reading.leases


def refused(error: SquidMeshError) -> Report:
    """Where there is nothing to look at."""
    return Report(findings=(_finding("journal", "refused", str(error), _A_STORE),))


def _look_inside(stores: Stores, registry: Registry, journal: JournalStore, leases: LeaseBackend) -> Iterator[Finding]:
    looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("plane", lambda: [_plane(journal, leases, own=stores.leases is None)]),
        ("attempts", lambda: _attempts(journal, coded(journal, stores.codec), registry)),
        ("workers.queues", lambda: look_at_workers(journal, _waiting(journal))),
        ("dead_letters", lambda: [_dead_letters(journal)]),
        ("paused_queues", lambda: [_paused(journal)]),
    ]
    for name, look in looks:
        try:
            yield from look()
        except SquidMeshError as error:
            yield _finding(name, "refused", str(error), _A_STORE)


def _plane(journal: JournalStore, leases: LeaseBackend, *, own: bool) -> Finding:
    """``own``: the mesh was opened without another lease backend."""
    wanted = "the lease backend that this mesh was opened with"
    plane = journal.plane()
    if plane is None:
        return _finding("plane", "ok", "nobody has claimed anything yet", wanted)
    if own and plane.kind != leases.kind and not plane.moving:
        found = f"delivered by {plane.name}; opened here without leases=, which is enough to start, read and command"
        return _finding("plane", "warning", found, "leases= with that one, to work")
    try:
        known, marker = recognise(plane, leases)
    except WrongPlane as error:
        return _finding("plane", "refused", str(error), wanted)
    if known:
        return _finding("plane", "ok", f"{plane.name}, epoch {plane.epoch}", wanted)
    memory = "is empty" if marker is None else "is an older one"
    found = f"the memory of {leases.name} {memory}: the next worker takes it over, and offers it all that is open"
    return _finding("plane", "warning", found, "a memory that this mesh knows")


# -------------------------------------------------------------------------------------------------------- attempts


def _attempts(journal: JournalStore, readable: JournalStore, registry: Registry) -> Iterator[Finding]:
    """By queue; then the oldest of all, and which steps have no function here. ``readable``: the journal behind the
    mesh's payload codec.
    """
    now = journal.now()
    queues = journal.agenda_queues()
    paused = {row.queue for row in journal.paused_queues()}
    oldest: list[AttemptRow] = []
    seen: list[AttemptRow] = []
    for queue in queues[:MOST_QUEUES]:
        rows = journal.agenda(queue, limit=MOST_ATTEMPTS).rows
        seen += rows
        first = _oldest_due(journal, queue, now)
        if first is not None:
            oldest.append(first)
        yield _queue(queue, len(rows), first, now, is_paused=queue in paused)
    if len(queues) > MOST_QUEUES:
        yield _finding("queues", "warning", f"{len(queues)} with open attempts", f"{MOST_QUEUES} were looked at")
    yield _oldest(min(oldest, key=lambda row: row.visible_at, default=None), now)
    yield from _functions(seen, readable, registry)


def _waiting(journal: JournalStore) -> Iterator[Waiting]:
    """By queue that is handed out: since when the first attempt is due that nobody holds."""
    now = journal.now()
    paused = {row.queue for row in journal.paused_queues()}
    for queue in journal.agenda_queues()[:MOST_QUEUES]:
        rows = journal.agenda(queue, until=now, limit=MOST_ATTEMPTS).rows
        due = [row.visible_at for row in rows if row.owner is None]
        if due and queue not in paused:
            yield Waiting(queue, Instant(min(due)))


def _queue(queue: str, count: int, first: AttemptRow | None, now: int, *, is_paused: bool) -> Finding:
    counted = f"{count} open" if count < MOST_ATTEMPTS else f"{count} open or more"
    due = "none is due" if first is None else f"the first is due since {_ago(now - first.visible_at)}"
    late = first is not None and first.owner is None and not is_paused and duration(now - first.visible_at) > LATE
    wanted = f"due attempts are claimed within {LATE}, by workers of this queue"
    return _finding(f"queue.{queue}", "warning" if late else "ok", f"{counted}; {due}", wanted)


def _oldest_due(journal: JournalStore, queue: str, now: Instant) -> AttemptRow | None:
    """Each look leaves out what is younger than the oldest so far: a page's order is the store's own."""
    found: AttemptRow | None = None
    until = now
    for _ in range(_LOOKS):
        rows = journal.agenda(queue, until=until, limit=_LOOK).rows
        if not rows:
            break
        found = min(rows, key=lambda row: row.visible_at)
        until = Instant(found.visible_at - 1)
    return found


def _oldest(row: AttemptRow | None, now: int) -> Finding:
    wanted = "workers that claim what is due"
    if row is None:
        return _finding("oldest_attempt", "ok", "nothing is due", wanted)
    holder = "nobody has claimed it" if row.owner is None else f"claimed by {row.owner}"
    found = f"{row.item}, queue {row.queue}: due since {_ago(now - row.visible_at)}, {holder}"
    return _finding("oldest_attempt", "ok", found, wanted)


def _functions(rows: Iterable[AttemptRow], readable: JournalStore, registry: Registry) -> Iterator[Finding]:
    """Of open attempts whose function is not here. Runs are read for that, a few for each name of a step."""
    if not registry.names and not registry.actions:
        return
    chosen: dict[str, list[AttemptRow]] = {}
    for row in rows:
        of_step = chosen.setdefault(row.step, [])
        if len(of_step) < _RUNS_OF_A_STEP:
            of_step.append(row)
    some = list(islice((row for of_step in chosen.values() for row in of_step), _MOST_RUNS))
    patience = Patience(timedelta(0))
    runs = Runs(readable, Definitions(readable), patience).load([row.run_id for row in some])
    lacking = sorted({text for row in some if (text := _lacking(runs.get(row.run_id), row.step, registry)) is not None})
    wanted = "a function for each open attempt, unless a worker elsewhere has it"
    level: Level = "warning" if lacking else "ok"
    yield _finding("functions", level, ", ".join(lacking) or "none is missing", wanted)
    for error in runs.values():
        if isinstance(error, CorruptHistory):
            yield _finding("history", "refused", str(error), "entries that can be read; the run is held until then")


def _lacking(run: HeldRun | CorruptHistory | None, step: str, registry: Registry) -> str | None:
    if not isinstance(run, HeldRun):
        return None
    spec = run.definition.steps_by_name.get(step)
    if not isinstance(spec, FunctionStep):
        return None
    standing = registry.standing(run.state.workflow, spec)
    return None if standing == "here" else f"{run.state.workflow}.{step} is {standing}"


# ---------------------------------------------------------------------------------------------------------- the rest


def _dead_letters(journal: JournalStore) -> Finding:
    count = journal.count_dead_letters()
    wanted = "none: squidmesh dead-letters list shows them"
    return _finding("dead_letters", "warning" if count else "ok", str(count) if count else "none", wanted)


def _paused(journal: JournalStore) -> Finding:
    rows = journal.paused_queues()
    found = ", ".join(f"{row.queue} by {row.actor}" for row in rows[:MOST_QUEUES]) or "none"
    return _finding("paused_queues", "warning" if rows else "ok", found, "none that somebody has forgotten")


def _ago(micros: int) -> str:
    return str(timedelta(seconds=micros // 1_000_000))


def _finding(name: str, level: Level, found: str, wanted: str) -> Finding:
    return Finding(name=name, level=level, found=found, wanted=wanted)
