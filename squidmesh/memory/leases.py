"""The lease backend in memory: items, leases, fence counters and tombstones (protocol 3.5, 3.9).

It behaves like any backend with a memory of its own, so it is also the shortest description of one. An item is *free*
from ``visible_at`` on unless a lease that has not ended holds it. A lease that has ended stays on its item until the
next grant: its holder may still settle or release, as long as nobody took over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from uuid import uuid4

from msgspec import structs

from squidmesh.clock import Clock, Instant, duration, micros
from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId, claim_hash
from squidmesh.memory.door import Door
from squidmesh.ports.lease_backend import (
    ADOPTED_PRIORITY,
    Beat,
    Claim,
    Cursor,
    Drop,
    DueQueues,
    Grants,
    Handover,
    Item,
    ItemPage,
    Marker,
    QueueStats,
    Release,
    Settlement,
)

_Order = tuple[int, int]
"""(generation, fence): the order of everything that happens to one item."""


@dataclass(slots=True)
class _Lease:
    owner: str
    claim_hash: str
    fence: int
    length: timedelta
    expires_at: int
    request: tuple[str, str] | None = None
    """(owner, hash of the request id) that it was granted to, and its position in the answer."""
    position: int = 0


@dataclass(slots=True)
class _Held:
    """``fence`` is the item's counter: the greatest fence that was granted, or told as a floor."""

    item: Item
    arrival: int
    visible_at: int
    generation: int
    fence: int
    lease: _Lease | None = None
    lapsed: int = 0
    """Leases in a row that ended without a word."""

    def leased(self, now: int) -> bool:
        return self.lease is not None and self.lease.expires_at > now

    def free(self, now: int) -> bool:
        return self.visible_at <= now and not self.leased(now)

    def due(self, now: int) -> int:
        """When it can be claimed next, if nobody does anything."""
        return max(self.visible_at, self.lease.expires_at if self.lease else now)


class MemoryLeases:
    in_journal = False
    kind = "memory"
    name = "memory"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._door = Door()
        self._incarnation = uuid4().hex
        self._items: dict[str, _Held] = {}
        self._tombstones: dict[str, tuple[_Order, int]] = {}
        """By item: its last (generation, fence), and until when that is kept."""
        self._longest = timedelta(0)
        self._arrivals = count(1)
        self._first_queue = count()
        self._turns = count(1)
        self._turn: dict[str, int] = {}
        """By queue, when it was last answered as one that is due."""
        self._paused: set[str] = set()
        self._marker: Marker | None = None
        self._cursors: dict[str, Cursor] = {}
        self._sweepers: dict[str, tuple[str, int]] = {}
        """By queue: whose turn it is, and until when."""

    def incarnation(self, queue: str) -> str:
        return self._incarnation

    def forget_everything(self) -> None:
        """What FLUSHALL does to Redis: all that was held is gone, and another life begins."""
        with self._door:
            for memory in (self._items, self._tombstones, self._cursors, self._sweepers):
                memory.clear()
            self._paused.clear()
            self._marker = None
            self._longest = timedelta(0)
            self._incarnation = uuid4().hex

    def marker(self) -> Marker | None:
        with self._door:
            return self._marker

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        with self._door:
            if self._marker not in (expected, new):
                return False
            self._marker = new
            return True

    # -------------------------------------------------------------------------------------------------- offers

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        with self._door:
            return [item.key for item in items if not self._put(item, (item.generation, item.floor), item.recorded)]

    def _put(self, item: Item, order: _Order, claim: RecordedClaim | None) -> bool:
        """Replaces the item's whole state, unless the backend knows something newer or equal (protocol 3.5.6). False
        where the item is gone.
        """
        known = self._items.get(item.key)
        if known is not None and order <= (known.generation, known.fence):
            return True
        if self._buried(item.key, order):
            return False
        held = _Held(item, next(self._arrivals), self._clock.now() + micros(item.delay), *order)
        if claim is not None:
            self._hold(held, claim)
        self._items[item.key] = held
        return True

    def _hold(self, held: _Held, claim: RecordedClaim) -> None:
        self._longest = max(self._longest, claim.lease)
        expires_at = self._clock.now() + micros(claim.lease)
        held.lease = _Lease(claim.owner, claim.claim_hash, claim.fence, claim.lease, expires_at)
        held.generation = max(held.generation, claim.generation)
        held.fence = max(held.fence, claim.fence)

    # -------------------------------------------------------------------------------------------------- claims

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
        if limit < 1:
            return Grants(claims=())
        request = (owner, claim_hash(request_id))
        with self._door:
            now = self._clock.now()
            self._longest = max(self._longest, lease)
            repeated = [h for h in self._items.values() if h.leased(now) and h.lease and h.lease.request == request]
            if repeated:
                repeated.sort(key=lambda held: held.lease.position if held.lease else 0)
                return Grants(claims=tuple(_claim(held, request_id, self._incarnation) for held in repeated))
            claims = []
            open_queues = [queue for queue in queues if queue not in self._paused]
            for position, held in enumerate(self._choose(open_queues, limit, item, skip, now)):
                held.fence += 1
                held.lapsed = held.lapsed + 1 if held.lease is not None else 0
                hashed = claim_hash(f"{request_id}:{position}")
                held.lease = _Lease(owner, hashed, held.fence, lease, now + micros(lease), request, position)
                claims.append(_claim(held, request_id, self._incarnation))
            return Grants(
                claims=tuple(claims), next_due=None if len(claims) >= limit else self._next_due(open_queues, now)
            )

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        with self._door:
            now = self._clock.now()
            known = {held.item.queue for held in self._items.values()} - self._paused
            asked = [queue for queue in known if queue in names or queue.startswith(tuple(prefixes))]
            due = [queue for queue in asked if any(True for _ in self._grantable(queue, None, (), now))]
            due = sorted(due, key=lambda queue: (self._turn.get(queue, 0), queue))[:limit]
            self._turn |= {queue: next(self._turns) for queue in due}
            return DueQueues(queues=tuple(due), next_due=None if len(due) >= limit else self._next_due(asked, now))

    def _choose(
        self, queues: Sequence[str], limit: int, item: AttemptKey | None, skip: Collection[str], now: Instant
    ) -> list[_Held]:
        """In order within a queue, in turns across queues; another queue begins each time."""
        first = next(self._first_queue) % max(1, len(queues))
        waiting = [self._grantable(queue, item, skip, now) for queue in (*queues[first:], *queues[:first])]
        chosen: list[_Held] = []
        while waiting and len(chosen) < limit:
            queue = waiting.pop(0)
            if (held := next(queue, None)) is not None:
                chosen.append(held)
                waiting.append(queue)
        return chosen

    def _grantable(self, queue: str, item: AttemptKey | None, skip: Collection[str], now: Instant) -> Iterator[_Held]:
        """In order; what its concurrency key holds back is passed over. Counts each one taken as a lease."""
        free = [
            held
            for held in self._queue(queue)
            if held.free(now) and item in (None, held.item.key) and _step(held.item.key) not in skip
        ]
        leases = Counter(held.item.concurrency_key for held in self._queue(queue) if held.leased(now))
        for held in sorted(free, key=lambda held: (held.item.priority, held.visible_at, held.arrival)):
            key, limit = held.item.concurrency_key, held.item.concurrency_limit
            if key is None or limit is None or leases[key] < limit:
                leases[key] += 1
                yield held

    def _next_due(self, queues: Sequence[str], now: Instant) -> timedelta | None:
        later = [due for queue in queues for held in self._queue(queue) if (due := held.due(now)) > now]
        return duration(min(later) - now) if later else None

    def _queue(self, queue: str) -> list[_Held]:
        return [held for held in self._items.values() if held.item.queue == queue]

    # ---------------------------------------------------------------------------------------------- held claims

    def _current(self, claim: Claim) -> _Held | None:
        """The item, if this claim was the last one to hold it: claim id *and* fence match (protocol 3.5.3)."""
        held = self._items.get(claim.item)
        if held is None or held.lease is None or held.generation != claim.generation:
            return None
        return held if (held.lease.claim_hash, held.lease.fence) == (claim.hash, claim.fence) else None

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        with self._door:
            return [self._beat(claim) for claim in claims]

    def _beat(self, claim: Claim) -> Beat:
        now = self._clock.now()
        current = self._current(claim)
        if current is not None and current.lease is not None and current.lease.expires_at > now:
            current.lease.expires_at = now + micros(current.lease.length)
            return Beat.EXTENDED
        if self._is_forgotten(claim, now):
            return Beat.FORGOTTEN
        return Beat.LOST if claim.item in self._items else Beat.GONE

    def _is_forgotten(self, claim: Claim, now: Instant) -> bool:
        """Granted in another life, and above all that this one knows (protocol 3.5.6)."""
        order = (claim.generation, claim.fence)
        known = self._items.get(claim.item)
        if claim.incarnation == self._incarnation or self._buried(claim.item, order):
            return False
        return known is None or (not known.leased(now) and (known.generation, known.fence) < order)

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        with self._door:
            return [self._adopt(claim) for claim in claims]

    def _adopt(self, claim: Claim) -> Beat:
        answer = self._beat(claim)
        if answer is not Beat.FORGOTTEN:
            return answer
        known = self._items.get(claim.item)
        item = known.item if known else Item(key=claim.item, queue=claim.queue, priority=ADOPTED_PRIORITY)
        item = structs.replace(item, delay=timedelta(0))
        self._put(item, (claim.generation, claim.fence), _recorded(claim))
        return Beat.EXTENDED

    def settle(self, settlements: Sequence[Settlement]) -> None:
        with self._door:
            for settlement in settlements:
                self._end(settlement.claim)
                self.offer(settlement.offers)
                if settlement.handover is not None:
                    self._hand_over(settlement.claim, settlement.handover)

    def shelve(self, claims: Sequence[Claim]) -> None:
        self.settle([Settlement(claim=claim) for claim in claims])

    def _end(self, claim: Claim) -> None:
        held = self._current(claim)
        if held is not None:
            del self._items[claim.item]
            self._bury(claim.item, (held.generation, held.fence))
        elif claim.item not in self._items:
            # Forgotten: the holder still knows that no offer at or under its own fence is news.
            self._longest = max(self._longest, claim.lease)
            self._bury(claim.item, (claim.generation, claim.fence))

    def _bury(self, item: AttemptKey, order: _Order) -> None:
        """Leaves a tombstone for two of the longest leases, and clears away those whose time is over."""
        now = self._clock.now()
        for key, (_, until) in list(self._tombstones.items()):
            if until > now:
                break
            del self._tombstones[key]
        ended, _ = self._tombstones.pop(item, (order, 0))
        self._tombstones[item] = (max(order, ended), now + 2 * micros(self._longest))

    def _buried(self, item: AttemptKey, order: _Order) -> bool:
        """Whether a tombstone at or above that order is still kept."""
        ended, until = self._tombstones.get(item, (order, 0))
        return order <= ended and until > self._clock.now()

    def _hand_over(self, claim: Claim, handover: Handover) -> None:
        item = handover.item
        holder = RecordedClaim(
            owner=claim.owner,
            claim_hash=claim_hash(handover.claim_id),
            generation=item.generation,
            fence=handover.fence,
            lease=claim.lease,
        )
        self._put(item, (item.generation, handover.fence), holder)

    def release(self, releases: Sequence[Release]) -> None:
        with self._door:
            for release in releases:
                held = self._current(release.claim)
                if held is None:
                    continue
                held.fence = max(held.fence, release.floor)
                held.lapsed = 0
                if release.as_claim is not None:
                    self._hold(held, release.as_claim)
                else:
                    held.lease = None
                    if release.delay > timedelta(0):
                        held.visible_at = self._clock.now() + micros(release.delay)

    # --------------------------------------------------------------------------------------------- reconciling

    def drop(self, drops: Sequence[Drop]) -> None:
        with self._door:
            for drop in drops:
                held = self._items.get(drop.key)
                if held is not None and (held.generation, held.fence) == (drop.generation, drop.fence):
                    del self._items[drop.key]
                    self._bury(drop.key, (drop.generation, drop.fence))

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        with self._door:
            now = self._clock.now()
            above = [held for held in self._queue(queue) if after is None or held.item.key > after]
            page = sorted(above, key=lambda held: held.item.key)[:limit]
            more = page[-1].item.key if len(above) > len(page) else None
            return ItemPage(items=tuple(_describe(held, now) for held in page), next=more)

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        with self._door:
            return [item.key for item in items if not self._knows(item.key, (item.generation, item.floor))]

    def _knows(self, item: AttemptKey, order: _Order) -> bool:
        held = self._items.get(item)
        return (held is not None and order <= (held.generation, held.fence)) or self._buried(item, order)

    def cursor(self, queue: str) -> Cursor | None:
        return self._cursors.get(queue)

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        with self._door:
            if self._cursors.get(queue) not in (expected, new) or new.incarnation != self._incarnation:
                return False
            self._cursors[queue] = new
            return True

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        with self._door:
            now = self._clock.now()
            sweeper, until = self._sweepers.get(queue, (owner, 0))
            if sweeper != owner and until > now:
                return False
            self._sweepers[queue] = (owner, now + micros(period))
            return True

    # ----------------------------------------------------------------------------------------------- operators

    def pause(self, queue: str) -> None:
        with self._door:
            self._paused.add(queue)

    def resume(self, queue: str) -> None:
        with self._door:
            self._paused.discard(queue)

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        with self._door:
            return frozenset(self._paused.intersection(queues))

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._door:
            return [self._stats(queue, self._clock.now()) for queue in queues]

    def _stats(self, queue: str, now: Instant) -> QueueStats:
        held = self._queue(queue)
        leased = sum(h.leased(now) for h in held)
        ready = [h.visible_at for h in held if h.free(now)]
        return QueueStats(
            queue=queue,
            ready=len(ready),
            delayed=len(held) - leased - len(ready),
            leased=leased,
            oldest_ready=duration(now - min(ready)) if ready else None,
        )

    def close(self) -> None:
        self._door.close()


def _step(key: AttemptKey) -> str:
    return key.rpartition("#")[0].partition("/")[2]


def _claim(held: _Held, request_id: str, incarnation: str) -> Claim:
    assert held.lease is not None
    return Claim(
        item=held.item.key,
        queue=held.item.queue,
        owner=held.lease.owner,
        claim_id=ClaimId(f"{request_id}:{held.lease.position}"),
        generation=held.generation,
        fence=held.lease.fence,
        lease=held.lease.length,
        incarnation=incarnation,
        lapsed=held.lapsed,
    )


def _recorded(claim: Claim) -> RecordedClaim:
    return RecordedClaim(
        owner=claim.owner,
        claim_hash=claim.hash,
        generation=claim.generation,
        fence=claim.fence,
        lease=claim.lease,
    )


def _describe(held: _Held, now: int) -> Item:
    """The item as it stands: its remaining delay, its counter as the floor, and who holds it."""
    recorded = None
    if held.lease is not None and held.leased(now):
        recorded = RecordedClaim(
            owner=held.lease.owner,
            claim_hash=ClaimHash(held.lease.claim_hash),
            generation=held.generation,
            fence=held.lease.fence,
            lease=held.lease.length,
        )
    return Item(
        key=held.item.key,
        queue=held.item.queue,
        priority=held.item.priority,
        generation=held.generation,
        floor=held.fence,
        delay=duration(max(0, held.visible_at - now)),
        concurrency_key=held.item.concurrency_key,
        concurrency_limit=held.item.concurrency_limit,
        recorded=recorded,
    )
