"""Changes of leases as rows, for the statement that makes them (``sql/commit_leases.sql``): a commit, or a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from squidmesh.clock import micros
from squidmesh.errors import RecordedClaim
from squidmesh.ids import claim_hash
from squidmesh.ports.journal_store import Group
from squidmesh.ports.lease_backend import Claim, Handover, Release, Settlement

LEASE_PARTS = ("lease_locks", "settle", "release", "release_as", "hand_over")
"""In the order in which they stand in a statement. Each reads the array of its own name."""

Row = dict[str, Any]


def lease_rows(groups: Iterable[tuple[int, Group]]) -> dict[str, list[Row]]:
    """The rows of each part that has any. ``g`` is the number of the row's group; only what the journal accepts is
    carried out. Stale changes match no lease, and change nothing. An attempt that a group removes from the agenda takes
    its lease along by itself.
    """
    rows: dict[str, list[Row]] = {}
    for g, group in groups:
        if group.leases:
            removed = {item for append in group.appends for item in append.rows.remove}
            for change in group.leases:
                for part, row in _rows_of(change, removed):
                    rows.setdefault(part, []).append({"g": g, **row})
    for some in rows.values():
        some.sort(key=_item)
    return rows


def _rows_of(change: Settlement | Release, removed: set[Any]) -> Iterable[tuple[str, Row]]:
    claim = change.claim
    match change:
        case Settlement():
            if claim.item not in removed:
                yield "lease_locks", _lock(claim)
                yield "settle", _held(claim)
            if change.handover is not None:
                yield "hand_over", _handed_over(claim, change.handover)
        case Release():
            yield "lease_locks", _lock(claim)
            if change.as_claim is None:
                yield "release", {**_held(claim), "floor": change.floor, "delay": micros(change.delay)}
            else:
                yield "release_as", {**_held(claim), "floor": change.floor, **_recorded(change.as_claim)}
        case _:
            assert_never(change)


def _item(row: Row) -> str:
    item: str = row["item"]
    return item


def _lock(claim: Claim) -> Row:
    return {"item": claim.item, "claim_hash": claim.hash}


def _held(claim: Claim) -> Row:
    return {"item": claim.item, "claim_hash": claim.hash, "fence": claim.fence}


def _recorded(claim: RecordedClaim) -> Row:
    return {
        "recorded_generation": claim.generation,
        "recorded_fence": claim.fence,
        "recorded_owner": claim.owner,
        "recorded_hash": claim.claim_hash,
        "recorded_lease": micros(claim.lease),
    }


def _handed_over(claim: Claim, handover: Handover) -> Row:
    return {
        "item": handover.item.key,
        "generation": handover.item.generation,
        "fence": handover.fence,
        "owner": claim.owner,
        "claim_hash": claim_hash(handover.claim_id),
        "lease": micros(claim.lease),
    }
