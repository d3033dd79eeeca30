"""Offers everything that is open in the journal again: the whole of what a reconciler does, without its thrift.

For tests that lose offers on their way and must go on.
"""

from squidmesh.clock import duration
from squidmesh.errors import RecordedClaim
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.lease_backend import Item, LeaseBackend


def offer_again(store: JournalStore, leases: LeaseBackend) -> None:
    now = store.now()
    leases.offer([_item(row, now) for row in store.open_attempts()])


def _item(row: AttemptRow, now: int) -> Item:
    recorded = None
    if row.owner is not None and row.claim_hash is not None and row.lease is not None:
        recorded = RecordedClaim(
            owner=row.owner,
            claim_hash=row.claim_hash,
            generation=row.generation,
            fence=row.fence,
            lease=duration(row.lease),
        )
    return Item(
        key=row.item,
        queue=row.queue,
        priority=row.priority,
        generation=row.generation,
        floor=row.fence,
        delay=duration(max(0, row.visible_at - now)),
        recorded=recorded,
    )
