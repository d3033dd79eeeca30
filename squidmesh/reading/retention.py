"""What a prune and an archive did, and a run as one line of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from squidmesh.clock import Instant
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.state import RunState
from squidmesh.reading.inspect import HistoryEvent, inspect
from squidmesh.reading.plain import to_plain
from squidmesh.workflow.definition import Definition

ARCHIVE_VERSION = 1
"""Raise it when a field of a line changes its meaning or goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune removed, or would remove (``dry_run``): so many ``runs`` with so many ``entries``, of which
    ``tombstones`` left one. ``before``: all of them had ended then. ``held``: how many families stay because the
    history of one of their runs can not be read; ``reasons``: why, by the id of their root, of the first hundred.
    """

    runs: int
    entries: int
    tombstones: int
    before: datetime
    held: int
    reasons: dict[str, str]
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived(Pruned):
    """The same of an archive, which wrote ``bytes``: a line for each run."""

    bytes: int


def archived_run(
    state: RunState, definition: Definition, entries: Sequence[tuple[int, Sequence[AnyFact]]], *, now: Instant
) -> dict[str, Any]:
    """One run that has ended, as JSON: what it was, how it ended, and its entries in order, each with its facts. What
    is marked secret is hidden as in ``inspect_run(history=True)``, by the definition that the run started with.
    """
    run = inspect(state, now=now, definition=definition, history=entries)
    found: dict[str, Any] = to_plain(
        {
            "archive": ARCHIVE_VERSION,
            "run_id": run.run_id,
            "workflow": run.workflow,
            "version": run.version,
            "fingerprint": state.fingerprint,
            "trigger": run.trigger,
            "key": run.key,
            "queue": run.queue,
            "status": run.status,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "parent": None if run.parent_run is None else run.parent_run.run_id,
            "entries": [
                {"revision": revision, "facts": [_fact(event) for event in events]}
                for revision, events in groupby(run.history or (), key=attrgetter("revision"))
            ],
        }
    )
    return found


def _fact(event: HistoryEvent) -> dict[str, Any]:
    return {"fact": event.kind, "at": event.at, **event.details}
