"""What a pump remembers of its last claim: that there was nothing more to claim, a moment ago.

Where runs go on by themselves (protocol 5, continuation), a claim before each of their commits finds nothing, again and
again, and the step that comes next waits for it. So a pump that has just found nothing more goes on without a claim. It
asks again when the moment is over, when anything but the end of such a step wakes it, and when what it recorded made
anything else claimable.

However long ago that was, a pump of which the last step has ended records that first, and claims behind it: somebody
may wait for this end, and of what else there is, most likely nothing could have shared the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from squidmesh.journal.facts import AttemptClaimed
from squidmesh.runtime.recorder import Verdict

LULL = timedelta(milliseconds=5)
"""For so long, at most, work that becomes claimable may wait where its word comes together with the end of a step."""


class Lull:
    """Of one pump: not thread-safe."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ends_at: float | None = None
        self._has_waited = False

    def asked(self, *, limit: int, granted: int, idle_for: timedelta) -> None:
        """A claim for ``limit`` has got ``granted``, and there is nothing more before ``idle_for`` is over."""
        lasts = min(LULL, idle_for).total_seconds()
        self._ends_at = self._monotonic() + lasts if granted < limit else None
        self._has_waited = False

    def end(self) -> None:
        """There may be something to claim now."""
        self._ends_at = None

    def may_wait(self) -> bool:
        """Whether the next claim may come behind what is to be recorded now, which nothing else runs beside: the last
        one left nothing, however long ago. Once, and then it is asked.
        """
        waits = self._ends_at is not None and not self._has_waited
        self._has_waited = True
        return waits

    @property
    def rest(self) -> timedelta:
        """What is left of it; nothing where there is none."""
        if self._ends_at is None:
            return timedelta(0)
        return max(timedelta(0), timedelta(seconds=self._ends_at - self._monotonic()))


def only_goes_on(verdict: Verdict) -> bool:
    """Whether all that was recorded is a claim, the first of a run or that of its next step: it opened nothing else (a
    step is followed at once where it opens one alone), and gave no place under a concurrency key away.
    """
    if verdict.error is not None or not verdict.facts or type(verdict.facts[-1]) is not AttemptClaimed:
        return False
    if verdict.following is None:
        return len(verdict.facts) == 1
    claim = verdict.intent.claim
    return claim is not None and claim.concurrency_key == verdict.following.concurrency_key
