"""An item as the toy holds it: one row, and what the port's values say of it."""

from __future__ import annotations

from dataclasses import dataclass

from squidmesh.clock import Instant, duration, micros
from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId
from squidmesh.ports.lease_backend import Claim, Item


@dataclass(slots=True)
class Held:
    """Columns of ``items``; statements.sql says what they mean. ``arrival`` is None until the item is stored."""

    arrival: int | None
    item: str
    queue: str
    step: str
    priority: int
    concurrency_key: str | None
    concurrency_limit: int | None
    visible_at: int
    generation: int
    fence: int
    owner: str | None = None
    claim_hash: str | None = None
    lease_fence: int | None = None
    lease: int | None = None
    expires_at: int | None = None
    request: str | None = None
    position: int | None = None
    lapsed: int = 0

    @classmethod
    def of(cls, item: Item, order: tuple[int, int], now: Instant) -> Held:
        generation, fence = order
        return cls(
            arrival=None,
            item=item.key,
            queue=item.queue,
            step=item.key.rpartition("#")[0].partition("/")[2],
            priority=item.priority,
            concurrency_key=item.concurrency_key,
            concurrency_limit=item.concurrency_limit,
            visible_at=now + micros(item.delay),
            generation=generation,
            fence=fence,
        )

    @property
    def order(self) -> tuple[int, int]:
        """(generation, fence): what is newer about one item, and what is older (protocol 3.5.6)."""
        return self.generation, self.fence

    def leased(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at > now

    def hold(self, claim: RecordedClaim, now: Instant) -> None:
        """From now on it is held by that claim, for its full lease; the counter never falls."""
        self.owner, self.claim_hash, self.lease_fence = claim.owner, claim.claim_hash, claim.fence
        self.lease = micros(claim.lease)
        self.expires_at = now + self.lease
        self.request = self.position = None
        self.generation = max(self.generation, claim.generation)
        self.fence = max(self.fence, claim.fence)

    def let_go(self) -> None:
        self.owner = self.claim_hash = self.lease_fence = self.lease = self.expires_at = None
        self.request = self.position = None

    def is_held_by(self, claim: Claim) -> bool:
        """The hash of the claim id *and* the fence (protocol 3.5.3): either alone may be met a second time."""
        mine = (self.claim_hash, self.lease_fence, self.generation)
        return mine == (claim.hash, claim.fence, claim.generation)

    def as_claim(self, request_id: str, incarnation: str) -> Claim:
        """What its holder is told. The claim id is made again from the request that the holder brings."""
        assert self.owner is not None and self.lease_fence is not None and self.lease is not None
        return Claim(
            item=AttemptKey(self.item),
            queue=self.queue,
            owner=self.owner,
            claim_id=ClaimId(f"{request_id}:{self.position}"),
            generation=self.generation,
            fence=self.lease_fence,
            lease=duration(self.lease),
            incarnation=incarnation,
            lapsed=self.lapsed,
            concurrency_key=self.concurrency_key,
        )

    def as_item(self, now: int) -> Item:
        """As it stands: its remaining delay, its counter as the floor, and who holds it."""
        return Item(
            key=AttemptKey(self.item),
            queue=self.queue,
            priority=self.priority,
            generation=self.generation,
            floor=self.fence,
            delay=duration(max(0, self.visible_at - now)),
            concurrency_key=self.concurrency_key,
            concurrency_limit=self.concurrency_limit,
            recorded=self._recorded() if self.leased(now) else None,
        )

    def _recorded(self) -> RecordedClaim:
        assert self.owner is not None and self.claim_hash is not None
        assert self.lease_fence is not None and self.lease is not None
        return RecordedClaim(
            owner=self.owner,
            claim_hash=ClaimHash(self.claim_hash),
            generation=self.generation,
            fence=self.lease_fence,
            lease=duration(self.lease),
        )
