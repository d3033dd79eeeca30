"""Firing timers and hearing signals: what is due is decided by the core, and recorded like everything else (3.3).

Every pump looks, and so do ``execute_next`` and the reconciler. Nobody locks or claims a timer: whoever fires it asks
the core whether it still means anything, and the revision makes it happen once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Literal, assert_never

from squidmesh.clock import Instant, duration
from squidmesh.errors import BackendUnavailable, CommitUnknown, CorruptHistory, NotAllowed, NotFound
from squidmesh.journal.rows import TimerRow
from squidmesh.planning.commands import (
    AnyCommand,
    CancelRun,
    PassGateDeadline,
    PassRunDeadline,
    PassStepDeadline,
    RecordChildEnd,
)
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.observer import Observer
from squidmesh.runtime import chance
from squidmesh.runtime.held import HeldRun
from squidmesh.runtime.recorder import Intent, Recorder, Verdict

_PAGE = 100
_MOST_PAGES = 10
"""A look fires no more than so many pages; the rest is for the next one, of this worker or another."""
_MOST_ROUNDS = 10
"""One word leads to another: a cancel to that of a child, its end to its parent. What goes on longer waits a look."""
BUSY_LOOK = 0.25
_MOMENT = 0.01
"""Seconds for which a look that is due may stand back behind steps that begin."""

_ENDS: dict[str, Literal["completed", "failed", "cancelled"]] = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Timers:
    """Of one pump, or of one call: not thread-safe. ``every``: seconds between two looks of a pump that has no rest."""

    def __init__(
        self,
        store: JournalStore,
        recorder: Recorder,
        observer: Observer,
        *,
        every: float = BUSY_LOOK,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._store = store
        self._recorder = recorder
        self._observer = observer
        self._monotonic = monotonic
        self._look_at = 0.0
        self._next: Instant | None = None
        self._owes_a_look = False
        self._stands_back = False
        self._left = False
        """Whether the last look has left something that was due: who can not be told, is told again at the next."""

    def fire_now_and_then(self, *, rested: bool, works: bool = False, begins: bool = False) -> list[HeldRun]:
        """As :meth:`fire`, where that is worth a look: after a rest, when something was set here or has become due, or
        some time after the last look. A pump that ``works`` is woken by its own steps, mostly: it looks no more often
        than one that has no rest, and keeps its next rest short where it has not looked after one. Where a step
        ``begins`` at this moment, it would wait for this thread: the look comes a moment later.
        """
        woken = rested and not works
        became_due = not self._left and self._is_due()
        if woken or became_due or self._recorder.take_timer_set() or self._monotonic() >= self._look_at:
            return [] if begins and self._may_stand_back() else self.fire()
        self._owes_a_look |= rested
        return []

    def _may_stand_back(self) -> bool:
        """Once, until it has looked."""
        if self._stands_back:
            return False
        self._stands_back = self._owes_a_look = True
        self._look_at = self._monotonic() + _MOMENT
        return True

    def fire(self) -> list[HeldRun]:
        """The runs for which something was recorded. A store that is away is told to the observer, and asked again."""
        touched: list[HeldRun] = []
        self._owes_a_look = self._stands_back = False
        try:
            for _ in range(_MOST_ROUNDS):
                self._recorder.take_timer_set()
                self._next = self._store.next_timer()
                if not self._is_due():
                    break
                self._fire_due(touched)
        except (BackendUnavailable, CommitUnknown) as error:
            self._observer.notice("journal_unavailable", error=str(error))
        self._left = self._is_due()
        self._look_at = self._monotonic() + self._every * (0.75 + chance.jitter() / 2)
        return touched

    def _is_due(self) -> bool:
        return self._next is not None and self._next <= self._store.now()

    def rest(self, longest: timedelta) -> timedelta:
        """How long there is nothing to fire, at most ``longest``."""
        if self._owes_a_look:
            longest = min(longest, self._until_the_look())
        if self._next is None:
            return longest
        if self._left:
            return min(longest, self._until_the_look())
        return max(timedelta(0), min(longest, duration(self._next - self._store.now())))

    def _until_the_look(self) -> timedelta:
        """Not nothing while it is to come, however soon: who does not rest at all looks as often as he asks."""
        left = self._look_at - self._monotonic()
        return max(timedelta(microseconds=1), timedelta(seconds=left)) if left > 0 else timedelta(0)

    def _fire_due(self, touched: list[HeldRun]) -> None:
        last: TimerRow | None = None
        for _ in range(_MOST_PAGES):
            rows = self._store.due_timers(self._store.now(), after=last, limit=_PAGE)
            if not rows:
                return
            verdicts = self._recorder.record([_intent(row) for row in rows])
            self._concluded(rows, verdicts)
            touched += [verdict.run for verdict in verdicts if verdict.facts and verdict.run is not None]
            last = rows[-1]

    def _concluded(self, rows: Sequence[TimerRow], verdicts: Sequence[Verdict]) -> None:
        unheard = []
        for row, verdict in zip(rows, verdicts, strict=True):
            if row.sender is not None and isinstance(verdict.error, NotAllowed | NotFound):
                unheard.append(row.timer)
            elif isinstance(verdict.error, CorruptHistory):
                self._observer.notice("corrupt_history", run_id=row.run_id, error=str(verdict.error))
            elif verdict.error is not None:
                self._observer.notice("timer_refused", timer=row.timer, error=str(verdict.error))
            elif verdict.facts:
                self._observer.notice("timer_fired", timer=row.timer, kind=row.kind)
        if unheard:
            self._store.drop_signals(unheard)


def _intent(row: TimerRow) -> Intent:
    drawn = chance.jitter()

    def command(now: Instant) -> AnyCommand:
        match row.kind:
            case "run":
                return PassRunDeadline(now=now)
            case "gate":
                return PassGateDeadline(now=now, step=row.subject)
            case "step":
                return PassStepDeadline(now=now, step=row.subject, jitter=drawn)
            case "child_ended":
                return RecordChildEnd(now=now, run_id=row.sender or "", status=_ENDS[row.detail], signal=row.timer)
            case "cancel":
                return CancelRun(now=now, actor=f"run {row.sender}", signal=row.timer)
            case _:
                assert_never(row.kind)

    return Intent(run_id=row.run_id, command=command)
