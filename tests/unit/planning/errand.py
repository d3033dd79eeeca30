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
from squidmesh.ids import child_run_id, claim_hash
from squidmesh.journal.codec import decode_facts, encode_facts
from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.fold import evolve, fold
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, RowChanges, RunRow, TimerRow
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import (
    AnyCommand,
    CancelRun,
    DecideApproval,
    DiscardDeadLetter,
    NextClaim,
    PassGateDeadline,
    PassRunDeadline,
    PassStepDeadline,
    RecordChildEnd,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordLoss,
    RecordRelease,
    ReplayDeadLetter,
    ResumeRun,
    RetryCompensation,
    SendEvent,
    StartChild,
    StartRun,
    WaiveCompensation,
)
from squidmesh.planning.decide import decide, start
from squidmesh.planning.rows import changes, rebuild, run_row
from squidmesh.workflow.definition import Definition

RUN = "9a1e"
SECOND = 1_000_000
LEASE = timedelta(seconds=60)
ERROR = StepError(code="step_raised", type="Balrog", message="you shall not pass")


class Leave(BaseModel):
    miles: int


class Empty(BaseModel):
    pass


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
    """A run, and the time. Every accepted command is one entry; claims are numbered by their fence. ``row``,
    ``agenda``, ``buried`` and ``timers`` are what a store would hold that was told of all changes, ``changed`` is the
    last of these; each entry is checked against what a rebuild gives (I13). ``signals``: what it has said to other
    runs; ``heard``: the names of the signals of others that it has closed. ``history``: its entries.
    """

    def __init__(self, definition: Definition = DEFINITION, **start_with: Any) -> None:
        self.now = 0
        self.definition = definition
        payload = {"miles": 7} if definition is DEFINITION else {}
        given: dict[str, Any] = {"payload": payload, "payload_fingerprint": "p", "queue": "default", "priority": 5}
        self.began = start(definition, StartRun(now=0, run_id=RUN, trigger="leave", **{**given, **start_with}))
        self.state: RunState = fold(None, self.began)
        self.row: RunRow | None = None
        self.agenda: dict[str, AttemptRow] = {}
        self.buried: dict[str, DeadLetterRow] = {}
        self.timers: dict[str, TimerRow] = {}
        self.signals: dict[str, TimerRow] = {}
        self.heard: list[str] = []
        self.history: list[list[AnyFact]] = []
        self.changed = self._absorb(self.began)

    def tell(self, command: AnyCommand) -> list[AnyFact]:
        """The facts, which the state includes from now on."""
        facts = decide(self.definition, self.state, command)
        for fact in facts:
            evolve(self.state, fact)
        self.state.revision += bool(facts)
        self.changed = self._absorb(facts)
        return facts

    def _absorb(self, facts: list[AnyFact]) -> RowChanges:
        assert decode_facts(encode_facts(facts), thread=RUN, revision=1) == facts, "what is decided can be stored"
        if facts:
            self.history.append(facts)
        changed = changes(self.row, facts, self.state)
        self.row = changed.run or self.row
        for item in changed.remove:
            if item not in changed.unbury:
                del self.agenda[item]
        self.agenda.update({row.item: row for row in changed.put})
        for item in changed.unbury:
            del self.buried[item]
        self.buried.update({row.item: row for row in changed.bury})
        for name in changed.drop_timers:
            if self.timers.pop(name, None) is None and not name.startswith(RUN):
                self.heard.append(name)
        self.timers.update({row.timer: row for row in changed.set_timers if row.run_id == RUN})
        self.signals.update({row.timer: row for row in changed.set_timers if row.run_id != RUN})
        self.assert_rows_are_rebuilt()
        return changed

    def assert_rows_are_rebuilt(self) -> None:
        """I13."""
        rebuilt = rebuild(self.state)
        assert rebuilt.run == self.row == run_row(self.state)
        assert {row.item: row for row in rebuilt.put} == self.agenda
        assert {row.item: row for row in rebuilt.bury} == self.buried
        assert {row.timer: row for row in rebuilt.set_timers} == self.timers
        assert (rebuilt.remove, rebuilt.unbury, rebuilt.drop_timers) == ((), (), ())

    def told(self, *names: str) -> list[tuple[str, str]]:
        """The facts of these kinds in the whole history: kind, and step where there is one."""
        facts = [fact for entry in self.history for fact in entry if type(fact).__name__ in names]
        return [(type(fact).__name__, getattr(fact, "step", "")) for fact in facts]

    def begun(self) -> list[str]:
        """The steps that the run has reached, in order; one that is reached twice would be there twice."""
        reached = ("AttemptScheduled", "ApprovalRequested", "PauseReached", "EventAwaited", "ChildrenAwaited")
        facts = [fact for entry in self.history for fact in entry if type(fact).__name__ in reached]
        return [fact.step for fact in facts if getattr(fact, "cause", "") != "retry"]  # type: ignore[union-attr]

    def later(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

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

    def lose(self, step: str, *, delay: float = 1, **other: Any) -> list[AnyFact]:
        wait = timedelta(seconds=delay)
        return self.tell(RecordLoss(cause="signal 9", delay=wait, **self.under(step, **other)))

    def do(self, step: str, output: dict[str, Any] | None = None) -> list[AnyFact]:
        """Claimed and completed; the facts of the completion."""
        self.claim(step, self.state.runnables[step].attempt)
        return self.complete(step, output)

    def give_up(self, step: str) -> list[AnyFact]:
        """Fails for good."""
        self.claim(step, self.state.runnables[step].attempt)
        return self.fail(step, retryable=False)

    def bury(self, step: str) -> None:
        """Lost so often that it is a dead letter."""
        for _ in range(6):
            self.claim(step, self.state.runnables[step].attempt, generation=self.state.runnables[step].generation)
        assert step in self.state.dead_steps

    def decide(self, decision: Any = "approved", **more: Any) -> list[AnyFact]:
        return self.tell(DecideApproval(now=self.now, decision=decision, actor="elrond", **more))

    def resume(self, **more: Any) -> list[AnyFact]:
        return self.tell(ResumeRun(now=self.now, actor="elrond", **more))

    def cancel(self, **more: Any) -> list[AnyFact]:
        return self.tell(CancelRun(now=self.now, **{"actor": "elrond", **more}))

    def send(self, event: str, data: Any = None, **more: Any) -> list[AnyFact]:
        return self.tell(SendEvent(now=self.now, event=event, data=data, actor="gwaihir", **more))

    def retry_undo(self, step: str | None = None, **more: Any) -> list[AnyFact]:
        return self.tell(RetryCompensation(now=self.now, step=step, actor="elrond", **more))

    def waive_undo(self, step: str | None = None, **more: Any) -> list[AnyFact]:
        return self.tell(WaiveCompensation(now=self.now, step=step, actor="elrond", **more))

    def replay_dead(self, step: str, **more: Any) -> list[AnyFact]:
        attempt = self.state.runnables[step].attempt
        return self.tell(ReplayDeadLetter(now=self.now, step=step, attempt=attempt, actor="elrond", **more))

    def discard_dead(self, step: str, **more: Any) -> list[AnyFact]:
        attempt = self.state.runnables[step].attempt
        return self.tell(DiscardDeadLetter(now=self.now, step=step, attempt=attempt, actor="elrond", **more))

    def start_child(self, step: str, key: str = "k", **other: Any) -> list[AnyFact]:
        run_id = child_run_id(RUN, step, key)
        return self.tell(StartChild(key=key, run_id=run_id, workflow="Scouting", **self.under(step, **other)))

    def child_ends(self, step: str, key: str = "k", status: Any = "completed") -> list[AnyFact]:
        run_id = child_run_id(RUN, step, key)
        return self.tell(RecordChildEnd(now=self.now, run_id=run_id, status=status, signal=f"{run_id}!ended"))

    def pass_run_deadline(self) -> list[AnyFact]:
        return self.tell(PassRunDeadline(now=self.now))

    def pass_gate_deadline(self, step: str) -> list[AnyFact]:
        return self.tell(PassGateDeadline(now=self.now, step=step))

    def pass_step_deadline(self, step: str) -> list[AnyFact]:
        return self.tell(PassStepDeadline(now=self.now, step=step))

    def wish(self, *steps: str) -> NextClaim:
        """To go on with one of these at once, under fence 1."""
        return NextClaim(owner="sam@1", claim_hash=claim_hash("claim 1"), lease=LEASE, steps=frozenset(steps))


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
