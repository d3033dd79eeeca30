"""What a worker, an operator and a reconciler ask of a journal, one call after the other, as the runtime asks it. Only
the facts are missing in the entries, which a store does not read; they are as long as those of small steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count, islice

from msgspec.structs import replace

from benchmarks.postgres_place import Place
from squidmesh.clock import Instant, micros
from squidmesh.ids import RunId, ThreadId, attempt_key
from squidmesh.journal.rows import AttemptRow, RowChanges, RunRow
from squidmesh.ports.journal_store import Append, Committed, Group, RunQuery, ThreadRead
from squidmesh.ports.lease_backend import Beat, Claim, Handover, Item, Settlement
from squidmesh.runtime.chance import new_entry_id, new_request_id, uuid7

QUEUE, WORKFLOW = "orders", "Workflow3"
LEASE = timedelta(minutes=10)
_OWNER = "bench@1"
_STARTED, _CLAIMED, _COMPLETED = b"s" * 500, b"c" * 220, b"d" * 430
_PRIORITY = 5

Call = Callable[[], object]
Calls = tuple[str, Sequence[Call]]
"""What they are, and as many of them as were asked for."""


@dataclass(slots=True, kw_only=True)
class Held:
    """A run whose step is claimed."""

    claim: Claim
    row: AttemptRow
    run: RunRow
    revision: int = 1


class Caller:
    """Calls on one place."""

    def __init__(self, place: Place) -> None:
        self._journal, self._leases = place.journal, place.leases
        self._runs = place.some_runs()
        self._keys = count(1)

    def calls(self, times: int, *, sizes: Sequence[int]) -> Iterator[Calls]:
        """Each kind, when the one before has been carried out. What is claimed is ended, and as much is started: so the
        queue stays as long as it is.
        """
        for size in sizes:
            yield from self._of_work(size, times)
        yield from self._of_reading(times)

    def _of_work(self, size: int, times: int) -> Iterator[Calls]:
        batch = f"{size} at once" if size > 1 else "one"
        yield f"start {batch}", self._commits([self._starts(size) for _ in range(times)])
        claims: list[Claim] = []
        yield f"claim {batch}", [partial(self._claim, size, claims)] * times
        held = list(_in_batches(self._hold(claims), size))
        yield f"heartbeat {batch}", [partial(self._beat, [each.claim for each in some]) for some in held]
        yield f"commit {batch}: claimed", self._commits([list(map(self._record, some)) for some in held])
        yield f"commit {batch}: step done, next claimed", self._commits([list(map(self._go_on, some)) for some in held])
        yield f"commit {batch}: last step done", self._commits([list(map(self._end, some)) for some in held])

    def _of_reading(self, times: int) -> Iterator[Calls]:
        runs = list(islice(self._runs, times))
        for name, query in (
            ("newest", RunQuery()),
            ("running", RunQuery(status="running")),
            ("failed", RunQuery(status="failed")),
            ("of a workflow", RunQuery(workflow=WORKFLOW)),
            ("of a queue", RunQuery(queue=QUEUE)),
            ("of a rare workflow", RunQuery(workflow="Rare")),
            ("of a rare queue", RunQuery(queue="rare")),
        ):
            yield f"list {name}, a page of {query.limit}", [partial(self._journal.runs, query)] * times
        yield "list by the text of a key", [partial(self._journal.runs, RunQuery(text=run.key)) for run in runs]
        yield "count by status", [self._journal.count_runs] * times
        yield "row of a run", [partial(self._journal.run_row, run.run_id) for run in runs]
        reads = [ThreadRead(thread=ThreadId(run.run_id)) for run in runs]
        yield "history of a run", [partial(self._journal.read, [read]) for read in reads]
        yield "timers that are due", [partial(self._journal.due_timers, self._journal.now())] * times
        yield "a reconciler's turn", [self._reconcile] * times

    # ---------------------------------------------------------------------------------------------------- the calls

    def _commits(self, batches: Sequence[Sequence[Group]]) -> list[Call]:
        return [partial(self._commit, groups) for groups in batches]

    def _commit(self, groups: Sequence[Group]) -> None:
        answers = self._journal.commit(groups)
        assert answers == [Committed()] * len(groups), answers

    def _claim(self, size: int, claims: list[Claim]) -> None:
        request_id = new_request_id()
        granted = self._leases.claim([QUEUE], owner=_OWNER, limit=size, lease=LEASE, request_id=request_id).claims
        assert len(granted) == size, f"{len(granted)} of {size} were granted"
        claims += granted

    def _beat(self, claims: Sequence[Claim]) -> None:
        assert set(self._leases.heartbeat(claims)) == {Beat.EXTENDED}

    def _reconcile(self) -> None:
        since = self._journal.position()
        for queue in self._journal.agenda_queues():
            self._journal.changed(queue, since=since)

    # --------------------------------------------------------------------------------------------------- the groups

    def _starts(self, size: int) -> list[Group]:
        now = self._journal.now()
        return [self._start(now) for _ in range(size)]

    def _start(self, now: Instant) -> Group:
        run_id = RunId(uuid7())
        row = _attempt(run_id, "step-0", now)
        run = RunRow(
            run_id=run_id,
            workflow=WORKFLOW,
            version="1",
            trigger="begin",
            key=f"bench-{next(self._keys)}",
            queue=QUEUE,
            status="running",
            step="step-0",
            error=None,
            started_at=now,
            due_at=None,
            ended_at=None,
        )
        return Group(appends=(_append(run_id, 0, _STARTED, RowChanges(run=run, put=(row,))),))

    def _hold(self, claims: Sequence[Claim]) -> Iterator[Held]:
        rows = {row.item: row for row in self._journal.attempts([claim.item for claim in claims])}
        for claim in claims:
            run = self._journal.run_row(rows[claim.item].run_id)
            assert run is not None
            yield Held(claim=claim, row=rows[claim.item], run=run)

    def _record(self, held: Held) -> Group:
        row = _owned(held.row, held.claim)
        return _group(held, _CLAIMED, RowChanges(put=(row,)))

    def _go_on(self, held: Held) -> Group:
        """The lease of the one step becomes that of the next."""
        old, claim = held.row.item, held.claim
        row = _attempt(held.run.run_id, "step-1", self._journal.now())
        item = Item(key=row.item, queue=row.queue, priority=row.priority)
        handover = Handover(item=item, claim_id=claim.claim_id, fence=1)
        held.claim = replace(claim, item=row.item, fence=1)
        held.row = _owned(row, held.claim)
        held.run = replace(held.run, step="step-1")
        rows = RowChanges(run=held.run, remove=(old,), put=(held.row,))
        return _group(held, _COMPLETED, rows, Settlement(claim=claim, handover=handover))

    def _end(self, held: Held) -> Group:
        ended = replace(held.run, status="completed", step=None, ended_at=self._journal.now())
        rows = RowChanges(run=ended, remove=(held.row.item,))
        return _group(held, _COMPLETED, rows, Settlement(claim=held.claim))


def _in_batches(held: Iterator[Held], size: int) -> Iterator[list[Held]]:
    while some := list(islice(held, size)):
        yield some


def _group(held: Held, body: bytes, rows: RowChanges, *leases: Settlement) -> Group:
    append = _append(held.run.run_id, held.revision, body, rows)
    held.revision += 1
    return Group(appends=(append,), leases=leases)


def _append(run_id: RunId, revision: int, body: bytes, rows: RowChanges) -> Append:
    thread = ThreadId(run_id)
    return Append(thread=thread, expected_revision=revision, entry_id=new_entry_id(), body=body, rows=rows)


def _attempt(run_id: RunId, step: str, visible_at: int) -> AttemptRow:
    return AttemptRow(
        item=attempt_key(run_id, step, 1),
        run_id=run_id,
        step=step,
        attempt=1,
        queue=QUEUE,
        priority=_PRIORITY,
        visible_at=visible_at,
        generation=0,
        fence=0,
    )


def _owned(row: AttemptRow, claim: Claim) -> AttemptRow:
    return replace(row, fence=claim.fence, owner=claim.owner, claim_hash=claim.hash, lease=micros(claim.lease))
