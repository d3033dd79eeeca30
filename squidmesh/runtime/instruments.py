"""All instruments of one mesh as one: what the runtime tells, each of them hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.state import RunState
from squidmesh.ports.instrument import Instrument, LeaseMoment, StepOutcome, StepSeen
from squidmesh.ports.observer import Observer

if TYPE_CHECKING:
    from squidmesh.runtime.away import Away


class Instruments(Instrument):
    """Thread-safe. ``observer`` hears the notices first. Without an instrument a call costs its own frame, no more."""

    __slots__ = ("_all", "_observer", "away")

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._all: tuple[Instrument, ...] = ()
        self.away: Away | None = None
        """Who keeps an eye on the stores; it hears of calls that failed, and tells what that means."""

    @property
    def any(self) -> bool:
        """Whether anybody listens beside the observer."""
        return bool(self._all)

    def add(self, instrument: Instrument) -> None:
        self._all = (*self._all, instrument)

    def notice(self, event: str, /, **fields: object) -> None:
        if self._observer is not None:
            self._observer.notice(event, **fields)
        for one in self._all:
            one.notice(event, **fields)
        if self.away is not None:
            self.away.heard(event, fields.get("error"))

    def answered(self, event: str) -> None:
        if self.away is not None:
            self.away.answered(event)

    def started(self, state: RunState) -> None:
        for one in self._all:
            one.started(state)

    def recorded(self, state: RunState, facts: Sequence[AnyFact]) -> None:
        for one in self._all:
            one.recorded(state, facts)

    def committed(self, *, groups: int, conflicts: int, seconds: float) -> None:
        for one in self._all:
            one.committed(groups=groups, conflicts=conflicts, seconds=seconds)

    def lease_left(self, seconds: float, *, at: LeaseMoment) -> None:
        for one in self._all:
            one.lease_left(seconds, at=at)

    def taken_over(self, *, queue: str) -> None:
        for one in self._all:
            one.taken_over(queue=queue)

    def reconciled(self, *, offered: int, gone: int, dropped: int, seconds: float) -> None:
        for one in self._all:
            one.reconciled(offered=offered, gone=gone, dropped=dropped, seconds=seconds)

    @contextmanager
    def starting(self, workflow: str, *, replays: str | None) -> Iterator[str | None]:
        with ExitStack() as stack:
            given = [stack.enter_context(one.starting(workflow, replays=replays)) for one in self._all]
            yield next(filter(None, given), None)

    def traceparent(self) -> str | None:
        return next(filter(None, (one.traceparent() for one in self._all)), None)

    def step_begins(self, step: StepSeen) -> Any:
        return [(one, one.step_begins(step)) for one in self._all]

    def step_ends(
        self, step: StepSeen, begun: Any, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        """Those that began last end first."""
        for one, token in reversed(begun):
            one.step_ends(step, token, outcome=outcome, error=error, seconds=seconds)


NOBODY = Instruments()
"""Nobody listens."""
