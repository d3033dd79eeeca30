"""Journal leases: what may be claimed is what the agenda says, less what a live lease holds (protocol 3.9).

Nothing is offered, so nothing can be missing, and there is neither cursor nor tombstone: what a reconciler would ask of
another backend has its empty answer here. The time is the server's, in every statement.

A claim, a heartbeat and a release commit without waiting for the disk: what a crash of the server takes of them was
followed by nothing that it has kept, for a commit that records a claim takes all before it along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import msgspec
from psycopg import Connection

from squidmesh.clock import Instant, duration
from squidmesh.errors import RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash
from squidmesh.ports.journal_leases import JournalLeases
from squidmesh.ports.journal_store import Group
from squidmesh.ports.lease_backend import (
    Beat,
    Claim,
    DueQueues,
    Grants,
    Item,
    ItemPage,
    LeaseChange,
    QueueStats,
    Release,
    Settlement,
)
from squidmesh.ports.turns import Turns
from squidmesh_postgres.claiming import Claiming, Request
from squidmesh_postgres.faults import translated
from squidmesh_postgres.lease_changes import LEASE_PARTS, lease_rows
from squidmesh_postgres.pool import Pool
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load
from squidmesh_postgres.times import ServerTime

__all__ = ["LEASE_PARTS", "PostgresLeases", "lease_rows"]

_BEATS = {"extended": Beat.EXTENDED, "lost": Beat.LOST, "gone": Beat.GONE}
_BUSY = "busy"
_SPANS = 1000
"""Names that one look for due queues is given."""


class PostgresLeases(JournalLeases):
    def __init__(self, pool: Pool, times: ServerTime, schema: str, incarnation: str) -> None:
        self._pool = pool
        self._times = times
        self._schema = schema
        self._incarnation = incarnation
        self._claiming = Claiming(schema)
        self._first_queue = count()
        self._turns = Turns()
        known = load("leases", schema)
        self._beat = Raw(f"{known['held']},\n{known['beat']}")
        self._beat_one = Raw(f"{known['held_by_one']},\n{known['beat']}")
        self._announce = Raw(load("commit", schema)["announce"])
        self._due = Raw(known["due_queues"])
        self._items, self._paused, self._stats = (Raw(known[name]) for name in ("items", "paused", "stats"))

    def incarnation(self, queue: str) -> str:
        """That of the schema: its queues are lost together."""
        return self._incarnation

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
        """One statement, where nothing has a concurrency key."""
        if limit < 1 or not queues:
            return Grants(claims=())
        first = next(self._first_queue) % len(queues)
        asked = list(dict.fromkeys((*queues[first:], *queues[:first])))
        request = Request(owner, request_id, lease, self._incarnation)
        with self._connection() as connection:
            granted = self._claiming.claim(connection, request, asked, limit, item, sorted(skip))
        self._times.hear(granted.now)
        return granted.grants

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        """One statement, but for thousands of names: a hop in the agenda's index for each queue that is looked at."""
        spans = [span._asdict() for span in self._turns.spans(names, prefixes)] if limit > 0 else []
        due: list[str] = []
        later: list[int] = []
        for begin in range(0, len(spans), _SPANS):
            asked = {"spans": _json(spans[begin : begin + _SPANS]), "limit": limit - len(due)}
            with self._connection() as connection:
                now, found, next_due = self._due.execute(connection, asked).fetchone() or (0, None, None)
            self._times.hear(now)
            due += msgspec.json.decode(found or "[]", type=list[str])
            if len(due) >= limit:
                self._turns.end_with(names, prefixes, due[-1])
                return DueQueues(queues=tuple(due))
            later += [] if next_due is None else [next_due - now]
        return DueQueues(queues=tuple(due), next_due=duration(max(0, min(later))) if later else None)

    # ---------------------------------------------------------------------------------------------- held claims

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        """One statement, but for leases that somebody changes at this moment: those are asked for again, one by one."""
        if not claims:
            return []
        held = [{"item": claim.item, "claim_hash": claim.hash, "fence": claim.fence} for claim in claims]
        with self._connection() as connection:
            answers = self._answers(connection, self._beat, held)
            for place in range(len(answers)):
                while answers[place] == _BUSY:  # a second time if the lease has ended while this waited for it
                    (answers[place],) = self._answers(connection, self._beat_one, [held[place]])
        return [_BEATS[answer] for answer in answers]

    def _answers(self, connection: Connection[Any], beat: Raw, held: Sequence[dict[str, Any]]) -> list[str]:
        rows = beat.execute(connection, {"claims": _json(held)}).fetchall()
        self._times.hear(rows[0][0])
        return [answer for _, answer in rows]

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
        """What rides in a commit otherwise, by itself. Others are told of what they may claim at once."""
        if not changes:
            return
        free = {change.claim.queue for change in changes if _frees(change)}
        rows = lease_rows([(0, Group(appends=(), leases=tuple(changes)))])
        parts = tuple(part for part in LEASE_PARTS if rows.get(part))
        arrays = {part: _json(rows.get(part, [])) for part in LEASE_PARTS}
        with self._connection() as connection, connection.pipeline() as pipeline:
            called = _call(self._schema, parts).execute(connection, arrays)
            if free:
                pipeline.sync()
                self._announce.execute(connection, {"channel": self._schema, "queues": _json(sorted(free))})
        (now,) = called.fetchone() or (0,)
        self._times.hear(now)

    # --------------------------------------------------------------------------------------------- reconciling

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        """In order of key."""
        asked = {"queue": queue, "after": after or "", "limit": limit + 1}
        with self._connection() as connection:
            rows = self._items.execute(connection, asked).fetchall()
        page = tuple(_item(row) for row in rows[:limit])
        return ItemPage(items=page, next=page[-1].key if page and len(rows) > limit else None)

    # ----------------------------------------------------------------------------------------------- operators

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        with self._connection() as connection:
            return frozenset(queue for (queue,) in self._paused.execute(connection, {"queues": _json(queues)}))

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._connection() as connection:
            return [_stats(row) for row in self._stats.execute(connection, {"queues": _json(queues)})]

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _connection(self) -> Iterator[Connection[Any]]:
        """Every call may be made again as it is, whatever went wrong."""
        with translated(self._pool.name), self._pool.use() as connection:
            yield connection


def _frees(change: LeaseChange) -> bool:
    return isinstance(change, Release) and change.as_claim is None and not change.delay


@cache
def _call(schema: str, parts: tuple[str, ...]) -> Raw:
    known = load("commit_leases", schema)
    tables = ",\n".join(known[part] for part in ("call", *parts))
    return Raw(f"WITH {tables}\n{known['called']}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _stats(row: tuple[Any, ...]) -> QueueStats:
    queue, items, visible, leased, kept, oldest = row
    return QueueStats(
        queue=queue,
        ready=visible - kept,
        delayed=items - (visible - kept) - leased,
        leased=leased,
        oldest_ready=None if oldest is None else duration(oldest),
    )


def _item(row: tuple[Any, ...]) -> Item:
    key, queue, priority, generation, fence, visible_at, owner, hashed, lease, shared, limit, now = row
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
        delay=duration(max(0, visible_at - Instant(now))),
        concurrency_key=shared,
        concurrency_limit=limit,
        recorded=recorded,
    )
