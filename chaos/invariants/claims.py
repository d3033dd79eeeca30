"""What holds of claims, attempts and their results: I3, I4, I5, I7 and I8."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from chaos.history import Call
from chaos.invariants.case import RunCase, Said, Tally
from squidmesh.ids import attempt_key
from squidmesh.journal.facts import (
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ChildStarted,
    ClaimReleased,
    CompensationRetried,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
)
from squidmesh.workflow.definition import FunctionStep

LAPSES_A_DELIVERY = 3
"""A backend's own count gives up at so many times the limit (protocol 3.5.5)."""


def i3(case: RunCase, tally: Tally) -> None:
    """The pairs (generation, fence) recorded for one runnable strictly increase."""
    last: dict[str, tuple[int, int]] = {}
    for said in case.facts:
        fact = said.fact
        if not isinstance(fact, AttemptClaimed | AttemptDeadLettered):
            continue
        tally.saw()
        pair = fact.generation, fact.fence
        before = last.get(fact.step)
        if before is not None and pair <= before:
            tally.breach(said.place, f"{fact.step} is claimed as {pair} after {before}")
        last[fact.step] = pair


class _Current(NamedTuple):
    attempt: int
    fence: int
    entry: str
    said: Said


_BY_ITS_HOLDER = (AttemptCompleted, AttemptFailed, ClaimReleased, DeliveryLost)


def i4(case: RunCase, tally: Tally) -> None:
    """The result of a worker is accepted under the current claim only.

    So the fact names the fence of the claim that was recorded last, and nothing has ended that. Where histories tell
    who wrote, the process that recorded the claim is the one that wrote the result; where they tell of the grant, it
    was recorded as it was granted; where the ledger knows of the step, it was entered under that fence. (Deadlines and
    cancels close attempts too, by facts of their own; anybody writes these.)
    """
    granted = {call.told.claim: call for call in case.calls if call.answer == "granted"}
    current: dict[str, _Current] = {}
    entered = {(one.deed.step, one.deed.attempt, one.deed.fence) for one in case.deeds if one.deed.what == "entered"}
    raised = {(one.deed.step, one.deed.attempt, one.deed.fence) for one in case.deeds if one.deed.what == "raised"}
    for entry, facts in case.entries:
        for fact in facts:
            said = Said(case.name, entry.revision, fact)
            match fact:
                case AttemptClaimed():
                    current[fact.step] = _Current(fact.attempt, fact.fence, entry.entry_id, said)
                    if (grant := granted.get(fact.claim_hash)) is not None:
                        _as_granted(case, fact, grant, said, tally)
                case AttemptCancelled() | AttemptDeadLettered():
                    current.pop(fact.step, None)
                case ChildStarted():
                    tally.saw()
                    _under(current.get(fact.step), fact.attempt, fact.fence, fact.step, said, tally)
                case (
                    AttemptCompleted() | AttemptFailed() | AttemptTimedOut() | ClaimReleased() | DeliveryLost()
                ) as result:
                    tally.saw()
                    claim = current.pop(result.step, None)
                    if not _under(claim, result.attempt, result.fence, result.step, said, tally) or claim is None:
                        continue
                    if isinstance(result, _BY_ITS_HOLDER):
                        _by_its_holder(case, claim, entry.entry_id, said, tally)
                    if isinstance(result, AttemptCompleted) and case.is_in_ledger(result.step):
                        did = result.step, result.attempt, result.fence
                        if did not in entered:
                            tally.breach(said.place, f"nobody entered {result.step} under fence {result.fence}")
                        elif did in raised:
                            tally.breach(said.place, f"{result.step} raised under fence {result.fence}")
                case _:
                    pass


def _under(claim: _Current | None, attempt: int, fence: int, step: str, said: Said, tally: Tally) -> bool:
    if claim is None:
        tally.breach(said.place, f"{type(said.fact).__name__} of {step} under fence {fence}, and nobody holds a claim")
    elif (claim.attempt, claim.fence) != (attempt, fence):
        tally.breach(
            said.place,
            f"{type(said.fact).__name__} of {step}#{attempt} under fence {fence}; the current claim is of "
            f"#{claim.attempt} under fence {claim.fence} ({claim.said.place})",
        )
    else:
        return True
    return False


def _as_granted(case: RunCase, fact: AttemptClaimed, grant: Call, said: Said, tally: Tally) -> None:
    tally.saw()
    told = grant.told
    recorded = (attempt_key(case.name, fact.step, fact.attempt), fact.generation, fact.fence, fact.owner)
    if recorded != (told.item, told.generation, told.fence, told.owner):
        tally.breach(said.place, f"the claim is not recorded as it was granted ({grant.place}): {recorded}")


def _by_its_holder(case: RunCase, claim: _Current, entry: str, said: Said, tally: Tally) -> None:
    holders, writers = case.writers.get(claim.entry), case.writers.get(entry)
    if holders and writers and not holders & writers:
        tally.breach(
            said.place,
            f"{', '.join(sorted(writers))} wrote a result under the claim of {', '.join(sorted(holders))} "
            f"({claim.said.place})",
        )


def i5(case: RunCase, tally: Tally) -> None:
    """An attempt has at most one accepted result, be it completion or failure; a runnable at most one success."""
    ends: dict[tuple[str, int], Said] = {}
    successes: dict[str, Said] = {}
    for said in case.facts:
        fact = said.fact
        if not isinstance(
            fact, AttemptCompleted | AttemptFailed | AttemptTimedOut | AttemptCancelled | DeadLetterDiscarded
        ):
            continue
        tally.saw()
        before = ends.setdefault((fact.step, fact.attempt), said)
        if before is not said:
            words = f"{type(said.fact).__name__} after {type(before.fact).__name__}"
            tally.breach(said.place, f"{fact.step}#{fact.attempt} ends twice: {words} ({before.place})")
        elif isinstance(fact, AttemptCompleted):
            success = successes.setdefault(fact.step, said)
            if success is not said:
                tally.breach(said.place, f"{fact.step} succeeds twice: also in {success.place}")


def i7(case: RunCase, tally: Tally) -> None:
    """Nothing is claimed before its ``visible_at``, by the clock of the journal."""
    visible: dict[tuple[str, int], int] = {}
    for said in case.facts:
        match said.fact:
            case AttemptScheduled() | ClaimReleased() | DeliveryLost() | DeadLetterReplayed() as fact:
                visible[fact.step, fact.attempt] = fact.visible_at
            case AttemptClaimed() | AttemptDeadLettered() as claim:
                tally.saw()
                since = visible.get((claim.step, claim.attempt), claim.at)
                if claim.at < since:
                    early = (since - claim.at) / 1_000_000
                    tally.breach(said.place, f"{claim.step}#{claim.attempt} is claimed {early:.3f} s too early")
            case _:
                pass


class _Deliveries:
    """Of one runnable: how many were lost of its present attempt and generation, and whether one is out."""

    def __init__(self) -> None:
        self.lost = 0
        self.out = False

    def begin(self) -> None:
        self.lost, self.out = 0, False


def i8(case: RunCase, tally: Tally) -> None:
    """There are never more attempts than ``max_attempts``, and never more lost deliveries in a generation than
    ``max_deliveries``, unless an operator retries or replays.

    Attempts are counted from 1 without a gap. A delivery is lost where a newer claim is recorded over it, or
    ``DeliveryLost`` ends it. Nothing is claimed that has lost as many as may be, and no dead letter says another
    number.
    """
    scheduled: Counter[str] = Counter()
    forgiven: Counter[str] = Counter()
    deliveries: dict[str, _Deliveries] = defaultdict(_Deliveries)
    most = case.settings.max_deliveries
    for said in case.facts:
        fact = said.fact
        match fact:
            case AttemptScheduled():
                tally.saw()
                scheduled[fact.step] += 1
                deliveries[fact.step].begin()
                if fact.attempt != scheduled[fact.step]:
                    tally.breach(said.place, f"{fact.step}#{fact.attempt} is attempt {scheduled[fact.step]} of it")
                allowed = _max_attempts(case, fact.step)
                if allowed is not None and fact.attempt > allowed + forgiven[fact.step]:
                    tally.breach(said.place, f"{fact.step}#{fact.attempt}: at most {allowed} attempts are allowed")
            case CompensationRetried():
                forgiven[fact.step] = scheduled[fact.step]
            case AttemptClaimed():
                tally.saw()
                its = deliveries[fact.step]
                its.lost += its.out
                its.out = True
                if its.lost >= most and case.is_function(fact.step):
                    tally.breach(
                        said.place, f"{fact.step}#{fact.attempt} is claimed after {its.lost} lost deliveries of {most}"
                    )
            case DeliveryLost():
                its = deliveries[fact.step]
                its.lost, its.out = its.lost + 1, False
            case AttemptDeadLettered():
                tally.saw()
                its = deliveries[fact.step]
                its.lost, its.out = its.lost + its.out, False
                _given_up(case, fact, its.lost, said, tally)
            case DeadLetterReplayed():
                deliveries[fact.step].begin()
            case AttemptCompleted() | AttemptFailed() | AttemptTimedOut() | ClaimReleased() | AttemptCancelled():
                deliveries[fact.step].out = False
            case _:
                pass


def _given_up(case: RunCase, fact: AttemptDeadLettered, lost: int, said: Said, tally: Tally) -> None:
    most = case.settings.max_deliveries
    item = f"{fact.step}#{fact.attempt}"
    if fact.lost != lost:
        tally.breach(said.place, f"{item} is given up after {fact.lost} lost deliveries, and {lost} are recorded")
    elif fact.cause == "lost_deliveries" and lost < most:
        tally.breach(said.place, f"{item} is given up after {lost} lost deliveries, and {most} are allowed")
    elif fact.cause == "lost_before_recording" and fact.lapsed < LAPSES_A_DELIVERY * most:
        tally.breach(said.place, f"{item} is given up after {fact.lapsed} grants that nobody recorded")


def _max_attempts(case: RunCase, step: str) -> int | None:
    """None where the definition does not tell."""
    if case.definition is None or step not in case.definition.steps_by_name:
        return None
    spec = case.definition.step(step)
    return spec.retry.max_attempts if isinstance(spec, FunctionStep) and spec.retry is not None else 1
