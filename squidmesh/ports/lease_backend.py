"""The lease backend: delivers attempts to a fleet, and decides nothing (protocol 3.4 to 3.9).

Everything in it may be lost at any moment; the journal knows what is open. What every backend must do is told, and
tried, by :class:`squidmesh.testing.lease_suite.LeaseBackendSuite`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import Enum
from typing import Protocol

import msgspec

from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId, claim_hash


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend holds for an open attempt. ``floor``: the last recorded fence. ``recorded``: the claim that the
    journal knows, if any; the item is then held by that claim, not free.
    """

    key: AttemptKey
    queue: str
    priority: int
    generation: int = 0
    floor: int = 0
    delay: timedelta = timedelta(0)
    concurrency_key: str | None = None
    recorded: RecordedClaim | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A lease held by an owner. ``claim_id`` is a capability: it is left out of ``repr`` and goes into no log."""

    item: AttemptKey
    queue: str
    owner: str
    claim_id: ClaimId
    generation: int
    fence: int
    lease: timedelta
    incarnation: str

    @property
    def hash(self) -> ClaimHash:
        return claim_hash(self.claim_id)

    def __repr__(self) -> str:
        return f"Claim({self.item} queue={self.queue} owner={self.owner} g{self.generation} f{self.fence})"

    __str__ = __repr__


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a claim. ``next_due``: how long until another item of these queues can become claimable by time
    alone, as far as the backend knows; None when it knows of none (or when the limit was reached).
    """

    claims: tuple[Claim, ...]
    next_due: timedelta | None = None


class Beat(Enum):
    """The answer to a heartbeat."""

    EXTENDED = "extended"
    LOST = "lost"
    """The lease ended, or another claim holds the item."""
    GONE = "gone"
    """The item is settled, or unknown."""


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Item B, created leased to the owner of the claim that is settled; its fence counter is raised to ``fence``."""

    item: Item
    claim_id: ClaimId
    fence: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """Ends the claim's item for good. ``offers`` and ``handover`` state what the journal already holds, so they are
    carried out even where the claim is stale and the settle itself is refused (protocol 3.5.3).
    """

    claim: Claim
    offers: tuple[Item, ...] = ()
    handover: Handover | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Gives the claim back unspent. ``as_claim``: another claim is recorded in the journal, so the item is held by that
    one from now for its lease length; otherwise it is visible after ``delay``, with at least that fence ``floor``.
    """

    claim: Claim
    delay: timedelta = timedelta(0)
    floor: int = 0
    as_claim: RecordedClaim | None = None


LeaseChange = Settlement | Release


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one queue's items. ``oldest_ready``: how long the longest-waiting visible item has been visible."""

    queue: str
    ready: int
    delayed: int
    leased: int
    oldest_ready: timedelta | None


class LeaseBackend(Protocol):
    """Thread-safe. Every call is idempotent: by item and fence where that suffices, ``claim`` by owner and request id
    for the length of one lease. Raises ``BackendUnavailable`` where the same call may work later, and else what a
    :class:`squidmesh.ports.journal_store.JournalStore` raises where no repetition helps.
    """

    @property
    def in_journal(self) -> bool:
        """True where leases stand in the journal's own database: nothing is offered, and settlements and releases of
        *recorded* claims ride in :attr:`squidmesh.ports.journal_store.Group.leases`.
        """
        ...

    def incarnation(self) -> str:
        """The name of this life of the backend's memory."""
        ...

    def offer(self, items: Sequence[Item]) -> None:
        """Makes items deliverable. An offer above an item's (generation, fence) replaces its state; an equal or lower
        one changes nothing. At or under a tombstone it is ignored.
        """
        ...

    def claim(
        self,
        queues: Sequence[str],
        *,
        owner: str,
        limit: int,
        lease: timedelta,
        request_id: str,
        item: AttemptKey | None = None,
        skip: Collection[str] = (),
    ) -> Grants:
        """Grants up to ``limit`` visible items without a live lease, by priority (lower first), then visibility, then
        arrival; an item whose lease ended is one of them. Each gets a fence above its counter and its floor, and the
        claim id ``{request_id}:{i}``. ``item``: that one only. The same request id again returns the same claims.
        ``skip``: steps that the caller has no functions for; their items are passed over, and stay for others.
        """
        ...

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        """Extends each live lease to its full length from now. A lease that ended is not revived."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> None: ...

    def release(self, releases: Sequence[Release]) -> None:
        """A release under a stale claim changes nothing."""
        ...

    def items(self, queue: str, *, after: str = "", limit: int = 1000) -> list[Item]:
        """What the backend holds of that queue, in order of key, above ``after``."""
        ...

    def stats(self, queues: Sequence[str]) -> list[QueueStats]: ...

    def close(self) -> None: ...
