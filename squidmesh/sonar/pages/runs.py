"""The list of runs: how many there are by status, filters, the order, and pages.

By activity the mesh looks at the latest thousand runs a page, whatever matches. Where the order is not said, and these
hold too few that match one filter, the list is by start instead: that order has an index for each, and leaves nothing
out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from starlette.responses import Response

from squidmesh import Mesh, RunList
from squidmesh.sonar.counted import Counts
from squidmesh.sonar.house import PAGE_SIZES, Ask, House
from squidmesh.sonar.live import Topic, digest

STATUSES = (
    *("running", "retrying", "waiting", "paused", "failing", "compensating"),
    *("completed", "failed", "cancelled"),
)
ORDERS = ("active", "started")
LOOKED_AT = 1000
"""As many runs as ``list_runs(by="active")`` looks at for a page."""
_FILTERS = ("workflow", "status", "queue", "text", "since", "until")

Order = Literal["active", "started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """``by`` is None where no order is said."""

    workflow: str | None
    status: str | None
    queue: str | None
    text: str | None
    since: datetime | None
    until: datetime | None
    size: int
    after: str | None
    by: Order | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """``next`` is the cursor that the page offers. ``short``: by activity, with few that match among those that were
    looked at, and more to look at. ``counts``: of all runs, or of the one queue for whoever sees some of them.
    """

    page: RunList
    by: Order
    next: str | None
    short: bool
    counts: Counts

    @property
    def digest(self) -> str:
        return digest([self.page.to_json()["runs"], self.by, asdict(self.counts)])


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
        by=_order(ask),
    )


def _order(ask: Ask) -> Order | None:
    """A cursor without an order is of one by start: so were all, before there were two."""
    said = ask.one_of("by", ORDERS)
    if said is None:
        return None if ask.query("after") is None else "started"
    return "active" if said == "active" else "started"


def look(house: House, filters: Filters, *, sees_all: bool) -> Look:
    """``sees_all``: whether runs of every queue may be named. Whoever does not always has one in the filters."""
    by: Order = filters.by or "active"
    page = _page(house.mesh, filters, by)
    next_ = page.next if sees_all else _own(page)
    if filters.by is None and _has_index(filters) and (_is_short(page, filters) or next_ != page.next):
        by, page = "started", _page(house.mesh, filters, "started")
        next_ = page.next
    if sees_all or filters.queue is None:
        counts = house.counted.of(filters.workflow)
    else:
        counts = house.counted_of_queue.of((filters.queue, filters.workflow))
    return Look(page=page, by=by, next=next_, short=by == "active" and _is_short(page, filters), counts=counts)


def _has_index(filters: Filters) -> bool:
    """Whether the order by start finds what matches without looking at what does not: two filters share no index."""
    return sum(one is not None for one in (filters.workflow, filters.status, filters.queue)) <= 1


def _is_short(page: RunList, filters: Filters) -> bool:
    return page.next is not None and len(page.runs) < filters.size


def _page(mesh: Mesh, filters: Filters, by: Order) -> RunList:
    return mesh.list_runs(
        workflow=filters.workflow,
        status=filters.status,
        queue=filters.queue,
        text=filters.text,
        since=filters.since,
        until=filters.until,
        limit=filters.size,
        after=filters.after,
        by=by,
    )


def _own(page: RunList) -> str | None:
    """The cursor, if it names a run of the page: another would tell of a run of somebody else."""
    known = page.next is not None and page.runs and page.next.endswith(f":{page.runs[-1].run_id}")
    return page.next if known else None


def topic(ask: Ask) -> Topic:
    house, filters, sees_all = ask.house, asked(ask), ask.visitor.sees_all
    return Topic(f"runs {sees_all} {filters!r}", lambda: look(house, filters, sees_all=sees_all).digest)


def show(ask: Ask) -> Response:
    filters = asked(ask)
    seen = look(ask.house, filters, sees_all=ask.visitor.sees_all)
    said = {name: ask.query(name) for name in (*_FILTERS, "size", "by")}

    def with_other(**others: str | None) -> str:
        return ask.at("/runs", **{**said, **others})

    return ask.write(
        "runs",
        section="runs",
        topic="runs",
        seen=seen.digest,
        page=seen.page,
        counts=seen.counts.by_status,
        counted=seen.counts,
        statuses=STATUSES,
        filters=filters,
        said=said,
        sizes=PAGE_SIZES,
        narrowed=any(said[name] for name in _FILTERS),
        with_other=with_other,
        by=seen.by,
        short=seen.short,
        looked_at=LOOKED_AT,
        next=None if seen.next is None else with_other(by=seen.by, after=seen.next),
        first=None if filters.after is None else ask.at("/runs", **said),
        workflows=[one.name for one in ask.mesh.workflows()],
        queues=[] if ask.visitor.sees_all else ask.queues(),
    )
