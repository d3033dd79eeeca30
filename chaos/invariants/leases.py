"""What holds of the lease backend: I6 and I11."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chaos.evidence import Backend
from chaos.history import Call, Fault, Harm
from chaos.invariants.case import RunCase, Tally
from squidmesh.clock import micros
from squidmesh.ids import AttemptKey, attempt_key
from squidmesh.journal.facts import (
    AttemptCancelled,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ClaimReleased,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
)
from squidmesh.ports.lease_backend import Item

_MICRO = 1000
"""Nanoseconds."""
_SLACK = 5_000_000
"""Nanoseconds by which clocks of one machine may disagree about the length of a lease, and backends round."""
_GRACE = timedelta(seconds=1)
"""What a pass may take beside its period."""

_FORGIVES: frozenset[Harm] = frozenset({"leases_lost", "leases_rolled_back", "clock"})
"""While one of these lasts, a backend may have forgotten a lease, or its clock may have ended it. Where leases are in
the journal, it may also where the journal's server was killed: a claim there does not wait for the disk, since the
commit that records it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """While a fault lasted, in nanoseconds of ``mono``; ``until`` is None where it was never healed."""

    fault: Fault
    until: int | None

    def touches(self, begin: int, end: int) -> bool:
        return self.fault.mono <= end and (self.until is None or self.until >= begin)


def i6(case: RunCase, windows: Sequence[Window], tally: Tally, *, in_journal: bool) -> None:
    """An item has at most one live lease, by the clock of its backend and within one incarnation.

    From the histories: between two grants of one item, of two claims and in one incarnation, the first lease has ended,
    by a word of its holder (settled, released, shelved) or of a reconciler (dropped, replaced by a newer offer), or by
    its time. It surely lasts for its length from the moment at which its last extension was *asked* for. And what has
    been ended for good is not lent once more, as long as its tombstone stands (protocol 3.5.6). A heartbeat of which no
    history tells makes this weaker, and never red. What overlaps with the loss of leases, or with a clock that was
    moved, is left out.
    """
    forgiven = _FORGIVES | {"store_killed"} if in_journal else _FORGIVES
    forgiving = [window for window in windows if window.fault.harm in forgiven]
    by_item: dict[str, list[Call]] = defaultdict(list)
    for call in case.calls:
        if call.told.item is not None and call.op != "append":
            by_item[call.told.item].append(call)
    for item, calls in by_item.items():
        grants = _grants(calls)
        tally.saw(len(grants))
        for place, newer in enumerate(grants):
            for older in grants[:place]:
                if older.told.incarnation != newer.told.incarnation or older.ended is None:
                    continue
                if any(one.touches(older.begun, newer.ended or newer.begun) for one in forgiving):
                    continue
                if (left := _still_live(older, newer, calls)) is not None:
                    tally.breach(
                        newer.place,
                        f"{item} is lent to {newer.told.owner} (fence {newer.told.fence}) while the lease of "
                        f"{older.told.owner} (fence {older.told.fence}, {older.place}) lasts {left:.3f} s more",
                    )
                elif (buried := _buried(older, newer, calls)) is not None:
                    tally.breach(newer.place, f"{item} is lent again after it was ended for good ({buried.place})")


def _grants(calls: Sequence[Call]) -> list[Call]:
    """The first grant of each claim, in order: one that is told again is the same lease."""
    found: dict[str, Call] = {}
    for call in calls:
        lent = call.answer == "granted" or (call.op == "handover" and _is_surely_new(call, calls))
        if lent and call.told.claim is not None:
            found.setdefault(call.told.claim, call)
    return list(found.values())


def _is_surely_new(handover: Call, calls: Sequence[Call]) -> bool:
    """Whether a hand-over that was carried out surely began a lease. Where a reconciler has offered the item as held
    under that claim before (its entry was recorded, and its writer did not hear of it), the lease is the one from then,
    and may be over: a hand-over that tells nothing newer changes nothing.
    """
    return handover.outcome == "ok" and not any(
        call.op in ("offer", "adopt")
        and call.outcome != "fail"
        and _pair(call) >= _pair(handover)
        and call.begun < (handover.ended or handover.begun)
        for call in calls
    )


def _still_live(older: Call, newer: Call, calls: Sequence[Call]) -> float | None:
    """How many seconds of the older lease were surely left when the newer one was granted; None where none were."""
    if older.ended is None or newer.ended is None or older.ended > newer.begun or older.told.lease is None:
        return None
    begun = older.begun
    for call in calls:
        asked = call.asked
        if call.op in ("heartbeat", "adopt") and asked.claim == older.told.claim and call.answer == "extended":
            if call.ended is not None and call.ended <= newer.begun:
                begun = max(begun, call.begun)
        elif _may_end(call, older) and older.begun <= call.begun <= newer.ended:
            return None
    left = begun + older.told.lease * _MICRO - _SLACK - newer.ended
    return left / 1e9 if left > 0 else None


def _pair(call: Call) -> tuple[int, int]:
    return call.told.generation or 0, call.told.fence or 0


def _may_end(call: Call, lease: Call) -> bool:
    """Whether the lease may be over because of this call, whatever came of it."""
    if call.outcome == "fail":
        return False
    if call.op in ("settle", "release", "shelve"):
        return call.told.claim == lease.told.claim
    return call.op == "drop" or (call.op in ("offer", "handover") and _pair(call) > _pair(lease))


def _buried(older: Call, newer: Call, calls: Sequence[Call]) -> Call | None:
    """The call that ended the item for good under the older claim, where the newer one followed on that; None where
    there was none, or where what it left behind may be gone.

    Fences are granted one by one. So where the newer one is not the next, there was another claim between them, of
    which nobody may have heard, and the call may have been refused as stale.
    """
    if _pair(newer) != (older.told.generation, (older.told.fence or 0) + 1):
        return None
    for call in calls:
        if call.op not in ("settle", "shelve") or call.told.claim != older.told.claim or call.ended is None:
            continue
        if call.outcome != "ok" or call.ended > newer.begun:
            continue
        if newer.begun - call.ended < 2 * (older.told.lease or 0) * _MICRO:
            return call
    return None


def i11(case: RunCase, backend: Backend, held: Mapping[AttemptKey, Item], tally: Tally) -> None:
    """No attempt which has been due for longer than the sweep period is missing from the backend, provided that backend
    and journal have been up for that long. (On journal leases it holds by construction: there the row of the agenda is
    what is delivered.)

    And the other way round (protocol 3.8): an attempt that has been closed for two periods is not held any more, and
    one that its thread does not know is not held at all. ``held``: the items of this run.
    """
    sweep = micros(case.settings.sweep + _GRACE)
    up_for = None if backend.up_for is None else micros(backend.up_for)
    rows = {row.item for row in case.dump.rows.attempts}
    attempts = {attempt_key(case.name, *key): times for key, times in _attempts(case).items()}
    for item in sorted(held.keys() - attempts.keys()):
        tally.saw()
        tally.breach(item, "the backend holds it, and its run knows no such attempt")
    for item, (due, closed) in attempts.items():
        if closed is not None:
            tally.saw()
            if item in held and closed + 2 * sweep < case.now and (up_for is None or up_for > 2 * sweep):
                since = (case.now - closed) / 1_000_000
                tally.breach(item, f"the backend holds it, and it has been closed for {since:.1f} s")
        elif due + sweep < case.now and (up_for is None or up_for > sweep):
            tally.saw()
            if item not in (rows if backend.in_journal else held):
                since = (case.now - due) / 1_000_000
                tally.breach(item, f"it has been due for {since:.1f} s, and the backend does not hold it")


def _attempts(case: RunCase) -> dict[tuple[str, int], tuple[int, int | None]]:
    """By step and number: since when it is due, and when it was closed."""
    found: dict[tuple[str, int], tuple[int, int | None]] = {}
    for said in case.facts:
        match said.fact:
            case AttemptScheduled() | ClaimReleased() | DeliveryLost() | DeadLetterReplayed() as opened:
                found[opened.step, opened.attempt] = opened.visible_at, None
            case (
                AttemptCompleted()
                | AttemptFailed()
                | AttemptTimedOut()
                | AttemptCancelled()
                | AttemptDeadLettered()
                | DeadLetterDiscarded() as closed
            ):
                due, _ = found.get((closed.step, closed.attempt), (closed.at, None))
                found[closed.step, closed.attempt] = due, closed.at
            case _:
                pass
    return found
