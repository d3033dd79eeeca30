"""Those who watch a mesh at work: they count, log or trace. Never a payload, never a claim id (I19).

The runtime tells them as it goes, in whatever thread it is in; ``Mesh.observe`` adds one. Each method must be quick and
thread-safe, and what it raises is swallowed by nobody: it must not raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.state import RunState

StepOutcome = Literal["completed", "failed", "snoozed", "unstarted", "lost"]
"""What calling a step came to, before the journal had its say. ``lost``: its child process died."""
LeaseMoment = Literal["heartbeat", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSeen:
    """One delivery of an attempt, as it begins in a slot. ``waited``: seconds since the attempt became visible.
    ``traceparent``: where its run was started from, in the words of W3C Trace Context.
    """

    run_id: str
    workflow: str
    step: str
    attempt: int
    delivery: int
    fence: int
    owner: str
    queue: str
    waited: float
    traceparent: str | None


class Instrument:
    """All that may be heard. Whoever listens overrides what it wants; the rest costs a call."""

    def notice(self, event: str, /, **fields: object) -> None:
        """As :meth:`squidmesh.ports.observer.Observer.notice`: rare things, by a stable word."""

    def answered(self, event: str) -> None:
        """A call has succeeded whose failure would have been the notice ``event``: of those that tell that a store is
        away.
        """

    def started(self, state: RunState) -> None:
        """This process has started the run: for a caller or a cron trigger. Children are among the facts of parents."""

    def recorded(self, state: RunState, facts: Sequence[AnyFact]) -> None:
        """This process has appended the facts to the run, and they are durable. ``state`` includes them."""

    def committed(self, *, groups: int, conflicts: int, seconds: float) -> None:
        """One batch of the journal's. ``conflicts``: how many of its groups have to be decided again."""

    def lease_left(self, seconds: float, *, at: LeaseMoment) -> None:
        """How much of a lease was left when its extension was acknowledged, or when its outcome was recorded. Negative
        where it was too late.
        """

    def taken_over(self, *, queue: str) -> None:
        """A claim was recorded on an attempt whose lease had ended before without a word."""

    def reconciled(self, *, offered: int, gone: int, dropped: int, seconds: float) -> None:
        """One pass of the reconciler's thread."""

    def starting(self, workflow: str, *, replays: str | None) -> AbstractContextManager[str | None]:
        """Around the start of runs. What it gives is kept with them, as their ``traceparent``. ``replays``: that of the
        run whose payload is taken once more.
        """
        return nullcontext()

    def traceparent(self) -> str | None:
        """Where this thread stands in a trace, if it does: kept with a child run that is started now."""
        return None

    def step_begins(self, step: StepSeen) -> object:
        """In the thread that calls the step, just before it does. What it gives comes back at the end."""
        return None

    def step_ends(
        self, step: StepSeen, begun: object, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        """In the same thread, just after. ``begun``: what :meth:`step_begins` gave."""
