"""A run's history, told by hand: one fact an entry, at whole seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import BaseModel

from squidmesh import RetryPolicy, Workflow, approval, complete, define, manual, step, value, wait
from squidmesh.clock import Instant
from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.fold import fold
from squidmesh.journal.state import RunState
from squidmesh.workflow.definition import Definition

SECRET = "c0ffee-payload"
CLAIM_HASH = "deadbeefdeadbeef"
RUN_ID = "0192a000-0000-7000-8000-000000000017"


class Errand(BaseModel):
    ring: str


def do_nothing() -> None: ...


class Journey(Workflow):
    """Every kind of step, a branch, a reject route, and an error route with recovery."""

    version = "3"

    begin = manual(Errand)

    pack = step(do_nothing)
    rest = wait(30)
    council = approval(output="council")
    moria = step(do_nothing, retry=RetryPolicy(max_attempts=3))
    pass_over = step(do_nothing)
    home = step(do_nothing)
    mordor = step(do_nothing)

    flow = (
        pack >> rest >> council,
        council.to(moria, when=value("council.metadata.road") == "under"),
        council.to(pass_over),
        council.on_reject(home),
        moria >> mordor >> complete,
        moria.on_error(home, recovery="compensation"),
        pass_over >> mordor,
    )


class Gate(Workflow):
    """Nothing leads on from a rejection, or from a condition that does not hold."""

    version = "1"

    begin = manual(Errand)

    ask = approval()
    act = step(do_nothing)
    last = step(do_nothing)

    flow = (ask >> act, act.to(last, when=value("ring") == "one"))


class Told:
    """Each call adds an entry, at the second ``at`` after the run's start (default: that of the entry before)."""

    def __init__(self, workflow: type[Workflow] = Journey, *, payload: dict[str, Any] | None = None) -> None:
        self.definition: Definition = define(workflow)
        self.history: list[tuple[int, list[AnyFact]]] = []
        self._second = 0.0
        self._state: RunState | None = None
        self._tell(
            facts.RunStarted,
            None,
            run_id=RUN_ID,
            workflow=self.definition.name,
            version=self.definition.version,
            fingerprint=self.definition.fingerprint,
            trigger="begin",
            payload={"ring": SECRET} if payload is None else payload,
            payload_fingerprint="f",
            queue="shire",
            priority=5,
            key="order-17",
        )

    @property
    def state(self) -> RunState:
        assert self._state is not None
        return self._state

    def scheduled(
        self, step: str, *, attempt: int = 1, delay: float = 0, cause: str = "route", at: float | None = None
    ) -> Self:
        visible_at = micros((self._second if at is None else at) + delay)
        return self._tell(
            facts.AttemptScheduled,
            at,
            step=step,
            attempt=attempt,
            queue="shire",
            priority=5,
            visible_at=visible_at,
            cause=cause,
        )

    def claimed(self, step: str, *, owner: str = "frodo@1", at: float | None = None) -> Self:
        runnable = self.state.runnables[step]
        return self._tell(
            facts.AttemptClaimed,
            at,
            step=step,
            attempt=runnable.attempt,
            generation=0,
            fence=runnable.fence + 1,
            owner=owner,
            claim_hash=CLAIM_HASH,
            lease=micros(60),
        )

    def released(
        self, step: str, *, reason: Literal["drain", "snooze"], delay: float = 0, at: float | None = None
    ) -> Self:
        visible_at = micros((self._second if at is None else at) + delay)
        return self._tell(facts.ClaimReleased, at, visible_at=visible_at, reason=reason, **self._of(step))

    def completed(self, step: str, *, output: dict[str, Any] | None = None, at: float | None = None) -> Self:
        return self._tell(facts.AttemptCompleted, at, output=output or {}, **self._of(step))

    def failed(self, step: str, *, final: bool = False, code: str = "step_raised", at: float | None = None) -> Self:
        error = StepError(code=code, type="Balrog", message=f"you shall not pass {SECRET}", details=f"trace {SECRET}")
        return self._tell(facts.AttemptFailed, at, error=error, final=final, **self._of(step))

    def passed(self, step: str, *, output: dict[str, Any] | None = None) -> Self:
        """Scheduled, claimed and completed."""
        return self.scheduled(step).claimed(step).completed(step, output=output)

    def route(self, edge: str, *, recovery: str | None = None) -> Self:
        source, on, target = edge.split(":")[:3]
        return self._tell(facts.RouteTaken, None, source=source, on=on, target=target, edge=edge, recovery=recovery)

    def asked(self, step: str, *, at: float | None = None) -> Self:
        return self._tell(facts.ApprovalRequested, at, step=step)

    def decided(self, step: str, decision: Literal["approved", "rejected"], *, at: float | None = None) -> Self:
        return self._tell(
            facts.ApprovalDecided,
            at,
            step=step,
            decision=decision,
            actor="elrond",
            comment=f"so be it {SECRET}",
            metadata={"road": "under"},
            output={"council": {"metadata": {"road": "under"}}},
        )

    def run_completed(self, *, at: float | None = None) -> Self:
        return self._tell(facts.RunCompleted, at)

    def run_failed(self, code: str, step: str, *, at: float | None = None) -> Self:
        return self._tell(facts.RunFailed, at, code=code, step=step, message=f"{step} failed: {SECRET}")

    def _of(self, step: str) -> dict[str, Any]:
        runnable = self.state.runnables[step]
        return {"step": step, "attempt": runnable.attempt, "fence": runnable.fence}

    def _tell(self, fact: Callable[..., AnyFact], second: float | None, **fields: Any) -> Self:
        self._second = self._second if second is None else second
        entry = [fact(at=micros(self._second), **fields)]
        self._state = fold(self._state, entry)
        self.history.append((self._state.revision, entry))
        return self


def at_council() -> Told:
    return Told().passed("pack").route("pack:ok:rest").passed("rest").route("rest:ok:council").asked("council")


def in_moria() -> Told:
    return at_council().decided("council", "approved").route("council:ok:moria:condition:0")


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def second(seconds: float) -> Instant:
    """The moment that many seconds after the run's start."""
    return Instant(micros(seconds))
