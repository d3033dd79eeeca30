"""The list of runs: how many there are by status, filters, and pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from squidmesh import Mesh, RunList
from squidmesh.sonar.counted import Counted
from squidmesh.sonar.house import PAGE_SIZES, Ask
from squidmesh.sonar.live import Topic, digest

STATUSES = (
    *("running", "retrying", "waiting", "paused", "failing", "compensating"),
    *("completed", "failed", "cancelled"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    workflow: str | None
    status: str | None
    queue: str | None
    text: str | None
    since: datetime | None
    until: datetime | None
    size: int
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """``counts`` is None for whoever may not see all runs: they are counted for all queues together."""

    page: RunList
    counts: dict[str, int] | None

    @property
    def digest(self) -> str:
        return digest([self.page.to_json()["runs"], self.counts])


def asked(ask: Ask) -> Filters:
    return Filters(
        workflow=ask.query("workflow"),
        status=ask.one_of("status", STATUSES),
        queue=ask.queue(),
        text=ask.query("text"),
        since=ask.moment("since"),
        until=ask.moment("until"),
        size=ask.size(),
        after=ask.query("after"),
    )


def look(mesh: Mesh, filters: Filters, counted: Counted | None) -> Look:
    """``counted`` is None where nothing is counted."""
    page = mesh.list_runs(
        workflow=filters.workflow,
        status=filters.status,
        queue=filters.queue,
        text=filters.text,
        since=filters.since,
        until=filters.until,
        limit=filters.size,
        after=filters.after,
    )
    return Look(page=page, counts=None if counted is None else counted.of(filters.workflow))


def topic(ask: Ask) -> Topic:
    filters, counted = asked(ask), _counted(ask)
    return Topic(f"runs {ask.visitor.sees_all} {filters!r}", lambda: look(ask.mesh, filters, counted).digest)


def _counted(ask: Ask) -> Counted | None:
    return ask.house.counted if ask.visitor.sees_all else None


def show(ask: Ask) -> Response:
    filters = asked(ask)
    seen = look(ask.mesh, filters, _counted(ask))
    said = {name: ask.query(name) for name in ("workflow", "status", "queue", "text", "since", "until", "size")}

    def with_status(status: str | None) -> str:
        return ask.at("/runs", **{**said, "status": status})

    return ask.write(
        "runs",
        section="runs",
        topic="runs",
        seen=seen.digest,
        page=seen.page,
        counts=seen.counts,
        statuses=STATUSES,
        filters=filters,
        said=said,
        sizes=PAGE_SIZES,
        with_status=with_status,
        next=None if seen.page.next is None else ask.at("/runs", **said, after=seen.page.next),
        first=None if filters.after is None else ask.at("/runs", **said),
        workflows=[one.name for one in ask.mesh.workflows()],
        queues=[] if ask.visitor.sees_all else ask.queues(),
    )
