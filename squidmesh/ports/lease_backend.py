"""The lease backend: delivers attempts to a fleet, and decides nothing (protocol 3.4 to 3.9).

Everything in it may be lost at any moment; the journal knows what is open. What every backend must do is told, and
tried, by :class:`squidmesh.testing.lease_suite.LeaseBackendSuite`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Protocol

import msgspec

from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId, EntryId, claim_hash

ADOPTED_PRIORITY = 5
"""What an adopted item has, where its backend has forgotten all about it: a claim does not tell its priority."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend holds for an open attempt. ``floor``: the last recorded fence. ``recorded``: the claim that the
    journal knows, if any; the item is then held by that claim, not free. ``concurrency_limit``: how many leases of this
    queue and ``concurrency_key`` (an identifier) may live at once while this item is claimed; None for any number. An
    attempt never changes its queue.
    """

    key: AttemptKey
    queue: str
    priority: int
    generation: int = 0
    floor: int = 0
    delay: timedelta = timedelta(0)
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    recorded: RecordedClaim | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A lease held by an owner. ``claim_id`` is a capability: it is left out of ``repr`` and goes into no log.
    ``lapsed``: how many leases on this item ended before it without a word, in a row: neither settled nor released.
    ``concurrency_key``: the item's, as far as its backend tells: what a backend may find it by.
    """

    item: AttemptKey
    queue: str
    owner: str
    claim_id: ClaimId
    generation: int
    fence: int
    lease: timedelta
    incarnation: str
    lapsed: int = 0
    concurrency_key: str | None = None

    @property
    def hash(self) -> ClaimHash:
        return claim_hash(self.claim_id)

    def __repr__(self) -> str:
        return f"Claim({self.item} queue={self.queue} owner={self.owner} g{self.generation} f{self.fence})"

    __str__ = __repr__


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a claim. ``next_due``: how long until another item of these queues can become claimable by time
    alone, as far as the backend knows; None when it knows of none (or when the limit was reached). ``begun``: by item,
    the first entry of its run, where that has no other yet: from a backend that stands in the journal, and may have it
    at hand, where it is small. It spares a read, and means nothing else.
    """

    claims: tuple[Claim, ...]
    next_due: timedelta | None = None
    begun: Mapping[AttemptKey, tuple[EntryId, bytes]] = msgspec.field(default_factory=dict)


class DueQueues(msgspec.Struct, frozen=True, kw_only=True):
    """Queues that are worth a claim. ``next_due``: how long until another one may be, as far as the backend knows; None
    when it knows of none (or when the limit was reached).
    """

    queues: tuple[str, ...]
    next_due: timedelta | None = None


class Beat(Enum):
    """The answer to a heartbeat, and to an adoption."""

    EXTENDED = "extended"
    LOST = "lost"
    """The lease ended, or another claim holds the item."""
    GONE = "gone"
    """The item is settled, or unknown."""
    FORGOTTEN = "forgotten"
    """The backend lives under another incarnation than the one that granted this claim, and does not know it: it may be
    adopted by a holder whom the journal still calls the current one (protocol 3.5.6)."""


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


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Removes an item that the journal no longer has open, if its (generation, fence) is still the one seen."""

    key: AttemptKey
    queue: str
    generation: int
    fence: int


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reconciler has come with one queue (protocol 3.8). ``incarnation``: read before the first offer of the
    pass; ``token``: random, in the journal before that; ``position``: the journal's mark.
    """

    incarnation: str
    token: str
    position: int


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend's memory carries of the mesh that it works for (protocol 3.9). ``mesh``: that of
    :class:`squidmesh.ports.journal_store.Plane`; ``incarnation``: of this life of the memory.
    """

    mesh: str
    incarnation: str


class ItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next`` is the cursor of the next page, None on the last one; it means nothing to anybody but its backend."""

    items: tuple[Item, ...]
    next: str | None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one queue's items. ``ready``: visible and not leased, whatever a pause or a limit holds back.
    ``oldest_ready``: how long the longest-waiting of them has been visible, as far as the backend can tell cheaply.
    """

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

    @property
    def kind(self) -> str:
        """The technology, in a word: ``journal``, ``memory``, ``redis``."""
        ...

    @property
    def name(self) -> str:
        """Where it is, as people know it: never a password."""
        ...

    def marker(self) -> Marker | None:
        """None in an empty memory. Journal leases never have one."""
        ...

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        """Compare-and-set: False, and nothing is changed, where the marker is neither the expected one nor ``new``."""
        ...

    def incarnation(self, queue: str) -> str:
        """The name of this life of the memory in which that queue stands; queues may lose theirs one by one."""
        ...

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Makes items deliverable. An offer above an item's (generation, fence) replaces its state; an equal or lower
        one changes nothing. At or under a tombstone it is ignored: the answer names those that are gone, in the order
        of the offer.
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
        """Asks each of ``queues``: who has many asks :meth:`due_queues` first, and only once for one request id.
        Grants up to ``limit`` visible items without a live lease, by priority (lower first), then visibility, then
        arrival; an item whose lease ended is one of them. Each gets a fence above its counter and its floor, and the
        claim id ``{request_id}:{i}``. ``item``: that one only. The same request id again returns the same claims.
        ``skip``: steps that the caller has no functions for; their items are passed over, and stay for others. One call
        may look at no more than a bounded number of them; then the same caller's next call goes on behind those.
        A paused queue grants nothing; an item whose concurrency key is at its limit is passed over.
        """
        ...

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        """Up to ``limit`` queues that seem to have something claimable now: of ``names``, and of all whose name begins
        with one of ``prefixes``. In turns: a queue that was answered goes to the back of the line, however much it has,
        so each one's turn comes. A hint: a claim from a queue that is answered may find nothing, and then it is
        answered again only when something has changed or become due. The cost does not grow with what the queues have.
        """
        ...

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        """Extends each live lease to its full length from now. A lease that ended is not revived."""
        ...

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        """Takes forgotten leases back in, at full length from now. The caller has just read in the journal that each
        claim is the current one. Only where :meth:`heartbeat` answers ``FORGOTTEN``: under another incarnation than the
        claim's, and never over a live lease, a tombstone at or above it, or an equal or greater (generation, fence).
        Elsewhere the answer is that of a heartbeat. An item that was unknown has ``ADOPTED_PRIORITY`` and no
        concurrency key from then on.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> None: ...

    def shelve(self, claims: Sequence[Claim]) -> None:
        """Ends the items of dead letters, as settle does: what remains is a tombstone. The journal has the rest."""
        ...

    def release(self, releases: Sequence[Release]) -> None:
        """A release under a stale claim changes nothing."""
        ...

    def drop(self, drops: Sequence[Drop]) -> None:
        """Removes items and leaves their tombstones; one whose (generation, fence) has changed is left as it is."""
        ...

    # -- what a reconciler asks (protocol 3.8) -----------------------------------------------------------------

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        """About ``limit`` of that queue's items; ``after`` is the ``next`` of the page before. The order is the
        backend's own. What is there from the first page to the last is on one of them at least, maybe on two.
        """
        ...

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Those that it neither holds nor has buried at or above their (generation, floor), in the order asked."""
        ...

    def cursor(self, queue: str) -> Cursor | None: ...

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        """Compare-and-set: False, and nothing is changed, where the cursor is neither the expected one nor already
        ``new``, or where the queue's memory lives under another incarnation than ``new`` names.
        """
        ...

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        """Whether it is this owner's turn to sweep the queue: nobody else asked within their period. His turn lasts for
        ``period`` from now. A hint, which may be lost; two sweepers do no harm but work.
        """
        ...

    # -- for operators -----------------------------------------------------------------------------------------

    def pause(self, queue: str) -> None:
        """Nothing of that queue is granted until :meth:`resume`. What is leased goes on. The journal decides what is
        paused; this is how a backend with a memory of its own is told. Journal leases read the row themselves.
        """
        ...

    def resume(self, queue: str) -> None: ...

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        """Which of these are paused."""
        ...

    def stats(self, queues: Sequence[str]) -> list[QueueStats]: ...

    def close(self) -> None: ...
