"""One claim: rounds of one statement, and a transaction more where what is first in order has a concurrency key.

An item whose key is at its limit is put aside, and comes back in order, the longest-waiting first, when a lease of the
key ends (its migration says how): a crowd of them is walked past once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from psycopg import Connection, Cursor

from squidmesh.clock import duration, micros
from squidmesh.ids import AttemptKey, ClaimId, EntryId, claim_hash
from squidmesh.ports.lease_backend import Claim, Grants
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load

MOST_LOOKS = 1000
"""Items with concurrency keys that one claim looks at, about; the next one follows at once and goes on behind them."""
_PAGE = 100
"""Of those, in one transaction; and how many are looked at once in a crowd."""
_MOST_BACK = 1000
"""Leases that count no more, and items that try again, at a time."""
_ASIDE = 300_000_000
"""Microseconds after which an item that waits for its concurrency key tries by itself. As rare as a sweep is
elsewhere: it costs something for every one that waits, and is of use only where a transaction was rolled back after it
had stood in a trigger's way.
"""
_SOON = 1_000_000
"""The same, where a lease of the key was just changed by somebody else: it may have ended."""

_Row = tuple[str, str, int, int, int, int, int]
"""Item, queue, generation, fence, position, lease, how many leases lapsed in a row."""
_Keyed = tuple[str, str, str, int]
_NAMES = ("item", "queue", "concurrency_key", "nth")
"""The last is its place in the round."""
_rows = msgspec.json.Decoder(list[_Row])
_keyed = msgspec.json.Decoder(list[_Keyed])


class Request:
    """One call of ``claim``. Only hashes of its id, and of the claim ids made from it, are stored (3.5.8)."""

    def __init__(self, owner: str, request_id: str, lease: timedelta, incarnation: str) -> None:
        self.owner = owner
        self.hash = claim_hash(request_id)
        self.lease = micros(lease)
        self._id = request_id
        self._incarnation = incarnation

    def hashes(self, base: int, count: int) -> str:
        """Of the claim ids with these numbers, as a JSON array."""
        return _json([claim_hash(f"{self._id}:{position}") for position in range(base, base + count)])

    def claim(self, row: _Row) -> Claim:
        item, queue, generation, fence, position, lease, lapsed = row
        return Claim(
            item=AttemptKey(item),
            queue=queue,
            owner=self.owner,
            claim_id=ClaimId(f"{self._id}:{position}"),
            generation=generation,
            fence=fence,
            lease=duration(lease),
            incarnation=self._incarnation,
            lapsed=lapsed,
        )


class Granted(msgspec.Struct, frozen=True):
    """``now``: the server's time when it answered."""

    grants: Grants
    now: int


class _Look(msgspec.Struct, frozen=True):
    """What one round found. ``repeated``: the answer that this request was given before. ``seen``: how many items;
    ``next_due``: told where those were all. ``begun``: as in :class:`Grants`.
    """

    now: int
    repeated: list[_Row] | None
    granted: list[_Row]
    keyed: list[_Keyed]
    seen: int
    some_come_back: bool
    next_due: int | None
    begun: dict[AttemptKey, tuple[EntryId, bytes]]


class _Decided(msgspec.Struct, frozen=True):
    """About what has a concurrency key. ``back_at``: when what was put aside tries again. ``look_again``: something
    that was aside may try in its turn now, or somebody else has answered the same request meanwhile.
    """

    granted: list[_Row]
    back_at: list[int]
    look_again: bool


class Claiming:
    """The statements, for one schema."""

    def __init__(self, schema: str) -> None:
        known = load("leases", schema)
        self._schema = schema
        self._of_one_queue = _composed(known, "claim", "share_of_one", "heads", "granted")
        self._of_queues = _composed(known, "claim", "shares", "heads", "granted")
        self._of_item = _composed(known, "claim", "share_of_one", "head_of_item", "granted")
        self._lock, self._keyed, self._bring_back = (Raw(known[name]) for name in ("lock", "claim_keyed", "bring_back"))

    def claim(
        self,
        connection: Connection[Any],
        request: Request,
        queues: Sequence[str],
        limit: int,
        item: AttemptKey | None,
        skip: Sequence[str],
    ) -> Granted:
        """``connection``: in autocommit. ``queues``: each once, in the order of their turns."""
        one = self._of_one_queue if len(queues) == 1 else self._of_queues
        statement = one if item is None else self._of_item
        asked = {"queues": _json(queues), "skip": _json(skip), "item": item}
        rows: list[_Row] = []
        begun: dict[AttemptKey, tuple[EntryId, bytes]] = {}
        due: list[int] = []
        look, base, looks, came_back = limit, 0, 0, False
        while True:
            told = {
                **asked,
                **_of_request(request, base, look),
                "schema": self._schema,
                "keyed": "[]",
                "mine": len(rows),
                "look": look,
                "most": limit - len(rows),
            }
            with connection.pipeline():  # one transaction, up to its end
                self._lock.execute(connection, told)
                answer = statement.execute(connection, told, binary=True)
            found = _look(answer)
            if found.repeated is not None:
                return Granted(Grants(claims=_in_order(request, found.repeated)), found.now)
            rows += found.granted
            begun |= found.begun
            again = found.some_come_back and not came_back
            if again:
                came_back = True
                self._bring_back.execute(connection, {"queues": asked["queues"], "most": _MOST_BACK})
            if found.keyed and (len(rows) < limit or base > 0):  # a crowd is put aside, whoever else fills the limit
                keyed = self._with_keys(connection, request, found.keyed, base, look, len(rows), limit, item)
                rows += keyed.granted
                due += keyed.back_at
                looks += len(found.keyed)
                again |= keyed.look_again or found.seen == look
            base += look
            if len(rows) >= limit or not again or looks >= MOST_LOOKS or item is not None:
                break
            look = max(limit - len(rows), _PAGE) if found.keyed else limit - len(rows)
        claims = _in_order(request, rows)
        if len(claims) >= limit:
            return Granted(Grants(claims=claims, begun=begun), found.now)
        due += [] if found.next_due is None else [found.next_due]
        due += [found.now + request.lease] if claims else []
        due += [found.now] if again else []
        next_due = duration(max(0, min(due) - found.now)) if due else None
        return Granted(Grants(claims=claims, next_due=next_due, begun=begun), found.now)

    def _with_keys(
        self,
        connection: Connection[Any],
        request: Request,
        keyed: Sequence[_Keyed],
        base: int,
        look: int,
        mine: int,
        limit: int,
        item: AttemptKey | None,
    ) -> _Decided:
        rows: list[_Row] = []
        due: list[int] = []
        look_again = False
        for begin in range(0, len(keyed), _PAGE):
            page = [dict(zip(_NAMES, one, strict=True)) for one in keyed[begin : begin + _PAGE]]
            told = {
                **_of_request(request, base, look),
                "schema": self._schema,
                "keyed": _json(page),
                "out_of_turn": item is not None,
                "mine": mine + len(rows),
                "most": limit - mine - len(rows),
                "aside": _ASIDE,
                "soon": _SOON,
            }
            with connection.pipeline():
                self._lock.execute(connection, told)
                decided = self._keyed.execute(connection, told)
            granted, back_at, again = decided.fetchone() or (None, None, False)
            rows += _read(granted)
            due += [] if back_at is None else [back_at]
            look_again |= again
            if mine + len(rows) >= limit:
                break
        return _Decided(rows, due, look_again)


def _look(answer: Cursor[Any]) -> _Look:
    now, repeated, granted, keyed, seen, some_come_back, next_due, *firsts = answer.fetchone() or _NOTHING
    known = None if repeated is None else _read(repeated)
    keys = _keyed.decode(keyed or "[]")
    begun = {item: (entry_id, body) for item, entry_id, body in zip(*(first or () for first in firsts), strict=True)}
    return _Look(now, known, _read(granted), keys, seen, some_come_back, next_due, begun)


_NOTHING = (0, None, None, None, 0, False, None, None, None, None)


def _of_request(request: Request, base: int, look: int) -> dict[str, Any]:
    return {
        "owner": request.owner,
        "request_hash": request.hash,
        "hashes": request.hashes(base, look),
        "base": base,
        "lease": request.lease,
    }


def _in_order(request: Request, rows: list[_Row]) -> tuple[Claim, ...]:
    return tuple(request.claim(row) for row in sorted(rows, key=lambda row: row[4]))


def _composed(known: dict[str, str], *parts: str) -> Raw:
    return Raw(",\n".join(known[part] for part in parts))


def _read(rows: str | None) -> list[_Row]:
    return _rows.decode(rows or "[]")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
