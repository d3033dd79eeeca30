"""``list_runs``: summaries from run rows. No payload, no output, no error's text (I19)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from squidmesh.clock import Instant, to_datetime
from squidmesh.journal.rows import RunRow
from squidmesh.reading.plain import to_plain

_BECOMES_RUNNING = frozenset({"waiting", "retrying"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of a list. ``step`` is where the run stands; ``error`` the code of its failure; ``due_at`` the moment
    that it waits for; ``active_at`` about when its history grew last: its end, or else up to ten seconds before.
    """

    run_id: str
    workflow: str
    version: str
    trigger: str
    key: str | None
    queue: str
    status: str
    step: str | None
    error: str | None
    started_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    active_at: datetime

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """A page, in the order that was asked for, as it stood at ``as_of`` by the journal's clock. ``next`` is the cursor
    of the page after it (``list_runs(after=…)``), None on the last one.
    """

    runs: tuple[RunSummary, ...]
    next: str | None
    as_of: datetime = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


def summarize(row: RunRow, *, now: Instant) -> RunSummary:
    """A row keeps the status of the run's last entry; what has become due since then is running."""
    due = row.due_at is not None and row.due_at <= now and row.status in _BECOMES_RUNNING
    return RunSummary(
        run_id=row.run_id,
        workflow=row.workflow,
        version=row.version,
        trigger=row.trigger,
        key=row.key,
        queue=row.queue,
        status="running" if due else row.status,
        step=row.step,
        error=row.error,
        started_at=to_datetime(row.started_at),
        due_at=None if row.due_at is None else to_datetime(row.due_at),
        ended_at=None if row.ended_at is None else to_datetime(row.ended_at),
        active_at=to_datetime(row.active_at),
    )


class Page(Protocol):
    """A store's page of run rows."""

    @property
    def rows(self) -> tuple[RunRow, ...]: ...

    @property
    def next(self) -> str | None: ...


def listing(page: Page, *, now: Instant) -> RunList:
    return RunList(runs=tuple(summarize(row, now=now) for row in page.rows), next=page.next, as_of=to_datetime(now))
