"""Saying one thing twice: to the recorder as an intent, to the model as a call, and comparing the two answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

from squidmesh.clock import Instant
from squidmesh.errors import ClaimRefused, KeyReused, NotFound, NotWaiting, SquidMeshError, StaleClaim
from squidmesh.ids import claim_hash
from squidmesh.journal.facts import StepError
from squidmesh.planning.commands import (
    AnyCommand,
    DecideApproval,
    NextClaim,
    RecordCompletion,
    RecordFailure,
    RecordLoss,
    RecordRelease,
)
from squidmesh.runtime import chance
from squidmesh.runtime.intake import Grant, Intake
from squidmesh.runtime.invoke import Assignment
from squidmesh.runtime.recorder import Intent
from tests.property.expected import MAX_SNOOZES, Expected, Refusal

Decision = Literal["approved", "rejected"]
Model = TypeVar("Model")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outcome:
    """What a step came to. ``after`` (seconds): when to retry, or for how long it is given back. ``go_on``: the worker
    wants the next step too, in the same entry. ``killed``: the child process that ran it died.
    """

    kind: Literal["ok", "fail", "give up", "snooze", "drain", "killed"]
    road: Literal["bridge", "gap", "nowhere"] = "bridge"
    after: int | None = None
    go_on: bool = False


@dataclass(frozen=True)
class Plea(Generic[Model, Answer]):
    """``foresee``: what the model of the run says to the same thing, at that time."""

    run_id: str
    intent: Intent
    foresee: Callable[[Model, int], Answer]


def claim(intake: Intake, grant: Grant) -> Plea[Expected, Refusal | None]:
    held = grant.claim

    def foresee(run: Expected, now: int) -> Refusal | None:
        return run.claim(grant.step, grant.attempt, held.fence, held.hash, now)

    return Plea(grant.run_id, intake.intent(grant), foresee)


def intent_of(intake: Intake, held: Assignment, outcome: Outcome) -> Intent:
    """As a pump records it."""
    under: dict[str, Any] = {
        "step": held.spec.name,
        "attempt": held.attempt,
        "claim_hash": held.claim.hash,
        "fence": held.claim.fence,
    }
    following_id = chance.new_claim_id() if outcome.kind == "ok" and outcome.go_on else None
    then = None
    if following_id is not None:
        then = NextClaim(
            owner=held.claim.owner,
            claim_hash=claim_hash(following_id),
            lease=held.claim.lease,
            steps=intake.steps_here(held.run_id, behind=held.spec.name),
        )
    after = None if outcome.after is None else timedelta(seconds=outcome.after)

    def command(now: Instant) -> AnyCommand:
        match outcome.kind:
            case "ok":
                output = {held.spec.output: {"road": outcome.road}} if held.spec.output else {}
                return RecordCompletion(now=now, output=output, then=then, **under)
            case "fail" | "give up":
                retryable = outcome.kind == "fail"
                code = "step_raised" if retryable else "gave_up"
                error = StepError(code=code, type="Balrog", message="you shall not pass")
                return RecordFailure(now=now, error=error, retryable=retryable, retry_after=after, **under)
            case "snooze" | "drain":
                delay = after or timedelta(0)
                return RecordRelease(now=now, reason=outcome.kind, delay=delay, max_snoozes=MAX_SNOOZES, **under)
            case "killed":
                return RecordLoss(now=now, cause="it was killed", delay=after or timedelta(0), **under)

    return Intent(run_id=held.run_id, command=command, claim=held.claim, trust_held=True, following_id=following_id)


def report(intake: Intake, held: Assignment, outcome: Outcome) -> Plea[Expected, Refusal | None]:
    intent = intent_of(intake, held, outcome)

    def foresee(run: Expected, now: int) -> Refusal | None:
        holder = held.claim.hash
        match outcome.kind:
            case "ok":
                following = intent.following_id
                return run.complete(holder, outcome.road, now, then=claim_hash(following) if following else None)
            case "fail" | "give up":
                return run.fail(holder, now, retryable=outcome.kind == "fail", after=outcome.after)
            case "snooze" | "drain":
                return run.give_back(holder, now, after=outcome.after or 0, snooze=outcome.kind == "snooze")
            case "killed":
                return run.lose(holder, now, after=outcome.after or 0)

    return Plea(held.run_id, intent, foresee)


def decide(run_id: str, decision: Decision, gate: str | None, key: str | None) -> Plea[Expected, Refusal | None]:
    def command(now: Instant) -> AnyCommand:
        return DecideApproval(now=now, decision=decision, actor="elrond", step=gate, key=key)

    def foresee(run: Expected, now: int) -> Refusal | None:
        return run.decide("ok" if decision == "approved" else "reject", gate, key, now)

    return Plea(run_id, Intent(run_id=run_id, command=command), foresee)


def compare(error: SquidMeshError | None, refusal: Refusal | None, run: Expected, now: int) -> None:
    """The core refused for the reason that the model foresaw. ``run``: as it stood then."""
    match refusal:
        case None:
            assert error is None, f"refused: {error!r}"
        case "stale":
            assert isinstance(error, StaleClaim), "I4: a stale claim can change nothing"
        case "no such gate":
            assert isinstance(error, NotFound)
        case "not waiting":
            assert isinstance(error, NotWaiting)
        case "key reused":
            assert isinstance(error, KeyReused)
        case "closed":
            assert isinstance(error, ClaimRefused)
            assert error.settle
        case "behind":
            assert isinstance(error, ClaimRefused)
            assert (error.settle, error.floor) == (False, run.fence)
            assert (error.current.claim_hash if error.current else None) == run.holder
        case "early":
            assert isinstance(error, ClaimRefused), "I7: nothing is claimed before its time"
            assert (error.settle, error.current, error.floor) == (False, None, run.fence)
            assert error.delay == timedelta(microseconds=run.visible_at - now)
