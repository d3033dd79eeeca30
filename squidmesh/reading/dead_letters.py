"""Dead letters, as values for people: what was given up, why, and what became of a replay. No payload (I19)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from squidmesh.clock import Instant, to_datetime
from squidmesh.journal.rows import DeadLetterRow
from squidmesh.reading.plain import to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One attempt that was given up. ``item`` is its key, by which it is replayed or discarded. ``cause`` is
    ``lost_deliveries`` or ``lost_before_recording``; ``lost`` counts deliveries of this ``generation``, ``lapsed`` the
    claims in a row that ended without a word; ``owner`` was the last to hold it; ``detail`` is what is known of that.
    """

    item: str
    run_id: str
    workflow: str
    step: str
    attempt: int
    queue: str
    generation: int
    cause: str
    lost: int
    lapsed: int
    detail: str | None
    owner: str | None
    died_at: datetime

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterList:
    """A page, oldest first. ``next`` is the cursor of the page after it, None on the last one."""

    dead_letters: tuple[DeadLetter, ...]
    next: str | None
    as_of: datetime = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettersMoved:
    """What a replay or a discard did, or would do (``dry_run``). ``items``: those that it was done to; ``refused``: by
    item, why it was not.
    """

    items: tuple[str, ...]
    refused: dict[str, str]
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


def dead_letter(row: DeadLetterRow) -> DeadLetter:
    return DeadLetter(
        item=row.item,
        run_id=row.run_id,
        workflow=row.workflow,
        step=row.step,
        attempt=row.attempt,
        queue=row.queue,
        generation=row.generation,
        cause=row.cause,
        lost=row.lost,
        lapsed=row.lapsed,
        detail=row.detail,
        owner=row.owner,
        died_at=to_datetime(row.died_at),
    )


def dead_letter_list(rows: tuple[DeadLetterRow, ...], next_: str | None, *, now: Instant) -> DeadLetterList:
    return DeadLetterList(dead_letters=tuple(map(dead_letter, rows)), next=next_, as_of=to_datetime(now))
