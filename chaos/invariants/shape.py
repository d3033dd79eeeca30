"""What holds of a run as its author drew it: joins (I14), compensations (I15), dead letters (I16), gates (I17)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from chaos.history import Call
from chaos.invariants.case import RunCase, Said, Tally
from squidmesh.ids import undo_of, undone_by
from squidmesh.journal.facts import (
    AnyFact,
    ApprovalDecided,
    ApprovalRequested,
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ChildrenAwaited,
    ChildrenEnded,
    ClaimReleased,
    CompensationStarted,
    CompensationWaived,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
    EventAwaited,
    EventTaken,
    GateClosed,
    GateTimedOut,
    PauseReached,
    PauseResumed,
    RouteTaken,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailing,
)


def i14(case: RunCase, tally: Tally) -> None:
    """A join starts after all its dependencies have succeeded, and once.

    In a graph, each step begins so. One is counted here if it comes after at least two.
    """
    definition = case.definition
    if definition is None or definition.topology != "graph":
        return
    done: set[str] = set()
    begun: Counter[str] = Counter()
    for said in case.facts:
        step = _succeeded(said.fact)
        if step is not None:
            done.add(step)
        elif (step := _begins(said.fact)) is not None and step in definition.steps_by_name:
            after = definition.step(step).after
            tally.saw(len(after) > 1)
            begun[step] += 1
            if missing := [before for before in after if before not in done]:
                tally.breach(said.place, f"{step} begins before {', '.join(missing)} has succeeded")
            if begun[step] > 1:
                tally.breach(said.place, f"{step} begins for the {begun[step]}th time")


def _succeeded(fact: AnyFact) -> str | None:
    match fact:
        case AttemptCompleted() | PauseResumed() | EventTaken() | ChildrenEnded():
            return fact.step
        case ApprovalDecided(decision="approved"):
            return fact.step
        case _:
            return None


def _begins(fact: AnyFact) -> str | None:
    """Compensations are no steps of the graph, and a step that is tried again has begun before."""
    match fact:
        case AttemptScheduled(cause="route" | "wait"):
            return fact.step
        case ApprovalRequested() | PauseReached() | EventAwaited() | ChildrenAwaited():
            return fact.step
        case _:
            return None


_ENDS_A_CLAIM = (
    AttemptCompleted,
    AttemptFailed,
    AttemptTimedOut,
    AttemptCancelled,
    AttemptDeadLettered,
    ClaimReleased,
    DeliveryLost,
)


def i15(case: RunCase, tally: Tally) -> None:
    """Compensations are accepted once each, for completed steps only, in the reverse order of completion, and after no
    sibling is claimed any more.
    """
    completed: list[str] = []
    claimed: set[str] = set()
    left: list[str] | None = None
    """What is to be compensated, the present one first; None before that has begun."""
    for said in case.facts:
        fact = said.fact
        match fact:
            case CompensationStarted():
                tally.saw()
                left = list(fact.steps)
                _begins_well(case, said, completed, claimed, left, tally)
            case AttemptScheduled() if (undone := undone_by(fact.step)) is not None:
                tally.saw()
                if left is None or left[:1] != [undone]:
                    tally.breach(said.place, f"{fact.step} is scheduled, and {_next(left)}")
            case AttemptCompleted() if (undone := undone_by(fact.step)) is not None:
                tally.saw()
                if left is None or left[:1] != [undone]:
                    tally.breach(said.place, f"{fact.step} is accepted, and {_next(left)}")
                else:
                    left.pop(0)
            case CompensationWaived():
                if left is not None and left[:1] == [undone_by(fact.step)]:
                    left.pop(0)
                else:
                    tally.breach(said.place, f"{fact.step} is waived, and {_next(left)}")
            case AttemptCompleted():
                completed.append(fact.step)
            case RunFailed():
                _all_undone(case, said, completed, left, tally)
            case AttemptClaimed():
                claimed.add(fact.step)
            case _:
                pass
        if isinstance(fact, _ENDS_A_CLAIM):
            claimed.discard(fact.step)


def _begins_well(
    case: RunCase, said: Said, completed: list[str], claimed: set[str], steps: list[str], tally: Tally
) -> None:
    if claimed:
        tally.breach(said.place, f"compensation begins while {', '.join(sorted(claimed))} is claimed")
    wanted = [step for step in reversed(completed) if _has_undo(case, step) or step in steps]
    if steps != wanted:
        tally.breach(said.place, f"it compensates {', '.join(steps)}; completed in reverse is {', '.join(wanted)}")


def _all_undone(case: RunCase, said: Said, completed: list[str], left: list[str] | None, tally: Tally) -> None:
    if left:
        tally.breach(said.place, f"the run has failed, and {', '.join(left)} is still to be compensated")
    elif left is None and (forgotten := [step for step in completed if _has_undo(case, step)]):
        tally.breach(said.place, f"the run has failed, and nobody has compensated {', '.join(forgotten)}")


def _has_undo(case: RunCase, step: str) -> bool:
    return case.definition is not None and undo_of(step) in case.definition.steps_by_name


def _next(left: list[str] | None) -> str:
    if left is None:
        return "no compensation has begun"
    return f"{left[0]} is next" if left else "nothing is left to be compensated"


def i16(case: RunCase, tally: Tally) -> None:
    """A dead letter is in the journal, keeps its identity through a replay, and its replay names an actor.

    Each replay is one generation more, and nothing else is. The rows of dead letters are those attempts that the thread
    has given up and nobody has taken back; and no item was shelved of which the thread does not tell.
    """
    generations: Counter[str] = Counter()
    dead: dict[str, AttemptDeadLettered] = {}
    ever: set[tuple[str, int]] = set()
    for said in case.facts:
        fact = said.fact
        if isinstance(fact, AttemptClaimed | AttemptDeadLettered) and fact.generation != generations[fact.step]:
            were = generations[fact.step]
            tally.breach(said.place, f"{fact.step} is of generation {fact.generation}, and was replayed {were} times")
        match fact:
            case AttemptDeadLettered():
                tally.saw()
                dead[fact.step] = fact
                ever.add((fact.step, fact.attempt))
            case DeadLetterReplayed() | DeadLetterDiscarded():
                tally.saw()
                letter = dead.pop(fact.step, None)
                generations[fact.step] += isinstance(fact, DeadLetterReplayed)
                item = f"{fact.step}#{fact.attempt}"
                if letter is None or letter.attempt != fact.attempt:
                    tally.breach(said.place, f"{type(fact).__name__} of {item}, which is no dead letter")
                elif isinstance(fact, DeadLetterReplayed) and fact.generation != letter.generation + 1:
                    was = letter.generation
                    tally.breach(said.place, f"{item} is replayed as generation {fact.generation} after {was}")
                if not fact.actor:
                    tally.breach(said.place, f"{type(fact).__name__} of {item} names no actor")
            case AttemptCancelled():
                dead.pop(fact.step, None)
            case _:
                pass
    _rows_of_letters(case, dead, tally)
    for call in case.calls:
        if call.op == "shelve" and call.outcome == "ok":
            _shelved(case, call, ever, tally)


def _rows_of_letters(case: RunCase, dead: dict[str, AttemptDeadLettered], tally: Tally) -> None:
    told = {(f.step, f.attempt, f.generation, f.fence) for f in dead.values()}
    stand = {(row.step, row.attempt, row.generation, row.fence) for row in case.dump.rows.dead_letters}
    for step, attempt, generation, fence in sorted(told ^ stand):
        where = "thread" if (step, attempt, generation, fence) in told else "list"
        what = f"dead letter #{attempt}, generation {generation}, fence {fence}"
        tally.breach(f"{case.name}/{step}", f"{what} is in the {where} alone")


def _shelved(case: RunCase, call: Call, ever: set[tuple[str, int]], tally: Tally) -> None:
    tally.saw()
    told = call.told
    if (told.step, told.attempt) not in ever:
        tally.breach(call.place, f"{told.item} was shelved, and its thread knows no dead letter of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    kind: str
    deadline: int | None = None


_WITH_A_FAILURE = (RunFailing, RunFailed, RunCancelled, CompensationStarted)


def i17(case: RunCase, tally: Tally) -> None:
    """A paused step is moved only by a resume, an approve, a reject, a cancel or a deadline, each of them a fact.

    So of an approval or a pause that is open: no route leaves it, no run completes over it. A person's word names the
    person; a time-out comes when its time has passed; what closes it stands in an entry that fails or cancels the run.
    """
    gates: dict[str, _Gate] = {}
    for entry, facts in case.entries:
        ends = any(isinstance(fact, _WITH_A_FAILURE) for fact in facts)
        for fact in facts:
            place = f"{case.name}@{entry.revision}"
            match fact:
                case ApprovalRequested():
                    tally.saw()
                    gates[fact.step] = _Gate(kind="approval", deadline=fact.deadline)
                case PauseReached():
                    tally.saw()
                    gates[fact.step] = _Gate(kind="pause")
                case ApprovalDecided() | PauseResumed():
                    _decided(gates.pop(fact.step, None), fact, place, tally)
                case GateTimedOut() if (gate := gates.pop(fact.step, None)) is not None:
                    if gate.deadline is None or fact.at < gate.deadline:
                        tally.breach(place, f"{fact.step} is timed out before its time has passed")
                case GateClosed() if gates.pop(fact.step, None) is not None:
                    if not ends:
                        tally.breach(place, f"{fact.step} is closed, and nothing fails or cancels the run")
                case RouteTaken() if fact.source in gates:
                    tally.breach(place, f"a route leaves {fact.source}, and nobody has decided")
                case RunCompleted() if gates:
                    tally.breach(place, f"the run completes while {', '.join(gates)} waits for a person")
                case _:
                    pass


def _decided(gate: _Gate | None, fact: ApprovalDecided | PauseResumed, place: str, tally: Tally) -> None:
    tally.saw()
    kind = "approval" if isinstance(fact, ApprovalDecided) else "pause"
    if gate is None or gate.kind != kind:
        tally.breach(place, f"{type(fact).__name__} of {fact.step}, where no {kind} is open")
    elif not fact.actor:
        tally.breach(place, f"{type(fact).__name__} of {fact.step} names no actor")
