"""What is left after a bad day: I10, I18 and I20."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from chaos.history import Fault, Harm
from chaos.invariants.case import RunCase, Tally
from squidmesh.clock import micros
from squidmesh.ids import idempotency_key
from squidmesh.journal.facts import AttemptCompleted
from squidmesh.journal.rows import PausedQueueRow
from squidmesh.reading.explain import explain


def stuck(case: RunCase, paused: Mapping[str, PausedQueueRow]) -> str | None:
    """Why this run will not go on by itself, and waits for nothing that ``explain_run`` names; None where it has ended
    or does. With a ``patience``, what is due for longer than that is stuck as well: nobody has come for it.
    """
    state = case.state
    if state is None:  # it is told of elsewhere
        return None
    if case.definition is None:
        return "its definition is not in the journal, or can not be read"
    if (overdue := _overdue(case)) is not None:
        return f"nobody has fired {overdue}"
    if state.ended:
        return None
    try:
        why = explain(case.definition, state, now=case.now, known_steps=None, paused=paused)
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # a state that none should be in
        return f"explain_run has no words for it: {type(error).__name__}: {error}"
    if why.reason == "corrupt_history":
        return why.summary
    if case.settings.patience is None:
        return None
    before = case.now - micros(case.settings.patience)
    if why.reason == "waiting_for_worker" and any(a.visible_at < before for a in state.open_attempts()):
        return why.summary
    if why.reason in ("running", "failing") and all(
        a.claim is not None and a.claim.at < before for a in state.open_attempts()
    ):
        return why.summary
    return None


def _overdue(case: RunCase) -> str | None:
    """A timer of the run's own, or a word between it and its parent, that was to be heard long ago."""
    if case.settings.patience is None:
        return None
    before = case.now - micros(case.settings.patience)
    return next((row.timer for row in case.dump.rows.timers if row.due_at < before), None)


def i10(case: RunCase, paused: Mapping[str, PausedQueueRow], tally: Tally) -> None:
    """Every run which was started ends, or waits for something that ``explain_run`` names.

    (That no run is missing is seen when all threads were met: see :mod:`chaos.judge`.)
    """
    tally.saw()
    if (why := stuck(case, paused)) is not None:
        tally.breach(case.name, why)


class Moments:
    """When faults of one harm were applied, by the journal's clock."""

    def __init__(self, faults: Sequence[Fault], harm: Harm) -> None:
        self._at = sorted(fault.at for fault in faults if fault.harm == harm and fault.phase == "applied")

    def __bool__(self) -> bool:
        return bool(self._at)

    @property
    def last(self) -> int:
        return self._at[-1]

    def between(self, begin: int, end: int) -> list[int]:
        return self._at[bisect_left(self._at, begin) : bisect_right(self._at, end)]


def _lived_through(case: RunCase, moments: Moments) -> list[int]:
    if not moments or not case.facts:
        return []
    state = case.state
    ended = case.now if state is None or state.ended_at is None else state.ended_at
    return moments.between(case.facts[0].fact.at, ended)


def i18(case: RunCase, losses: Moments, paused: Mapping[str, PausedQueueRow], tally: Tally) -> None:
    """Losing the whole lease backend loses nothing and repeats no accepted result. (Effects outside may repeat, under
    the same idempotency key.)

    Of each run that was open when leases were lost: it has ended, or waits for a reason; no runnable that had succeeded
    succeeded again afterwards; and whatever the ledger says was done for one of its runnables was done under one key.
    """
    met = _lived_through(case, losses)
    if not met:
        return
    tally.saw()
    if (why := stuck(case, paused)) is not None:
        tally.breach(case.name, f"the leases were lost while it was open, and it does not go on: {why}")
    done: dict[str, str] = {}
    for said in case.facts:
        fact = said.fact
        if isinstance(fact, AttemptCompleted) and done.setdefault(fact.step, said.place) != said.place:
            tally.breach(said.place, f"{fact.step} succeeds again after {done[fact.step]}")
    for place, deed in case.deeds:
        tally.saw()
        if deed.key != idempotency_key(case.name, deed.step):
            tally.breach(place, f"{deed.runnable} was done under another idempotency key, {deed.key}")


def i20(case: RunCase, kills: Moments, paused: Mapping[str, PausedQueueRow], tally: Tally) -> None:
    """Workers may be killed at any instruction, fewer than ``max_deliveries`` times within one attempt, and the fleet
    goes on from what is left without a human.

    Of each run that was open when a worker was killed: it has ended, or waits for a reason of its own. A dead letter is
    one, if it lost as many deliveries as may be (I8 counts them).
    """
    if not _lived_through(case, kills):
        return
    tally.saw()
    if (why := stuck(case, paused)) is not None:
        tally.breach(case.name, f"a worker was killed while it was open, and nobody goes on with it: {why}")
    state = case.state
    for letter in state.dead_letters() if state is not None else ():
        cause = letter.death.cause if letter.death is not None else ""
        if cause == "lost_deliveries" and letter.lost < case.settings.max_deliveries:
            tally.breach(f"{case.name}/{letter.step}", f"given up after {letter.lost} lost deliveries")
