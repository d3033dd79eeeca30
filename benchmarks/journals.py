"""A journal, mostly in a file, the workflows that run on it, and a count of what SQLite is asked to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from squidmesh_sqlite import SqliteBackend

from squidmesh import Mesh, Workflow, complete, manual, step
from squidmesh.clock import Clock
from squidmesh.config import MeshConfig
from squidmesh.ports.backend import Backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.plane import Membership
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.slots import InlineSlots
from squidmesh.runtime.watch import LogObserver
from squidmesh.workflow.registry import Registry

BULK = 1000
"""Runs that one call of ``start_runs`` starts."""
_FULL = 2
"""SQLite's number for ``synchronous = FULL``: a commit that wrote is on the disk when it returns."""


class Number(BaseModel):
    number: int = 0


def nothing(number: int) -> None:
    """The step of every benchmark: what is measured is what stands around it."""


def something(number: int) -> int:
    return number


def linear(length: int, *, last: Callable[[int], None] = nothing) -> type[Workflow]:
    """A path of ``length`` steps that do nothing; ``last`` is the function of the last one."""
    return _path(f"Linear{length}", [step(nothing) for _ in range(length - 1)] + [step(last)])


def growing(length: int) -> type[Workflow]:
    """A path whose every step adds an output of its own to the run's context."""
    return _path(f"Growing{length}", [step(something, output=f"output_{place}") for place in range(length)])


def wide(roots: int) -> type[Workflow]:
    """A graph of so many roots, and one step after all of them."""
    found = {f"root-{place}": step(nothing) for place in range(roots)}
    body = {**found, "join": step(nothing, after=list(found.values()))}
    return type(f"Wide{roots}", (Workflow,), {"version": "1", "begin": manual(Number), **body})


def _path(name: str, steps: list[Any]) -> type[Workflow]:
    flow = steps[0]
    for following in (*steps[1:], complete):
        flow = flow >> following
    body = {f"step-{place}": found for place, found in enumerate(steps)}
    return type(name, (Workflow,), {"version": "1", "begin": manual(Number), **body, "flow": flow})


# ----------------------------------------------------------------------------------------------------------- counting


@dataclass(slots=True)
class Counts:
    """``calls``: of ``execute`` and ``executemany``. ``statements``: that SQLite ran; each row of an ``executemany``
    runs its own. ``durable`` and ``ordered``: commits that wrote something and did, or did not, wait for the disk.
    ``rows``: inserted, updated or deleted by those commits. ``instructions``: of SQLite's virtual machine, while
    :meth:`Ledger.count_instructions` is on.
    """

    calls: int = 0
    statements: int = 0
    durable: int = 0
    ordered: int = 0
    rows: int = 0
    instructions: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class _Counted(sqlite3.Connection):
    """Used by one thread at a time, so its counts need no lock."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.counts = Counts()
        self._waits = False
        self._rows_before = 0

    def count(self) -> None:
        """From now on. Asked once the connection has its settings: those tell what its commits are."""
        (synchronous,) = super().execute("PRAGMA synchronous").fetchone()
        self._waits = synchronous >= _FULL
        self._rows_before = self.total_changes
        self.counts = Counts()
        self.set_trace_callback(self._ran)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self.counts.calls += 1
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self.counts.calls += 1
        return super().executemany(*arguments)

    def step(self) -> int:
        self.counts.instructions += 1
        return 0

    def _ran(self, sql: str) -> None:
        self.counts.statements += 1
        if not sql.startswith("COMMIT"):
            return
        written = self.total_changes - self._rows_before
        self._rows_before += written
        self.counts.rows += written
        if written and self._waits:
            self.counts.durable += 1
        elif written:
            self.counts.ordered += 1


class Ledger:
    """Adds up what the connections of one journal were asked. Read it while they rest. ``statements=False`` leaves them
    as fast as they are, until instructions are counted.
    """

    def __init__(self, *, statements: bool = True) -> None:
        self._statements = statements
        self._connections: list[_Counted] = []

    def factory(self) -> type[sqlite3.Connection]:
        """The class of the connections that are counted here: all but those that only look at the schema, which run
        no script of settings.
        """
        connections, statements = self._connections, self._statements

        class Counted(_Counted):
            def executescript(self, script: str, /) -> sqlite3.Cursor:
                answer = super().executescript(script)
                if statements:
                    self.count()
                connections.append(self)
                return answer

        return Counted

    def read(self) -> Counts:
        each = [astuple(connection.counts) for connection in self._connections]
        return Counts(*map(sum, zip(*each, strict=True)))

    def count_instructions(self, on: bool) -> None:
        """Slow: leave it off while time is measured."""
        for connection in self._connections:
            connection.set_progress_handler(connection.step if on else None, 1)


# ------------------------------------------------------------------------------------------------------------ journals


class WideSlots(InlineSlots):
    """Many slots in the caller's own thread: their outcomes all wait when the pump turns next, so that each batch is
    as full as it can be, and a count comes out the same on every machine.
    """

    def __init__(self, engine: Engine, capacity: int) -> None:
        super().__init__(engine.carry)
        self.capacity = capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Opened. ``path``: of its file, where it is one."""

    mesh: Mesh
    engine: Engine
    path: Path | None = None

    def start(self, workflow: type[Workflow], count: int) -> list[str]:
        """Starts that many runs, in bulk; their ids."""
        started: list[str] = []
        while len(started) < count:
            payloads = [{"number": number} for number in range(min(BULK, count - len(started)))]
            started += [run.run_id for run in self.mesh.start_runs(workflow, payloads)]
        return started

    def pump(self, *, capacity: int = 1, continues: bool = True) -> Pump:
        """One whose slots are in this thread."""
        return self.engine.pump(
            WideSlots(self.engine, capacity),
            owner_id="bench",
            queues=("default",),
            pulse=None,
            patience=CALLER_PATIENCE,
            continues=continues,
        )

    def finish(self, *, capacity: int) -> None:
        """Runs what there is, in this thread."""
        pump = self.pump(capacity=capacity)
        while not pump.turn().idle_for:
            pass

    def query(self, sql: str) -> int:
        """One number, asked on a connection of its own."""
        assert self.path is not None
        connection = sqlite3.connect(self.path)
        try:
            (found,) = connection.execute(sql).fetchone()
        finally:
            connection.close()
        return int(found)


def _found_plane(path: Path) -> None:
    """What the first claim of a journal does: once, so no run is to pay for it."""
    backend = SqliteBackend(f"sqlite:///{path}", clock=SystemClock())
    Membership(backend.journal(), backend.leases(), LogObserver()).join()
    backend.close()


@contextmanager
def open_journal(
    path: Path, *workflows: type[Workflow], ledger: Ledger | None = None, clock: Clock | None = None
) -> Iterator[Journal]:
    """The journal at ``path``, made if it is not there; its connections are counted where there is a ledger."""
    _found_plane(path)
    factory = sqlite3.Connection if ledger is None else ledger.factory()
    backend = SqliteBackend(f"sqlite:///{path}", clock=clock or SystemClock(), factory=factory)
    with open_backend(backend, *workflows, path=path) as journal:
        yield journal


@contextmanager
def open_backend(
    backend: Backend, *workflows: type[Workflow], path: Path | None = None, leases: Backend | None = None
) -> Iterator[Journal]:
    """Its journal, with the leases in it, or in another backend. It is closed at the end."""
    registry, config = Registry(workflows), MeshConfig()
    engine = Engine(journal=backend, leases=leases, registry=registry, config=config, observer=LogObserver())
    mesh = Mesh("bench", registry=registry, config=config, open_engine=lambda: engine)
    try:
        yield Journal(path=path, mesh=mesh, engine=engine)
    finally:
        engine.close()
