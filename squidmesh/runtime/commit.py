"""Commits whose outcome is known in the end (protocol 3.5.7).

A commit whose answer was lost may or may not have happened. It is repeated as it was: same entry ids, same expected
revisions. It then succeeds, or it conflicts, and the entry that stands where it would have stood tells whether it is
ours. A read alone would prove nothing: the lost commit may still be on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential

from squidmesh.errors import BackendUnavailable, CommitUnknown, ThreadsLocked
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.journal_store import Answer, Committed, Conflict, Group, JournalStore
from squidmesh.runtime.instruments import NOBODY

FIRST_PAUSE = timedelta(milliseconds=20)
LONGEST_PAUSE = timedelta(seconds=5)
CALLER_PATIENCE = timedelta(seconds=15)
"""How long a call of the public API goes on trying a store that is not there. A worker's pump goes on for ever."""
T = TypeVar("T")


class Patience:
    """Repeats what fails for the store's reasons: once more at once, then with jittered pauses, for ``limit`` (None:
    for ever) and until ``give_up``. The last error is raised as it is; ``notice`` hears of each one before, and
    ``answered`` of each success.

    ``ThreadsLocked`` is not repeated by who would wait for ever: he has other runs to go on with.
    """

    def __init__(
        self,
        limit: timedelta | None,
        *,
        give_up: Callable[[], bool] = lambda: False,
        notice: Callable[[BaseException], None] = lambda error: None,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._answered = answered
        self._limit = limit
        self.is_endless = limit is None
        self._give_up = give_up
        self._notice = notice

    def _retrying(self) -> Retrying:
        """Made when something has failed: most patience is never tried."""

        def stop(state: RetryCallState) -> bool:
            waited = state.seconds_since_start or 0.0
            return self._give_up() or (self._limit is not None and waited >= self._limit.total_seconds())

        def before_sleep(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                self._notice(error)

        return Retrying(
            retry=retry_if_exception(self._may_pass),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE.total_seconds(), max=LONGEST_PAUSE.total_seconds()),
            stop=stop,
            before_sleep=before_sleep,
            reraise=True,
        )

    def call(self, action: Callable[[], T]) -> T:
        """``action``'s result; it may be called several times."""
        try:
            done = action()  # the common case costs nothing
        except (BackendUnavailable, CommitUnknown) as error:
            if self._give_up() or not self._may_pass(error):
                raise
            self._notice(error)
            done = self._retrying()(action)
        self._answered()
        return done

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, ThreadsLocked):
            return not self.is_endless
        return isinstance(error, BackendUnavailable | CommitUnknown)


class Appender:
    """Commits with patience, and finds out what became of those whose answer was lost."""

    def __init__(self, store: JournalStore, patience: Patience, instruments: Instrument = NOBODY) -> None:
        self._store = store
        self._patience = patience
        self._instruments = instruments

    def commit(self, groups: Sequence[Group]) -> list[Answer | ThreadsLocked]:
        """As :meth:`JournalStore.commit`, with the outcome known. ``BackendUnavailable`` and ``CommitUnknown`` are
        raised when patience ends; only after the second may something have been written.

        Where patience has no end, a group whose thread somebody holds locked is left out, and answered so: what became
        of it is unknown if an answer was lost before.
        """
        answers: dict[int, Answer | ThreadsLocked] = {}
        left = list(range(len(groups)))
        unknown = False
        began = time.monotonic()

        def once() -> list[Answer]:
            nonlocal unknown
            try:
                return self._store.commit([groups[n] for n in left])
            except CommitUnknown:
                unknown = True
                raise
            except BackendUnavailable as error:
                if unknown and not (isinstance(error, ThreadsLocked) and self._patience.is_endless):
                    raise CommitUnknown(f"an earlier answer was lost, and now: {error}") from error
                raise

        while left:
            try:
                told = self._patience.call(once)
            except ThreadsLocked as error:
                aside = [n for n in left if any(append.thread in error.threads for append in groups[n].appends)]
                if not aside or not self._patience.is_endless:
                    raise
                answers |= dict.fromkeys(aside, error)
                left = [n for n in left if n not in answers]
                continue
            for n, answer in zip(left, told, strict=True):
                answers[n] = self._settled(groups[n], answer) if unknown else answer
            break
        conflicts = len([answer for answer in answers.values() if not isinstance(answer, Committed)])
        self._instruments.committed(groups=len(groups), conflicts=conflicts, seconds=time.monotonic() - began)
        return [answers[n] for n in range(len(groups))]

    def _settled(self, group: Group, answer: Answer) -> Answer:
        if not isinstance(answer, Conflict):
            return answer
        append = next(append for append in group.appends if append.thread == answer.thread)
        place = append.expected_revision + 1
        standing = self._patience.call(lambda: self._store.entry(append.thread, place))
        ours = standing is not None and standing.entry_id == append.entry_id
        return Committed() if ours else answer
