"""Families of runs: a root and all its descendants, which are kept and pruned together (protocol 3.7).

Rows only say where to look. Whether a run has ended, and which children it has, is read from its thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from squidmesh.clock import Instant
from squidmesh.errors import CorruptHistory
from squidmesh.ids import ThreadId
from squidmesh.journal.rows import RunRow
from squidmesh.journal.state import RunState
from squidmesh.planning.rows import tombstone
from squidmesh.planning.timers import names_for
from squidmesh.ports.journal_store import Pruning
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.held import HeldRun, Runs

PAGE = 100
"""Runs that are read at once."""


@dataclass(slots=True, kw_only=True)
class Family:
    """``runs``: children before their parents, the root last, so that what is left of a family after a crash is found
    by its root. ``unreadable``: why it has to stay.
    """

    root: str
    runs: list[Pruning]
    unreadable: str | None = None

    @property
    def entries(self) -> int:
        return sum(run.revision for run in self.runs)


def families(engine: Engine, until: Instant, *, workflow: str | None, statuses: frozenset[str]) -> Iterator[Family]:
    """Those of which every run had ended at ``until``, by the end of their root. ``workflow`` and ``statuses``: the
    root's. Holds one page at a time; what is pruned meanwhile is passed over.
    """
    last: RunRow | None = None
    patience = engine.caller_patience()
    while True:
        rows = patience.call(partial(engine.store.prunable, until, after=last, limit=PAGE))
        wanted = [row for row in rows if workflow in (None, row.workflow) and row.status in statuses]
        yield from _of_page(engine, wanted, until)
        if len(rows) < PAGE:
            return
        last = rows[-1]


def _of_page(engine: Engine, roots: Sequence[RunRow], until: Instant) -> Iterator[Family]:
    loader = Runs(engine.store, engine.definitions, engine.caller_patience())
    loaded = loader.load([row.run_id for row in roots])
    for row in roots:
        found = _family(loader, row.run_id, loaded.get(row.run_id), until)
        if found is not None:
            yield found


def _family(loader: Runs, root: str, found: HeldRun | CorruptHistory | None, until: Instant) -> Family | None:
    """None where it may not go, or is gone: a run of it goes on or has ended too late, or its root is a child, whose
    row does not say so because it is older than such rows.
    """
    if isinstance(found, HeldRun) and found.state.parent is not None:
        return None
    family = Family(root=root, runs=[])
    generation: list[HeldRun | CorruptHistory] = [] if found is None else [found]
    while generation:
        children: list[str] = []
        for run in generation:
            if isinstance(run, CorruptHistory):
                family.unreadable = str(run)
                return family
            if run.state.ended_at is None or run.state.ended_at > until:
                return None
            family.runs.append(_pruning(run.state))
            children += run.state.children
        generation = [run for ids in _pages(children) for run in loader.load(ids).values()]
    family.runs.reverse()
    return family if family.runs else None


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def _pruning(state: RunState) -> Pruning:
    return Pruning(
        thread=ThreadId(state.run_id),
        revision=state.revision,
        timers=names_for(state),
        tombstone=tombstone(state),
    )
