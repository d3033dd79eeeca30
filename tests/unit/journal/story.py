"""Facts with the fields that matter to a test, and the state that they fold to."""

from typing import Any, Literal

from squidmesh.journal.facts import (
    AnyFact,
    ApprovalDecided,
    ApprovalRequested,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    ClaimReleased,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
    RouteTaken,
    RunCompleted,
    RunFailed,
    RunStarted,
    StepError,
)
from squidmesh.journal.fold import fold
from squidmesh.journal.state import RunState

RUN = "9a1e"
STEP = "pack"
ERROR = StepError(code="step_raised", type="Balrog", message="you shall not pass")


def started(**more: Any) -> RunStarted:
    given: dict[str, Any] = {
        "at": 0,
        "run_id": RUN,
        "workflow": "Errand",
        "version": "1",
        "fingerprint": "f1",
        "trigger": "leave",
        "payload": {"miles": 7},
        "payload_fingerprint": "p1",
        "queue": "default",
        "priority": 5,
    }
    return RunStarted(**{**given, **more})


def scheduled(
    step: str = STEP,
    attempt: int = 1,
    *,
    at: int = 0,
    visible_at: int = 0,
    cause: Literal["route", "wait", "retry"] = "route",
) -> AttemptScheduled:
    return AttemptScheduled(
        at=at, step=step, attempt=attempt, queue="default", priority=5, visible_at=visible_at, cause=cause
    )


def claimed(
    step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 1, generation: int = 0, claim_hash: str = "h1"
) -> AttemptClaimed:
    return AttemptClaimed(
        at=at,
        step=step,
        attempt=attempt,
        generation=generation,
        fence=fence,
        owner="sam@1",
        claim_hash=claim_hash,
        lease=60_000_000,
    )


def released(
    step: str = STEP,
    attempt: int = 1,
    *,
    at: int = 0,
    fence: int = 1,
    visible_at: int = 0,
    reason: Literal["drain", "snooze", "unstarted"] = "drain",
) -> ClaimReleased:
    return ClaimReleased(at=at, step=step, attempt=attempt, fence=fence, visible_at=visible_at, reason=reason)


def completed(
    step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 1, output: dict[str, Any] | None = None
) -> AttemptCompleted:
    return AttemptCompleted(at=at, step=step, attempt=attempt, fence=fence, output=output or {})


def failed(step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 1, final: bool = False) -> AttemptFailed:
    return AttemptFailed(at=at, step=step, attempt=attempt, fence=fence, error=ERROR, final=final)


def lost(step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 1, visible_at: int = 0) -> DeliveryLost:
    return DeliveryLost(at=at, step=step, attempt=attempt, fence=fence, visible_at=visible_at, cause="signal 9")


def dead(
    step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 9, generation: int = 0, lost: int = 5
) -> AttemptDeadLettered:
    return AttemptDeadLettered(
        at=at,
        step=step,
        attempt=attempt,
        generation=generation,
        fence=fence,
        lost=lost,
        lapsed=lost,
        cause="lost_deliveries",
        owner="sam@1",
    )


def replayed(step: str = STEP, attempt: int = 1, *, generation: int = 1, key: str | None = None) -> DeadLetterReplayed:
    return DeadLetterReplayed(
        at=0, step=step, attempt=attempt, generation=generation, visible_at=0, actor="elrond", comment="", key=key
    )


def discarded(step: str = STEP, attempt: int = 1) -> DeadLetterDiscarded:
    return DeadLetterDiscarded(at=0, step=step, attempt=attempt, error=ERROR, actor="elrond", reason="too deep")


def routed(source: str = STEP, target: str = "council", *, on: Literal["ok", "error", "reject"] = "ok") -> RouteTaken:
    return RouteTaken(at=0, source=source, on=on, target=target, edge=f"{source}:{on}:{target}")


def requested(step: str = "council", *, at: int = 0) -> ApprovalRequested:
    return ApprovalRequested(at=at, step=step)


def decided(
    step: str = "council", decision: Literal["approved", "rejected"] = "approved", *, key: str | None = None
) -> ApprovalDecided:
    output = {step: {"decision": decision}}
    return ApprovalDecided(
        at=0, step=step, decision=decision, actor="elrond", comment="", metadata={}, output=output, key=key
    )


def ended(*, well: bool = True) -> RunCompleted | RunFailed:
    return RunCompleted(at=0) if well else RunFailed(at=0, code="step_failed", step=STEP, message="no")


ALL: list[list[AnyFact]] = [
    [started(key="k1"), scheduled()],
    [claimed()],
    [claimed(fence=3, claim_hash="h3")],
    [released(fence=3, visible_at=5, reason="snooze")],
    [claimed(fence=4, claim_hash="h4", at=6)],
    [failed(fence=4), scheduled(attempt=2, visible_at=9, cause="retry")],
    [claimed(attempt=2, fence=5, at=9)],
    [completed(attempt=2, fence=5, output={"pack": {"weight": 1}}), routed(), requested()],
    [decided(key="word"), routed("council", "complete"), ended()],
]
"""One run, entry by entry, with most kinds of fact."""


def told(*facts: AnyFact) -> RunState:
    """The state after these facts, each an entry of its own."""
    state: RunState | None = None
    for fact in facts:
        state = fold(state, [fact])
    assert state is not None
    return state
