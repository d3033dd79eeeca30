"""Values of the port as arguments of scripts, and answers of scripts as values.

Only words and whole numbers travel: ids, hashes, microseconds (I19). What is no word never reaches a script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from squidmesh.clock import duration, micros
from squidmesh.errors import DataRefused, RecordedClaim
from squidmesh.ids import AttemptKey, ClaimHash, ClaimId, claim_hash, is_identifier
from squidmesh.ports.lease_backend import (
    Beat,
    Claim,
    Cursor,
    Drop,
    Grants,
    Handover,
    Item,
    ItemPage,
    Marker,
    QueueStats,
    Release,
)

Arguments = list[str | int]
NONE = "*"
_NOBODY = "* * 0 0 0"
"""In the place of a recorded claim."""
BATCH = 200
"""Values a script takes at once, so that no call of ours keeps the others waiting for long."""
_WORD = re.compile(r"[!-~]{1,512}")
_MOST = 2**53 - 1
T = TypeVar("T")


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(values), BATCH):
        yield values[begin : begin + BATCH]


def word(value: str, field: str) -> str:
    if value == NONE or not _WORD.fullmatch(value):
        raise DataRefused(
            f"{field}: {value[:80]!r} is refused; allowed are up to 512 visible ASCII characters, no space"
        )
    return value


def number(value: int, field: str) -> int:
    if not 0 <= value <= _MOST:
        raise DataRefused(f"{field}: {value} is refused; allowed is 0 to {_MOST}")
    return value


def length(value: timedelta, field: str) -> int:
    return number(micros(value), field)


# ------------------------------------------------------------------------------------------------------- there


def item(one: Item) -> Arguments:
    """The argument of an item: 12 words. Its order is (generation, floor)."""
    return _item(one, one.floor, one.recorded)


def handed_over(claim: Claim, handover: Handover) -> Arguments:
    """An item that is created leased; its order is (generation, fence of the hand-over)."""
    holder = RecordedClaim(
        owner=claim.owner,
        claim_hash=claim_hash(handover.claim_id),
        generation=handover.item.generation,
        fence=handover.fence,
        lease=claim.lease,
    )
    return _item(handover.item, handover.fence, holder)


def _item(one: Item, fence: int, recorded: RecordedClaim | None) -> Arguments:
    group = one.concurrency_key
    if group is not None and not is_identifier(group):
        raise DataRefused(f"concurrency_key: {group[:80]!r} is refused; allowed are 1 to 128 of A-Z a-z 0-9 . _ -")
    if not 0 <= one.priority <= 9:
        raise DataRefused(f"priority: {one.priority} is refused; allowed is 0 to 9")
    key, delay = word(one.key, "item"), length(one.delay, "delay")
    generation, fence = number(one.generation, "generation"), number(fence, "floor")
    limit = number(one.concurrency_limit or 0, "concurrency_limit")
    told = f"{key} {one.priority} {generation} {fence} {delay} {group or NONE} {limit} "
    return [told + (_NOBODY if recorded is None else " ".join(map(str, _holder(recorded))))]


def _holder(recorded: RecordedClaim | None) -> Arguments:
    if recorded is None:
        return [NONE, NONE, 0, 0, 0]
    return [
        word(recorded.owner, "owner"),
        word(recorded.claim_hash, "claim_hash"),
        number(recorded.generation, "generation"),
        number(recorded.fence, "fence"),
        length(recorded.lease, "lease"),
    ]


def held(claim: Claim) -> Arguments:
    """What every fenced call names: key, generation, fence, hash of the claim id."""
    return [
        word(claim.item, "item"),
        number(claim.generation, "generation"),
        number(claim.fence, "fence"),
        claim.hash,
    ]


def beating(claim: Claim) -> Arguments:
    return [*held(claim), word(claim.incarnation, "incarnation")]


def adopted(claim: Claim) -> Arguments:
    return [*beating(claim), word(claim.owner, "owner"), length(claim.lease, "lease")]


def settled(claim: Claim) -> Arguments:
    """The argument of a claim that ends: 5 words."""
    return [" ".join(map(str, (*held(claim), length(claim.lease, "lease"))))]


def released(release: Release) -> Arguments:
    return [
        *held(release.claim),
        length(release.delay, "delay"),
        number(release.floor, "floor"),
        *_holder(release.as_claim),
    ]


def dropped(drop: Drop) -> Arguments:
    return [word(drop.key, "item"), number(drop.generation, "generation"), number(drop.fence, "fence")]


def asked(one: Item) -> Arguments:
    return [word(one.key, "item"), number(one.generation, "generation"), number(one.floor, "floor")]


def mark(cursor: Cursor | None) -> Arguments:
    if cursor is None:
        return [NONE]
    return [word(cursor.incarnation, "incarnation"), word(cursor.token, "token"), str(cursor.position)]


# -------------------------------------------------------------------------------------------------------- back


def claims(told: Sequence[str], queue: str, owner: str, request_id: str, incarnation: str) -> list[Claim]:
    """From key, generation, fence, lease length, position, lapsed and concurrency key of each."""
    return [
        Claim(
            item=AttemptKey(key),
            queue=queue,
            owner=owner,
            claim_id=ClaimId(f"{request_id}:{position}"),
            generation=int(generation),
            fence=int(fence),
            lease=duration(int(lease)),
            incarnation=incarnation,
            lapsed=int(lapsed),
            concurrency_key=group or None,
        )
        for key, generation, fence, lease, position, lapsed, group in _rows(told, 7)
    ]


def due(told: str) -> timedelta | None:
    return duration(int(told)) if told else None


def grants(claims: Sequence[Claim], dues: Sequence[timedelta | None], *, limit: int) -> Grants:
    known = [one for one in dues if one is not None]
    return Grants(claims=tuple(claims), next_due=min(known) if known and len(claims) < limit else None)


def beats(told: Sequence[str]) -> list[Beat]:
    return [Beat(one) for one in told]


def page(told: Sequence[str], queue: str) -> ItemPage:
    after, *rest = told
    return ItemPage(items=tuple(_listed(row, queue) for row in _rows(rest, 11)), next=None if after == "0" else after)


def _listed(row: Sequence[str], queue: str) -> Item:
    key, priority, generation, fence, delay, group, limit, owner, hashed, held_fence, lease = row
    recorded = None
    if owner:
        recorded = RecordedClaim(
            owner=owner,
            claim_hash=ClaimHash(hashed),
            generation=int(generation),
            fence=int(held_fence),
            lease=duration(int(lease)),
        )
    return Item(
        key=AttemptKey(key),
        queue=queue,
        priority=int(priority),
        generation=int(generation),
        floor=int(fence),
        delay=duration(int(delay)),
        concurrency_key=group or None,
        concurrency_limit=int(limit) or None,
        recorded=recorded,
    )


def stats(told: Sequence[str], queue: str) -> QueueStats:
    ready, delayed, leased, oldest = told
    return QueueStats(queue=queue, ready=int(ready), delayed=int(delayed), leased=int(leased), oldest_ready=due(oldest))


def cursor(told: str | None) -> Cursor | None:
    if told is None:
        return None
    incarnation, token, position = told.split(" ")
    return Cursor(incarnation=incarnation, token=token, position=int(position))


def _rows(told: Sequence[str], width: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(told), width):
        yield told[begin : begin + width]


def branded(marker: Marker | None) -> str:
    """A marker as it is stored."""
    if marker is None:
        return NONE
    return f"{word(marker.mesh, 'mesh')}/{word(marker.incarnation, 'incarnation')}"


def marker(stored: str | None) -> Marker | None:
    if stored is None:
        return None
    mesh, _, incarnation = stored.partition("/")
    return Marker(mesh=mesh, incarnation=incarnation)
