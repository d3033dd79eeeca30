"""Journal leases: what may be claimed is what the agenda says, less what a live lease holds (protocol 3.9).

Nothing is offered, so nothing can be missing, and there is neither cursor nor tombstone: what a reconciler would ask of
another backend has its empty answer here.

An item whose concurrency key is at its limit is put aside by the claim that meets it, and comes back in order, the
longest-waiting first, when a lease of the key ends (its migration says how): a crowd of them is walked past once.

Lease rows stand beside the agenda in the same file. A claim, a heartbeat and a release commit without waiting for the
disk: what a power cut takes of them was held by processes of the machine that lost its power, and a *recorded* claim
is made durable, with all before it, by the commit that records it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, assert_never

import msgspec

from squidmesh.clock import Clock, Instant, duration, micros
from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId, claim_hash
from squidmesh.ports.journal_leases import JournalLeases
from squidmesh.ports.lease_backend import (
    Beat,
    Claim,
    DueQueues,
    Grants,
    Handover,
    Item,
    ItemPage,
    LeaseChange,
    QueueStats,
    Release,
    Settlement,
)
from squidmesh.ports.turns import Span, Turns, behind
from squidmesh_sqlite.pool import Pool
from squidmesh_sqlite.statements import load

_SQL = load("leases")
_INCARNATION = load("schema")["incarnation"]


class SqliteLeases(JournalLeases):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._first_queue = count()
        self._turns = Turns()
        self._incarnation: str | None = None
        self._busy = False

    def incarnation(self, queue: str) -> str:
        """That of the file: queues of one file are lost together."""
        return self._file()

    def _file(self) -> str:
        if self._incarnation is None:
            with self._pool.read() as connection:
                (self._incarnation,) = connection.execute(_INCARNATION).fetchone()
        return self._incarnation or ""

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
        """Looks without the write lock first, unless there was as much to claim the last time as was asked for: the
        idle hold nobody up, the busy look once.
        """
        if limit < 1:
            return Grants(claims=())
        first = next(self._first_queue) % max(1, len(queues))
        queues = [*queues[first:], *queues[:first]]
        request = _Request(owner, request_id, lease, self._file())
        passed_over = msgspec.json.encode(sorted(skip)).decode() if skip else None
        if not self._busy:
            with self._pool.read() as connection:
                look = _Look(connection, self._clock.now())
                if claims := request.repeated(look):
                    return Grants(claims=claims)
                running = look.running(queues)
                if not look.may_have_work(running, item, passed_over):
                    return Grants(claims=(), next_due=look.next_due(running))
        with self._pool.write() as connection:
            look = _Look(connection, self._clock.now())
            if claims := request.repeated(look):
                return Grants(claims=claims)
            running = look.running(queues)
            look.free_places(running)
            claims = request.grant(look, look.free(running, limit, item, passed_over))
            self._busy = len(claims) >= limit
            return Grants(claims=claims, next_due=None if len(claims) >= limit else look.next_due(running))

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        """One hop in the agenda's index for each queue that is looked at."""
        if limit < 1:
            return DueQueues(queues=())
        due: list[str] = []
        running: list[str] = []
        with self._pool.read() as connection:
            look = _Look(connection, self._clock.now())
            paused = look.paused()
            for queue in look.queues(self._turns.spans(names, prefixes)):
                if queue not in paused:
                    running.append(queue)
                    due += [queue] if look.has_work(queue, None) else []
                if len(due) >= limit:
                    self._turns.end_with(names, prefixes, queue)
                    return DueQueues(queues=tuple(due))
            return DueQueues(queues=tuple(due), next_due=look.next_due(running))

    # ---------------------------------------------------------------------------------------------- held claims

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        if not claims:
            return []
        held = [(claim.item, claim.hash, claim.fence) for claim in claims]
        with self._pool.write() as connection:
            beat = {"now": self._clock.now(), "claims": msgspec.json.encode(held).decode()}
            extended = set(connection.execute(_SQL["beat"], beat))
            if len(extended) == len(claims):
                return [Beat.EXTENDED] * len(claims)
            items = msgspec.json.encode([claim.item for claim in claims]).decode()
            known = {item for (item,) in connection.execute(_SQL["known"], (items,))}
        lost = {claim.item: Beat.LOST if claim.item in known else Beat.GONE for claim in claims}
        return [Beat.EXTENDED if key in extended else lost[key[0]] for key in held]

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        """Nothing is ever forgotten here, so this is a heartbeat."""
        return self.heartbeat(claims)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self._change(settlements)

    def shelve(self, claims: Sequence[Claim]) -> None:
        """Ends the lease, if the entry that closed the attempt has not done so already."""
        self._change([Settlement(claim=claim) for claim in claims])

    def release(self, releases: Sequence[Release]) -> None:
        self._change(releases)

    def _change(self, changes: Sequence[LeaseChange]) -> None:
        if changes:
            with self._pool.write() as connection:
                apply(connection, changes, self._clock.now())

    # --------------------------------------------------------------------------------------------- reconciling

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        """In order of key."""
        asked = {"queue": queue, "after": after or "", "limit": limit + 1}
        with self._pool.read() as connection:
            now = self._clock.now()
            rows = connection.execute(_SQL["items"], asked).fetchall()
        page = tuple(_item(row, now) for row in rows[:limit])
        return ItemPage(items=page, next=page[-1].key if page and len(rows) > limit else None)

    # ----------------------------------------------------------------------------------------------- operators

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        with self._pool.read() as connection:
            return frozenset(queues) - frozenset(_Look(connection, self._clock.now()).running(queues))

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._pool.read() as connection:
            look = _Look(connection, self._clock.now())
            return [look.stats(queue) for queue in queues]

    def close(self) -> None:
        self._pool.close()


class _Look:
    """The queues as one connection sees them at one moment."""

    def __init__(self, connection: sqlite3.Connection, now: Instant) -> None:
        self.connection = connection
        self.now = now
        self._priorities: dict[str, list[int]] = {}
        self._places: dict[tuple[str, str], int] = {}
        """By queue and concurrency key: how many are taken, those chosen here included, as far as it was asked."""
        self._looks = 0
        self._more_at_once = False
        """There may be something that this call has not looked at: the next one should follow at once."""

    def running(self, queues: Sequence[str]) -> list[str]:
        """Those that are not paused."""
        paused = self.paused()
        return [queue for queue in queues if queue not in paused]

    def paused(self) -> set[str]:
        return {queue for (queue,) in self.connection.execute(_SQL["paused"])}

    def queues(self, spans: Sequence[Span]) -> Iterator[str]:
        """Those that have anything."""
        for low, high in spans:
            queue = self._queue(low, high)
            while queue is not None:
                yield queue
                queue = self._queue(behind(queue), high)

    def _queue(self, low: str, high: str) -> str | None:
        (found,) = self.connection.execute(_SQL["queue"], {"low": low, "high": high}).fetchone()
        return found  # type: ignore[no-any-return]

    def may_have_work(self, queues: Sequence[str], item: AttemptKey | None, skip: str | None) -> bool:
        """Writes nothing, and looks at no concurrency key: whether it is worth it to claim."""
        if item is not None:
            return self._item(item, queues) is not None
        return any(self.has_work(queue, skip) for queue in queues)

    def has_work(self, queue: str, skip: str | None) -> bool:
        if any(self._page(queue, priority, 1, 0, skip) for priority in self.priorities(queue)):
            return True
        (ended,) = self.connection.execute(_SQL["has_ended"], {"queue": queue, "now": self.now}).fetchone()
        return bool(ended)

    def free_places(self, queues: Sequence[str]) -> None:
        """Those of leases that ended without a word: someone else may try for them."""
        for queue in queues:
            self.connection.execute(_SQL["count_no_more"], {"queue": queue, "now": self.now})

    def _item(self, item: AttemptKey, queues: Sequence[str]) -> _Free | None:
        found: _Free | None = self.connection.execute(_SQL["head_item"], {"item": item, "now": self.now}).fetchone()
        return found if found is not None and found[1] in queues else None

    def free(self, queues: Sequence[str], limit: int, item: AttemptKey | None, skip: str | None) -> list[_Free]:
        """Claimable items, in order within a queue, in turns across queues. ``skip``: steps, as a JSON array. Puts
        aside what its concurrency key holds back.
        """
        if item is not None:
            found = self._item(item, queues)
            if found is None or not self._take_place(found):
                return []
            self.connection.execute(_SQL["take_back"], (item,))
            return [found]
        if len(queues) == 1:
            return self._head(queues[0], limit, skip)
        waiting = [iter(self._head(queue, limit, skip)) for queue in queues]
        return list(_in_turns(waiting, limit))

    def _head(self, queue: str, limit: int, skip: str | None) -> list[_Free]:
        found: list[_Free] = []
        for priority in self.priorities(queue):
            if len(found) >= limit:
                break
            found += self._of_priority(queue, priority, limit - len(found), skip)
        return found

    def _of_priority(self, queue: str, priority: int, limit: int, skip: str | None) -> list[_Free]:
        chosen: list[_Free] = []
        wanted = limit
        while len(chosen) < limit:
            held_back: list[tuple[AttemptKey]] = []
            for free in self._page(queue, priority, wanted, len(chosen), skip):
                if len(chosen) == limit:
                    break
                if self._take_place(free):
                    chosen.append(free)
                else:
                    held_back.append((free[0],))
            if not held_back:
                break
            self.connection.executemany(_SQL["put_aside"], held_back)
            self._looks += len(held_back)
            if self._looks >= MOST_LOOKS:
                self._more_at_once = True
                break
            wanted = max(limit - len(chosen), _PAGE)  # a crowd is there, it seems
        return chosen

    def _page(self, queue: str, priority: int, limit: int, chosen: int, skip: str | None) -> list[_Free]:
        statement = _SQL["head"] if skip is None else _SQL["head_without"]
        at = {"queue": queue, "priority": priority, "now": self.now, "skip": skip, "limit": limit, "chosen": chosen}
        return self.connection.execute(statement, at).fetchall()

    def _take_place(self, free: _Free) -> bool:
        """Whether its concurrency key has one; it is taken then."""
        _, queue, *_, key, limit = free
        if key is None or limit is None:
            return True
        taken = self._places.get((queue, key))
        if taken is None:
            at = {"queue": queue, "concurrency_key": key, "now": self.now, "limit": limit}
            (taken,) = self.connection.execute(_SQL["count_places"], at).fetchone()
        if taken < limit:
            self._places[queue, key] = taken + 1
            return True
        return False

    def fill_places(self, granted: _Free) -> None:
        """Lets the next of its key try, where that one has room: limits of one key may differ, and who ran alone may
        leave room for several.
        """
        _, queue, *_, key, limit = granted
        if key is not None and limit is not None:
            at = {"queue": queue, "concurrency_key": key, "taken": self._places[queue, key]}
            self._more_at_once |= self.connection.execute(_SQL["fill_places"], at).rowcount > 0

    def priorities(self, queue: str) -> list[int]:
        if queue not in self._priorities:
            found = self.connection.execute(_SQL["priorities"], {"queue": queue})
            self._priorities[queue] = [priority for (priority,) in found]
        return self._priorities[queue]

    def next_due(self, queues: Sequence[str]) -> timedelta | None:
        if self._more_at_once:
            return timedelta(0)
        moments = []
        for queue in queues:
            moments += self.connection.execute(_SQL["next_end"], {"queue": queue, "now": self.now}).fetchone()
            for priority in self.priorities(queue):
                at = {"queue": queue, "priority": priority, "now": self.now}
                moments += self.connection.execute(_SQL["next_visible"], at).fetchone()
        later = [moment for moment in moments if moment is not None]
        return duration(min(later) - self.now) if later else None

    def stats(self, queue: str) -> QueueStats:
        at = {"queue": queue, "now": self.now}
        items, visible = self.connection.execute(_SQL["count_items"], at).fetchone()
        leased, kept = self.connection.execute(_SQL["count_leased"], at).fetchone()
        heads: list[_Free] = []
        for priority in self.priorities(queue):
            heads += self._page(queue, priority, 1, 0, None)
        (aside,) = self.connection.execute(_SQL["oldest_aside"], at).fetchone()
        moments = [free[4] for free in heads] + ([] if aside is None else [aside])
        oldest = min(moments, default=None)
        return QueueStats(
            queue=queue,
            ready=visible - kept,
            delayed=items - (visible - kept) - leased,
            leased=leased,
            oldest_ready=None if oldest is None else duration(self.now - oldest),
        )


MOST_LOOKS = 1000
"""Items that one claim puts aside, about; the next one follows at once and goes on behind them."""
_PAGE = 100

_Free = tuple[AttemptKey, str, int, int, int, int, str | None, int | None]
"""Item, queue, generation, the greatest fence so far, visible_at, how many leases lapsed in a row; concurrency key and
limit.
"""


def _in_turns(waiting: list[Iterator[_Free]], limit: int) -> Iterator[_Free]:
    while waiting and limit > 0:
        queue = waiting.pop(0)
        if (free := next(queue, None)) is not None:
            waiting.append(queue)
            limit -= 1
            yield free


class _Request:
    """One call of ``claim``. Only hashes of its id, and of the claim ids made from it, are stored (3.5.8)."""

    def __init__(self, owner: str, request_id: str, lease: timedelta, incarnation: str) -> None:
        self._owner = owner
        self._id = request_id
        self._hash = claim_hash(request_id)
        self._lease = lease
        self._incarnation = incarnation

    def repeated(self, look: _Look) -> tuple[Claim, ...]:
        at = {"owner": self._owner, "request_hash": self._hash, "now": look.now}
        return tuple(self._claim(*row) for row in look.connection.execute(_SQL["repeated"], at))

    def grant(self, look: _Look, free: list[_Free]) -> tuple[Claim, ...]:
        if not free:
            return ()
        length = micros(self._lease)
        rows, claims = [], []
        for position, (item, queue, generation, granted, _, lapsed, key, _) in enumerate(free):
            fence = granted + 1
            claim = self._claim(item, queue, generation, fence, position, length, lapsed)
            claims.append(claim)
            # fmt: off
            rows.append((item, queue, generation, fence, fence, self._owner, claim.hash, self._hash, position,
                         length, look.now + length, lapsed, key))
            # fmt: on
        look.connection.executemany(_SQL["grant"], rows)
        for one in free:
            look.fill_places(one)
        return tuple(claims)

    def _claim(
        self, item: str, queue: str, generation: int, fence: int, position: int, lease: int, lapsed: int
    ) -> Claim:
        return Claim(
            item=AttemptKey(item),
            queue=queue,
            owner=self._owner,
            claim_id=ClaimId(f"{self._id}:{position}"),
            generation=generation,
            fence=fence,
            lease=duration(lease),
            incarnation=self._incarnation,
            lapsed=lapsed,
        )


def apply(
    connection: sqlite3.Connection, changes: Sequence[LeaseChange], now: Instant, *, ended: Sequence[tuple[str]] = ()
) -> None:
    """Writes settlements and releases, in the caller's transaction. Stale ones match no row and change nothing.

    ``ended``: items that left the agenda in this transaction. Whoever held them, they have no lease any more.
    """
    forgotten = {item for (item,) in ended}
    settled, released, held, handed_over, passed_on = [], [], [], [], []
    for change in changes:
        claim = change.claim
        match change:
            case Settlement():
                if claim.item not in forgotten:
                    settled.append((claim.item, claim.hash, claim.fence))
                    if change.handover is not None:
                        handed_over.append(_handed_over(claim, change.handover, now))
                elif change.handover is not None:
                    passed_on.append((claim, change.handover))
            case Release() if change.as_claim is not None:
                held.append(_held_as(change, change.as_claim, now))
            case Release():
                released.append((change.floor, now + micros(change.delay), claim.item, claim.hash, claim.fence))
            case _:
                assert_never(change)
    if passed_on and _pass_on(connection, passed_on, now):
        passed = {item for claim, handover in passed_on for item in (claim.item, handover.item.key)}
        ended = [one for one in ended if one[0] not in passed]
    else:  # rare: each in two steps
        handed_over += [_handed_over(claim, handover, now) for claim, handover in passed_on]
    writes = (
        ("forget", ended),
        ("settle", settled),
        ("release", released),
        ("release_as", held),
        ("hand_over", handed_over),
    )
    for name, rows in writes:
        if rows:
            connection.executemany(_SQL[name], rows)


def _pass_on(connection: sqlite3.Connection, passed_on: Sequence[tuple[Claim, Handover]], now: Instant) -> bool:
    """Whether all of these leases were as expected; those that were not are left as they were."""
    rows = []
    for claim, handover in passed_on:
        key, length = handover.item.key, micros(claim.lease)
        # fmt: off
        rows.append((key, handover.item.generation, handover.fence, handover.fence, claim.owner,
                     claim_hash(handover.claim_id), length, now + length, claim.item, handover.item.queue, key))
        # fmt: on
    return connection.executemany(_SQL["pass_on"], rows).rowcount == len(rows)


def _handed_over(claim: Claim, handover: Handover, now: Instant) -> dict[str, Any]:
    return {
        "item": handover.item.key,
        "generation": handover.item.generation,
        "fence": handover.fence,
        "owner": claim.owner,
        "claim_hash": claim_hash(handover.claim_id),
        "lease": micros(claim.lease),
        "expires_at": now + micros(claim.lease),
    }


def _held_as(release: Release, recorded: RecordedClaim, now: Instant) -> dict[str, Any]:
    return {
        "floor": release.floor,
        "generation": recorded.generation,
        "fence": recorded.fence,
        "owner": recorded.owner,
        "claim_hash": recorded.claim_hash,
        "lease": micros(recorded.lease),
        "expires_at": now + micros(recorded.lease),
        "item": release.claim.item,
        "released_hash": release.claim.hash,
        "released_fence": release.claim.fence,
    }


def _item(row: tuple[Any, ...], now: Instant) -> Item:
    key, queue, priority, generation, fence, visible_at, owner, hashed, lease, shared, limit = row
    recorded = None
    if owner is not None:
        recorded = RecordedClaim(
            owner=owner, claim_hash=ClaimHash(hashed), generation=generation, fence=fence, lease=duration(lease)
        )
    return Item(
        key=AttemptKey(key),
        queue=queue,
        priority=priority,
        generation=generation,
        floor=fence,
        delay=duration(max(0, visible_at - now)),
        concurrency_key=shared,
        concurrency_limit=limit,
        recorded=recorded,
    )
