"""Commits whose outcome is known in the end (protocol 3.5.7).

A commit whose answer was lost may or may not have happened. It is repeated as it was: same entry ids, same expected
revisions. It then succeeds, or it conflicts, and the entry that stands where it would have stood tells whether it is
ours. A read alone would prove nothing: the lost commit may still be on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from squidmesh.errors import BackendUnavailable, CommitUnknown
from squidmesh.ports.journal_store import Answer, Committed, Conflict, Group, JournalStore

FIRST_PAUSE = timedelta(milliseconds=20)
LONGEST_PAUSE = timedelta(seconds=5)
CALLER_PATIENCE = timedelta(seconds=15)
"""How long a call of the public API goes on trying a store that is not there. A worker's pump goes on for ever."""
T = TypeVar("T")


class Patience:
    """Repeats what fails for the store's reasons: once more at once, then with jittered pauses, for ``limit`` (None:
    for ever) and until ``give_up``. The last error is raised as it is; ``notice`` hears of each one before.
    """

    def __init__(
        self,
        limit: timedelta | None,
        *,
        give_up: Callable[[], bool] = lambda: False,
        notice: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._give_up = give_up
        self._notice = notice

        def stop(state: RetryCallState) -> bool:
            waited = state.seconds_since_start or 0.0
            return give_up() or (limit is not None and waited >= limit.total_seconds())

        def before_sleep(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                notice(error)

        self._retrying = Retrying(
            retry=retry_if_exception_type((BackendUnavailable, CommitUnknown)),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE.total_seconds(), max=LONGEST_PAUSE.total_seconds()),
            stop=stop,
            before_sleep=before_sleep,
            reraise=True,
        )

    def call(self, action: Callable[[], T]) -> T:
        """``action``'s result; it may be called several times."""
        try:
            return action()  # the common case costs nothing
        except (BackendUnavailable, CommitUnknown) as error:
            if self._give_up():
                raise
            self._notice(error)
        return self._retrying.copy()(action)


class Committer:
    """Commits with patience, and finds out what became of those whose answer was lost."""

    def __init__(self, store: JournalStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """As :meth:`JournalStore.commit`, with the outcome known. ``BackendUnavailable`` and ``CommitUnknown`` are
        raised when patience ends; only after the second may something have been written.
        """
        unknown = False

        def once() -> list[Answer]:
            nonlocal unknown
            try:
                return self._store.commit(groups)
            except CommitUnknown:
                unknown = True
                raise
            except BackendUnavailable as error:
                if unknown:
                    raise CommitUnknown(f"an earlier answer was lost, and now: {error}") from error
                raise

        answers = self._patience.call(once)
        if not unknown:
            return answers
        return [self._settled(group, answer) for group, answer in zip(groups, answers, strict=True)]

    def _settled(self, group: Group, answer: Answer) -> Answer:
        if not isinstance(answer, Conflict):
            return answer
        append = next(append for append in group.appends if append.thread == answer.thread)
        place = append.expected_revision + 1
        standing = self._patience.call(lambda: self._store.entry(append.thread, place))
        ours = standing is not None and standing.entry_id == append.entry_id
        return Committed() if ours else answer
