"""Facts with the fields that matter to a test, and the state that they fold to."""

from typing import Any, Literal

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
    ChildEnded,
    ChildrenAwaited,
    ChildrenEnded,
    ChildStarted,
    ClaimReleased,
    CommandRepeated,
    CompensationRetried,
    CompensationStarted,
    CompensationWaived,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
    EventAwaited,
    EventReceived,
    EventTaken,
    GateClosed,
    GateTimedOut,
    ParentRun,
    PauseReached,
    PauseResumed,
    RouteTaken,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunStarted,
    StepError,
)
from squidmesh.journal.fold import fold
from squidmesh.journal.state import RunState

RUN = "9a1e"
STEP = "pack"
UNDO = "pack!undo"
CHILD = "c41d"
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
    cause: Literal["route", "wait", "retry", "undo"] = "route",
) -> AttemptScheduled:
    return AttemptScheduled(
        at=at, step=step, attempt=attempt, queue="default", priority=5, visible_at=visible_at, cause=cause
    )


def claimed(
    step: str = STEP,
    attempt: int = 1,
    *,
    at: int = 0,
    fence: int = 1,
    generation: int = 0,
    claim_hash: str = "h1",
    deadline: int | None = None,
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
        deadline=deadline,
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


def timed_out(
    step: str = STEP, attempt: int = 1, *, at: int = 0, fence: int = 1, final: bool = False
) -> AttemptTimedOut:
    return AttemptTimedOut(at=at, step=step, attempt=attempt, fence=fence, error=ERROR, final=final)


def cancelled(step: str = STEP, attempt: int = 1) -> AttemptCancelled:
    return AttemptCancelled(at=0, step=step, attempt=attempt)


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


def requested(step: str = "council", *, at: int = 0, deadline: int | None = None) -> ApprovalRequested:
    return ApprovalRequested(at=at, step=step, deadline=deadline)


def decided(
    step: str = "council", decision: Literal["approved", "rejected"] = "approved", *, key: str | None = None
) -> ApprovalDecided:
    output = {step: {"decision": decision}}
    return ApprovalDecided(
        at=0, step=step, decision=decision, actor="elrond", comment="", metadata={}, output=output, key=key
    )


def paused(step: str = "council", *, at: int = 0) -> PauseReached:
    return PauseReached(at=at, step=step)


def resumed(step: str = "council", *, key: str | None = None) -> PauseResumed:
    return PauseResumed(at=0, step=step, actor="elrond", comment="", metadata={}, key=key)


def awaited(step: str = "council", event: str = "eagle", *, deadline: int | None = None) -> EventAwaited:
    return EventAwaited(at=0, step=step, event=event, deadline=deadline)


def received(event: str = "eagle", data: Any = None, *, key: str | None = None) -> EventReceived:
    return EventReceived(at=0, event=event, data=data, actor="gwaihir", key=key)


def taken(step: str = "council", event: str = "eagle", *, output: dict[str, Any] | None = None) -> EventTaken:
    return EventTaken(at=0, step=step, event=event, output=output or {})


def children_awaited(step: str = "council") -> ChildrenAwaited:
    return ChildrenAwaited(at=0, step=step)


def children_ended(step: str = "council", *, output: dict[str, Any] | None = None) -> ChildrenEnded:
    return ChildrenEnded(at=0, step=step, output=output or {})


def passed(step: str = "council") -> GateTimedOut:
    return GateTimedOut(at=0, step=step)


def gate_closed(step: str = "council") -> GateClosed:
    return GateClosed(at=0, step=step)


def child_started(step: str = STEP, attempt: int = 1, *, fence: int = 1, run_id: str = CHILD) -> ChildStarted:
    return ChildStarted(at=0, step=step, attempt=attempt, fence=fence, key="k", run_id=run_id, workflow="Scouting")


def child_ended(
    status: Literal["completed", "failed", "cancelled"] = "completed", *, run_id: str = CHILD
) -> ChildEnded:
    return ChildEnded(at=0, run_id=run_id, status=status, signal=f"{run_id}!ended")


def repeated(key: str = "word") -> CommandRepeated:
    return CommandRepeated(at=0, key=key)


def fails(*, step: str = STEP) -> RunFailing:
    return RunFailing(at=0, code="step_failed", step=step, message="no")


def undoing(*steps: str) -> CompensationStarted:
    return CompensationStarted(at=0, steps=list(steps or (STEP,)))


def undo_retried(step: str = UNDO, *, key: str | None = None) -> CompensationRetried:
    return CompensationRetried(at=0, step=step, actor="elrond", comment="", key=key)


def undo_waived(step: str = UNDO, *, key: str | None = None) -> CompensationWaived:
    return CompensationWaived(at=0, step=step, actor="elrond", comment="", key=key)


def ended(*, well: bool = True) -> RunCompleted | RunFailed:
    return RunCompleted(at=0) if well else RunFailed(at=0, code="step_failed", step=STEP, message="no")


def run_cancelled(*, key: str | None = None) -> RunCancelled:
    return RunCancelled(at=0, actor="elrond", comment="", metadata={}, children="cancel", key=key)


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
"""One run, entry by entry, that ends well."""
UNDONE: list[list[AnyFact]] = [
    [started(parent=ParentRun(run_id="1a", step="send", key="k"), deadline=99), scheduled(), awaited(deadline=50)],
    [claimed(deadline=7), child_started()],
    [received("eagle", {"wind": "west"}, key="word"), taken(output={"council": {"wind": "west"}})],
    [repeated(), paused("rest")],
    [received("moth")],
    [child_ended("failed"), children_awaited("home"), children_ended("home", output={"home": {"failed": 1}})],
    [timed_out(), scheduled(attempt=2, cause="retry")],
    [claimed(attempt=2, fence=2, deadline=9)],
    [completed(attempt=2, fence=2, output={"pack": 1}), scheduled("moria"), scheduled("lorien")],
    [claimed("moria"), resumed("rest"), requested("rohan", deadline=60)],
    [claimed("lorien"), passed("rohan")],
    [failed("moria", final=True), fails(step="moria")],
    [lost("lorien"), cancelled("lorien"), undoing(), scheduled(UNDO, cause="undo")],
    [claimed(UNDO)],
    [failed(UNDO, final=True)],
    [undo_retried(key="again"), scheduled(UNDO, 2, cause="undo")],
    [claimed(UNDO, 2, fence=2)],
    [completed(UNDO, 2, fence=2, output={"result": "unpacked"}), ended(well=False)],
]
"""Another, with all else that can become of one."""


def told(*facts: AnyFact) -> RunState:
    """The state after these facts, each an entry of its own."""
    state: RunState | None = None
    for fact in facts:
        state = fold(state, [fact])
    assert state is not None
    return state
