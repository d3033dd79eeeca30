"""How the lease suites bring work to a backend and end it there: over calls, or through the journal (protocol 3.9)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Protocol

from msgspec import structs

from squidmesh.clock import micros
from squidmesh.ids import AttemptKey, EntryId, RunId, ThreadId, derived_id, parse_attempt_key
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import AttemptRow, PausedQueueRow, RowChanges
from squidmesh.ports.journal_store import Append, Committed, Group, JournalStore
from squidmesh.ports.lease_backend import Claim, Drop, Item, LeaseBackend, LeaseChange, Settlement


class Plane(Protocol):
    @property
    def leases(self) -> LeaseBackend: ...

    def publish(self, *items: Item) -> None:
        """Makes the items deliverable, in this order of arrival."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """The journal accepted an outcome under this claim."""
        ...

    def settle_stale(self, settlement: Settlement) -> None:
        """The journal refused the outcome: the claim is not the current one. What comes with it is in the journal."""
        ...

    def shelve(self, claim: Claim) -> None:
        """The journal recorded a dead letter under this claim."""
        ...

    def withdraw(self, item: AttemptKey) -> None:
        """The journal closed an attempt that nobody had claimed."""
        ...

    def pause(self, queue: str) -> None:
        """The journal recorded that nothing of the queue is claimed."""
        ...

    def resume(self, queue: str) -> None:
        """The journal recorded that it is claimed from again."""
        ...


class OfferPlane:
    """A backend with a memory of its own is told by calls."""

    def __init__(self, leases: LeaseBackend) -> None:
        self.leases = leases

        self._queues: set[str] = set()

    def publish(self, *items: Item) -> None:
        self._queues |= {item.queue for item in items}
        self.leases.offer(items)

    def settle(self, settlement: Settlement) -> None:
        self.leases.settle([settlement])

    def settle_stale(self, settlement: Settlement) -> None:
        self.leases.settle([settlement])

    def shelve(self, claim: Claim) -> None:
        self.leases.shelve([claim])

    def withdraw(self, item: AttemptKey) -> None:
        """As a reconciler does that finds it in the backend, and not in the journal."""
        for queue in self._queues:
            after = None
            while True:
                page = self.leases.items(queue, after=after)
                for seen in page.items:
                    if seen.key == item:
                        drop = Drop(key=item, queue=queue, generation=seen.generation, fence=seen.floor)
                        self.leases.drop([drop])
                after = page.next
                if after is None:
                    break

    def pause(self, queue: str) -> None:
        self.leases.pause(queue)

    def resume(self, queue: str) -> None:
        self.leases.resume(queue)


class JournalPlane:
    """Journal leases read the agenda, and their changes ride in the append's own transaction."""

    def __init__(self, journal: JournalStore, leases: LeaseBackend) -> None:
        self.journal = journal
        self.leases = leases
        self._revisions: dict[str, int] = {}
        self._numbers = count()

    def publish(self, *items: Item) -> None:
        for item in items:
            self.write(item.key, put=[self.row(item)])

    def settle(self, settlement: Settlement) -> None:
        self._settle(settlement, remove=[settlement.claim.item])

    def settle_stale(self, settlement: Settlement) -> None:
        self._settle(settlement, remove=[])

    def shelve(self, claim: Claim) -> None:
        self.write(claim.item, remove=[claim.item])
        self.leases.shelve([claim])

    def withdraw(self, item: AttemptKey) -> None:
        self.write(item, remove=[item])

    def pause(self, queue: str) -> None:
        row = PausedQueueRow(queue=queue, actor="elrond", comment="", paused_at=self.journal.now())
        self._say(queue, RowChanges(pause=(row,)))

    def resume(self, queue: str) -> None:
        self._say(queue, RowChanges(resume=(queue,)))

    def _say(self, queue: str, rows: RowChanges) -> None:
        """One entry of the queue's own thread."""
        append = self._append(queue_thread(queue), rows)
        assert self.journal.commit([Group(appends=(append,))]) == [Committed()]
        self._revisions[append.thread] = append.expected_revision + 1

    def _settle(self, settlement: Settlement, remove: Sequence[AttemptKey]) -> None:
        put = [self.row(item) for item in settlement.offers]
        if handover := settlement.handover:
            held = structs.replace(settlement.claim, claim_id=handover.claim_id, fence=handover.fence)
            put.append(self.claimed_row(handover.item, held))
        self.write(settlement.claim.item, put=put, remove=remove, leases=[settlement])

    def row(self, item: Item) -> AttemptRow:
        """The item as an agenda row that nobody has claimed."""
        run_id, step, attempt = parse_attempt_key(item.key)
        return AttemptRow(
            item=item.key,
            run_id=RunId(run_id),
            step=step,
            attempt=attempt,
            queue=item.queue,
            priority=item.priority,
            visible_at=self.journal.now() + micros(item.delay),
            generation=item.generation,
            fence=item.floor,
            concurrency_key=item.concurrency_key,
            concurrency_limit=item.concurrency_limit,
        )

    def claimed_row(self, item: Item, claim: Claim) -> AttemptRow:
        """The item as an agenda row on which this claim is recorded."""
        return structs.replace(
            self.row(item),
            fence=claim.fence,
            owner=claim.owner,
            claim_hash=claim.hash,
            lease=micros(claim.lease),
        )

    def write(
        self,
        item: AttemptKey,
        *,
        put: Sequence[AttemptRow] = (),
        remove: Sequence[AttemptKey] = (),
        leases: Sequence[LeaseChange] = (),
    ) -> None:
        """One entry of the item's run, with these row and lease changes."""
        group = self.group(item, put=put, remove=remove, leases=leases)
        assert self.journal.commit([group]) == [Committed()]
        self._revisions[group.appends[0].thread] = group.appends[0].expected_revision + 1

    def group(
        self,
        item: AttemptKey,
        *,
        put: Sequence[AttemptRow] = (),
        remove: Sequence[AttemptKey] = (),
        leases: Sequence[LeaseChange] = (),
    ) -> Group:
        """The next entry of the item's run, not written yet."""
        thread = ThreadId(parse_attempt_key(item)[0])
        append = self._append(thread, RowChanges(put=tuple(put), remove=tuple(remove)))
        return Group(appends=(append,), leases=tuple(leases))

    def _append(self, thread: ThreadId, rows: RowChanges) -> Append:
        return Append(
            thread=thread,
            expected_revision=self._revisions.get(thread, 0),
            entry_id=EntryId(derived_id("entry", str(next(self._numbers)))),
            body=b"{}",
            rows=rows,
        )
