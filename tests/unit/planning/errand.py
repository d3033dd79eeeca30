"""One workflow with a step of each kind, and a run of it that commands are given to."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from squidmesh import (
    RetryPolicy,
    Workflow,
    approval,
    complete,
    define,
    exponential,
    manual,
    step,
    value,
    wait,
)
from squidmesh.ids import claim_hash
from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.fold import evolve, fold
from squidmesh.journal.rows import AttemptRow, RowChanges, RunRow
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import (
    AnyCommand,
    DecideApproval,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordRelease,
    StartRun,
)
from squidmesh.planning.decide import decide, start
from squidmesh.planning.rows import changes

RUN = "9a1e"
SECOND = 1_000_000
LEASE = timedelta(seconds=60)
ERROR = StepError(code="step_raised", type="Balrog", message="you shall not pass")


class Leave(BaseModel):
    miles: int


def walk() -> dict[str, str]:
    raise AssertionError("planning runs no step")


class Errand(Workflow):
    version = "1"
    leave = manual(Leave)
    pack = step(
        walk,
        output="pack",
        retry=RetryPolicy(max_attempts=3, backoff=exponential(min=2, max=60), jitter=0.5),
        queue="slow",
        priority=1,
    )
    rest = wait(10)
    council = approval(output="council")
    moria = step(walk, output="moria")
    lorien = step(walk)
    rohan = approval()
    mend = step(walk, output="mend")
    havens = step(walk, output="havens")
    flow = (
        pack >> rest >> council >> moria,
        council.on_reject(mend),
        moria.to(lorien, when=value("moria.road") == "bridge"),
        moria.to(rohan, when=value("miles") > 100),
        moria.on_error(havens, recovery="compensation"),
        lorien >> complete,
    )


DEFINITION = define(Errand)


class Errander:
    """A run, and the time. Every accepted command is one entry; claims are numbered by their fence. ``row`` and
    ``agenda`` are what a store would hold that was told of all changes, ``changed`` is the last of these.
    """

    def __init__(self, **start_with: Any) -> None:
        self.now = 0
        given: dict[str, Any] = {"payload": {"miles": 7}, "payload_fingerprint": "p", "queue": "default", "priority": 5}
        self.began = start(DEFINITION, StartRun(now=0, run_id=RUN, trigger="leave", **{**given, **start_with}))
        self.state: RunState = fold(None, self.began)
        self.row: RunRow | None = None
        self.agenda: dict[str, AttemptRow] = {}
        self.changed = self._absorb(self.began)

    def tell(self, command: AnyCommand) -> list[AnyFact]:
        """The facts, which the state includes from now on."""
        facts = decide(DEFINITION, self.state, command)
        for fact in facts:
            evolve(self.state, fact)
        self.state.revision += bool(facts)
        self.changed = self._absorb(facts)
        return facts

    def _absorb(self, facts: list[AnyFact]) -> RowChanges:
        changed = changes(self.row, facts, self.state)
        self.row = changed.run or self.row
        for item in changed.remove:
            del self.agenda[item]
        self.agenda.update({row.item: row for row in changed.put})
        return changed

    # ------------------------------------------------------------------------------------------------ commands

    def claim(self, step: str, attempt: int = 1, *, fence: int | None = None, generation: int = 0) -> list[AnyFact]:
        return self.tell(self.to_claim(step, attempt, fence=fence, generation=generation))

    def to_claim(self, step: str, attempt: int = 1, *, fence: int | None = None, generation: int = 0) -> RecordClaim:
        runnable = self.state.runnables.get(step)
        number = fence if fence is not None else (runnable.fence if runnable else 0) + 1
        return RecordClaim(
            now=self.now,
            step=step,
            attempt=attempt,
            claim_hash=claim_hash(f"claim {number}"),
            generation=generation,
            fence=number,
            owner="sam@1",
            lease=LEASE,
            max_deliveries=5,
        )

    def under(self, step: str, **other: Any) -> dict[str, Any]:
        """What a result says about its claim: the last one of the step, or as told."""
        known = self.state.runnables.get(step)
        fence = other.get("fence", known.fence if known else 0)
        attempt = known.attempt if known else 1
        held = {"step": step, "attempt": attempt, "fence": fence, "claim_hash": claim_hash(f"claim {fence}")}
        return {"now": self.now, **held, **other}

    def complete(self, step: str, output: dict[str, Any] | None = None, **other: Any) -> list[AnyFact]:
        then = other.pop("then", None)
        return self.tell(RecordCompletion(output=output or {}, then=then, **self.under(step, **other)))

    def fail(self, step: str, *, retryable: bool = True, **other: Any) -> list[AnyFact]:
        more = {name: other.pop(name) for name in ("jitter", "retry_after") if name in other}
        return self.tell(RecordFailure(error=ERROR, retryable=retryable, **more, **self.under(step, **other)))

    def release(self, step: str, reason: Any = "drain", **other: Any) -> list[AnyFact]:
        more = {name: other.pop(name) for name in ("delay", "max_snoozes") if name in other}
        return self.tell(RecordRelease(reason=reason, **more, **self.under(step, **other)))

    def decide(self, decision: Any = "approved", **more: Any) -> list[AnyFact]:
        return self.tell(DecideApproval(now=self.now, decision=decision, actor="elrond", **more))


def at(step: str, *, road: str = "bridge", **start_with: Any) -> Errander:
    """A run that has just reached the step, on the road that leads there."""
    run = Errander(**start_with)
    for here in _road_to(step):
        if here == "rest":
            run.now += 10 * SECOND
            run.claim("rest")
        elif here in ("council", "council rejects"):
            run.decide("approved" if here == "council" else "rejected")
        else:
            run.claim(here)
            run.complete(here, {"moria": {"road": road}} if here == "moria" else {})
    assert [*run.state.open_steps, *run.state.open_gates] == [step]
    return run


def _road_to(step: str) -> Sequence[str]:
    if step == "mend":
        return ["pack", "rest", "council rejects"]
    roads = ["pack", "rest", "council", "moria", "lorien"]
    return roads[: roads.index("lorien" if step == "rohan" else step)]


def kinds(facts: Sequence[AnyFact]) -> list[str]:
    return [type(fact).__name__ for fact in facts]
