"""Is a claim still the one that the journal has recorded? Asked before a lease is adopted again (protocol 3.5.6)."""

from __future__ import annotations

from collections.abc import Sequence

from squidmesh.ids import parse_attempt_key
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.lease_backend import Claim


def still_current(store: JournalStore, claims: Sequence[Claim]) -> list[bool]:
    """One answer a claim, in order, from the agenda as it is now. Raises what the store raises."""
    runs = {parse_attempt_key(claim.item)[0] for claim in claims}
    rows = {row.item: row for run_id in runs for row in store.open_attempts(run_id=run_id)}
    return [_records(rows.get(claim.item), claim) for claim in claims]


def _records(row: AttemptRow | None, claim: Claim) -> bool:
    if row is None:
        return False
    return (row.claim_hash, row.generation, row.fence) == (claim.hash, claim.generation, claim.fence)
