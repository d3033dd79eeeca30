"""The lease backend: every method of the port, each in one transaction, with the reason for its contract."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import count
from typing import Any

from msgspec import structs

from examples.toy_backend.held import Held
from examples.toy_backend.store import Store, Transaction
from squidmesh.clock import Clock, Instant, duration, micros
from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, claim_hash
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


class ToyLeases:
    in_journal = False  # a memory of its own: it is offered items, and may lose them
    kind = "toy"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns = count()

    @property
    def name(self) -> str:
        return self._store.path.name

    def close(self) -> None:
        self._store.close()

    # ---------------------------------------------------------------------------------------- the life of the memory

    def incarnation(self, queue: str) -> str:
        """Whoever loses the file loses this name with it: that is how all others learn of the loss."""
        with self._store.transaction() as inside:
            return _incarnation(inside)

    def marker(self) -> Marker | None:
        """Whose memory this is. Without it, two meshes that share an address by mistake drop each other's items."""
        with self._store.transaction() as inside:
            return _marker(inside)

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        """``new`` is an answer, too: who asks again because the first reply was lost must not be told no."""
        with self._store.transaction() as inside:
            if _marker(inside) not in (expected, new):
                return False
            inside.do("mark", mesh=new.mesh, incarnation=new.incarnation)
            return True

    # ------------------------------------------------------------------------------------------------------- offers

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Reconcilers offer again and again, late and twice: only what is newer than all that is known may count."""
        with self._store.transaction() as inside:
            return self._offer(inside, items)

    def _offer(self, inside: Transaction, items: Sequence[Item]) -> list[AttemptKey]:
        return [it.key for it in items if not self._put(inside, it, (it.generation, it.floor), it.recorded)]

    def _put(self, inside: Transaction, item: Item, order: tuple[int, int], claim: RecordedClaim | None) -> bool:
        """Replaces the item's whole state if this is news. False where the item is gone."""
        now = self._clock.now()
        known = _held(inside, item.key)
        if known is not None and order <= known.order:
            return True
        if _buried(inside, item.key, order, now):
            return False
        held = Held.of(item, order, now)
        if claim is not None:  # the journal knows a holder: he may be well, so nobody else gets it for one lease
            inside.do("note_lease", lease=micros(claim.lease))
            held.hold(claim, now)
        _write(inside, held)
        return True

    # ------------------------------------------------------------------------------------------------------- claims

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
        """Takeover is here, and nowhere else: an item whose lease ended is free, and gets a greater fence. A request
        that is repeated gets what it was granted; else a lost reply would cost a delivery.
        """
        if limit < 1:
            return Grants(claims=())
        request = claim_hash(f"{owner} {request_id}")
        with self._store.transaction() as inside:
            now = self._clock.now()
            life = _incarnation(inside)
            if repeated := [Held(**row) for row in inside.rows("granted_before", request=request, now=now)]:
                return Grants(claims=tuple(held.as_claim(request_id, life) for held in repeated))
            inside.do("note_lease", lease=micros(lease))
            paused = {row["queue"] for row in inside.rows("paused")}
            open_queues = [queue for queue in queues if queue not in paused]
            chosen = self._choose(inside, open_queues, limit, item, skip, now)
            for position, held in enumerate(chosen):
                held.lapsed = held.lapsed + 1 if held.claim_hash is not None else 0
                held.owner, held.claim_hash = owner, claim_hash(f"{request_id}:{position}")
                held.fence = held.lease_fence = held.fence + 1
                held.lease, held.expires_at = micros(lease), now + micros(lease)
                held.request, held.position = request, position
                _write(inside, held)
            next_due = None if len(chosen) >= limit else _next_due(inside, open_queues, now)
            return Grants(claims=tuple(held.as_claim(request_id, life) for held in chosen), next_due=next_due)

    def _choose(
        self,
        inside: Transaction,
        queues: Sequence[str],
        limit: int,
        item: AttemptKey | None,
        skip: Collection[str],
        now: Instant,
    ) -> list[Held]:
        """One of each queue in turns, another queue first each time: a full queue starves nobody."""
        first = next(self._turns) % max(1, len(queues))
        waiting = [_grantable(inside, queue, item, skip, now) for queue in (*queues[first:], *queues[:first])]
        chosen: list[Held] = []
        while waiting and len(chosen) < limit:
            queue = waiting.pop(0)
            if (held := next(queue, None)) is not None:
                chosen.append(held)
                waiting.append(queue)
        return chosen

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        """For workers of very many queues. Who was named goes to the back of the line."""
        with self._store.transaction() as inside:
            now = self._clock.now()
            known = [row["queue"] for row in inside.rows("queues_with_items")]
            asked = [queue for queue in known if queue in names or queue.startswith(tuple(prefixes))]
            due = [queue for queue in asked if next(_grantable(inside, queue, None, (), now), None)][:limit]
            for queue in due:
                inside.do("note_queue", queue=queue)
                inside.do("take_turn", queue=queue)
            return DueQueues(queues=tuple(due), next_due=None if len(due) >= limit else _next_due(inside, asked, now))

    # ------------------------------------------------------------------------------------------------ held claims

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        """Full length from now, by this clock. An ended lease stays ended, even where nobody took over yet: the holder
        has been told to stop, or will be.
        """
        with self._store.transaction() as inside:
            return [self._beat(inside, claim) for claim in claims]

    def _beat(self, inside: Transaction, claim: Claim) -> Beat:
        now = self._clock.now()
        held = _held(inside, claim.item)
        if held is not None and held.is_held_by(claim) and held.leased(now):
            assert held.lease is not None
            held.expires_at = now + held.lease
            _write(inside, held)
            return Beat.EXTENDED
        if _is_forgotten(inside, claim, held, now):
            return Beat.FORGOTTEN
        return Beat.GONE if held is None else Beat.LOST

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        """After the memory was lost: workers who are well keep what they hold, and do not do it again."""
        with self._store.transaction() as inside:
            return [self._adopt(inside, claim) for claim in claims]

    def _adopt(self, inside: Transaction, claim: Claim) -> Beat:
        answer = self._beat(inside, claim)
        if answer is not Beat.FORGOTTEN:
            return answer
        known = _held(inside, claim.item)
        item = Item(key=claim.item, queue=claim.queue, priority=ADOPTED_PRIORITY)
        if known is not None:
            item = structs.replace(known.as_item(self._clock.now()), delay=timedelta(0))
        self._put(inside, item, (claim.generation, claim.fence), _recorded(claim, claim.hash, claim.fence))
        return Beat.EXTENDED

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """A stale claim ends nothing. Its offers and its hand-over count all the same: they state what the journal
        holds already.
        """
        with self._store.transaction() as inside:
            for settlement in settlements:
                self._end(inside, settlement.claim)
                self._offer(inside, settlement.offers)
                if settlement.handover is not None:
                    self._hand_over(inside, settlement.claim, settlement.handover)

    def shelve(self, claims: Sequence[Claim]) -> None:
        """A backend never decides that work is dead, and keeps no list of it: the journal does."""
        self.settle([Settlement(claim=claim) for claim in claims])

    def _end(self, inside: Transaction, claim: Claim) -> None:
        held = _held(inside, claim.item)
        if held is None:  # forgotten: its holder still knows that no offer at or under this fence is news
            inside.do("note_lease", lease=micros(claim.lease))
            self._bury(inside, claim.item, (claim.generation, claim.fence))
        elif held.is_held_by(claim):
            self._bury(inside, claim.item, held.order)

    def _bury(self, inside: Transaction, item: AttemptKey, order: tuple[int, int]) -> None:
        """A tombstone: offers that were on their way when the item ended come late, and must not bring it back."""
        now = self._clock.now()
        inside.do("forget_tombstones", now=now)
        generation, fence = max(order, _tombstone(inside, item, now) or order)
        until = now + 2 * _life(inside)["longest"]
        inside.do("bury", item=item, generation=generation, fence=fence, until=until)
        inside.do("remove", item=item)

    def _hand_over(self, inside: Transaction, claim: Claim, handover: Handover) -> None:
        order = (handover.item.generation, handover.fence)
        holder = _recorded(claim, claim_hash(handover.claim_id), handover.fence, handover.item.generation)
        self._put(inside, handover.item, order, holder)

    def release(self, releases: Sequence[Release]) -> None:
        """Unspent: it is a word of its holder, so the count of lapsed leases begins anew."""
        with self._store.transaction() as inside:
            now = self._clock.now()
            for release in releases:
                held = _held(inside, release.claim.item)
                if held is None or not held.is_held_by(release.claim):
                    continue
                held.fence = max(held.fence, release.floor)
                held.lapsed = 0
                if release.as_claim is not None:
                    inside.do("note_lease", lease=micros(release.as_claim.lease))
                    held.hold(release.as_claim, now)
                else:
                    held.let_go()
                    if release.delay > timedelta(0):
                        held.visible_at = now + micros(release.delay)
                _write(inside, held)

    # ------------------------------------------------------------------------------------------------- reconcilers

    def drop(self, drops: Sequence[Drop]) -> None:
        """Only as it was seen: between the look and the drop the item may have begun another generation."""
        with self._store.transaction() as inside:
            for drop in drops:
                held = _held(inside, drop.key)
                if held is not None and held.order == (drop.generation, drop.fence):
                    self._bury(inside, drop.key, held.order)

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        with self._store.transaction() as inside:
            now = self._clock.now()
            rows = [Held(**row) for row in inside.rows("page", queue=queue, after=after or "", limit=limit + 1)]
            page = rows[:limit]
            more = page[-1].item if len(rows) > limit else None
            return ItemPage(items=tuple(held.as_item(now) for held in page), next=more)

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        """What a sweep asks, for less than an offer costs."""
        with self._store.transaction() as inside:
            now = self._clock.now()
            return [it.key for it in items if not _knows(inside, it.key, (it.generation, it.floor), now)]

    def cursor(self, queue: str) -> Cursor | None:
        """It stands in the same memory as the items that it vouches for, so it is lost with them."""
        with self._store.transaction() as inside:
            return _cursor(inside, queue)

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        """Refused under another incarnation: that pass offered its items to a memory that is gone."""
        with self._store.transaction() as inside:
            if _cursor(inside, queue) not in (expected, new) or new.incarnation != _incarnation(inside):
                return False
            inside.do("note_queue", queue=queue)
            inside.do("set_cursor", queue=queue, **structs.asdict(new))
            return True

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        with self._store.transaction() as inside:
            now = self._clock.now()
            inside.do("note_queue", queue=queue)
            row = inside.row("queue", queue=queue)
            assert row is not None
            if row["sweeper"] not in (None, owner) and row["sweeps_until"] > now:
                return False
            inside.do("set_sweeper", queue=queue, owner=owner, until=now + micros(period))
            return True

    # --------------------------------------------------------------------------------------------------- operators

    def pause(self, queue: str) -> None:
        """The journal decided it; every reconciler tells it again to a memory that has lost it."""
        self._set_paused(queue, True)

    def resume(self, queue: str) -> None:
        self._set_paused(queue, False)

    def _set_paused(self, queue: str, paused: bool) -> None:
        with self._store.transaction() as inside:
            inside.do("note_queue", queue=queue)
            inside.do("set_paused", queue=queue, paused=paused)

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        with self._store.transaction() as inside:
            return frozenset(row["queue"] for row in inside.rows("paused")).intersection(queues)

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._store.transaction() as inside:
            return [_stats(inside, queue, self._clock.now()) for queue in queues]


# ------------------------------------------------------------------------------------------- questions inside of it


def _life(inside: Transaction) -> dict[str, Any]:
    row = inside.row("life")
    assert row is not None
    return row


def _incarnation(inside: Transaction) -> str:
    return str(_life(inside)["incarnation"])


def _marker(inside: Transaction) -> Marker | None:
    life = _life(inside)
    return Marker(mesh=str(life["mesh"]), incarnation=str(life["marked"])) if life["mesh"] is not None else None


def _held(inside: Transaction, item: AttemptKey) -> Held | None:
    row = inside.row("item", item=item)
    return None if row is None else Held(**row)


def _write(inside: Transaction, held: Held) -> None:
    inside.do("put", **asdict(held))


def _tombstone(inside: Transaction, item: AttemptKey, now: Instant) -> tuple[int, int] | None:
    row = inside.row("tombstone", item=item, now=now)
    return None if row is None else (row["generation"], row["fence"])


def _buried(inside: Transaction, item: AttemptKey, order: tuple[int, int], now: Instant) -> bool:
    ended = _tombstone(inside, item, now)
    return ended is not None and order <= ended


def _knows(inside: Transaction, item: AttemptKey, order: tuple[int, int], now: Instant) -> bool:
    held = _held(inside, item)
    return (held is not None and order <= held.order) or _buried(inside, item, order, now)


def _is_forgotten(inside: Transaction, claim: Claim, held: Held | None, now: Instant) -> bool:
    """Granted in another life of this memory, and above all that this life knows."""
    order = (claim.generation, claim.fence)
    if claim.incarnation == _incarnation(inside) or _buried(inside, claim.item, order, now):
        return False
    return held is None or (not held.leased(now) and held.order < order)


def _grantable(
    inside: Transaction, queue: str, item: AttemptKey | None, skip: Collection[str], now: Instant
) -> Iterator[Held]:
    """In order; what its concurrency key holds back is passed over. Counts each one taken as a lease."""
    leases = {row["concurrency_key"]: row["leases"] for row in inside.rows("live_leases", queue=queue, now=now)}
    for row in inside.rows("free", queue=queue, now=now):
        held = Held(**row)
        if held.step in skip or item not in (None, held.item):
            continue
        key, limit = held.concurrency_key, held.concurrency_limit
        if key is None or limit is None or leases.get(key, 0) < limit:
            leases[key] = leases.get(key, 0) + 1
            yield held


def _next_due(inside: Transaction, queues: Sequence[str], now: Instant) -> timedelta | None:
    rows = [inside.row("next_due", queue=queue, now=now) for queue in queues]
    later = [row["due"] for row in rows if row is not None and row["due"] is not None]
    return duration(min(later) - now) if later else None


def _cursor(inside: Transaction, queue: str) -> Cursor | None:
    row = inside.row("queue", queue=queue)
    if row is None or row["token"] is None:
        return None
    return Cursor(incarnation=row["incarnation"], token=row["token"], position=row["position"])


def _recorded(claim: Claim, hashed: str, fence: int, generation: int | None = None) -> RecordedClaim:
    return RecordedClaim(
        owner=claim.owner,
        claim_hash=hashed,
        generation=claim.generation if generation is None else generation,
        fence=fence,
        lease=claim.lease,
    )


def _stats(inside: Transaction, queue: str, now: Instant) -> QueueStats:
    row = inside.row("stats", queue=queue, now=now)
    assert row is not None
    return QueueStats(
        queue=queue,
        ready=row["ready"],
        delayed=row["held"] - row["leased"] - row["ready"],
        leased=row["leased"],
        oldest_ready=None if row["oldest"] is None else duration(now - row["oldest"]),
    )
