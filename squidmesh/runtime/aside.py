"""Runs whose thread somebody else holds locked: a pump sets them aside, and goes on with the others.

Their outcomes are tried again after pauses that grow. The store remembers such threads, so that an attempt costs a look
and not a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from squidmesh.runtime import chance
from squidmesh.runtime.invoke import Unrecorded

_FIRST, _LONGEST = 0.5, 10.0
"""Seconds."""


class Aside:
    """Of one pump: not thread-safe."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._runs: dict[str, tuple[float, float]] = {}
        """By run: until when it is left alone, and the pause that ends then."""

    def part(self, outcomes: Sequence[Unrecorded]) -> tuple[list[Unrecorded], list[Unrecorded]]:
        """Those that wait, and those that are to be recorded now, in order."""
        if not self._runs:
            return [], list(outcomes)
        wanted = {outcome.assignment.run_id for outcome in outcomes}
        self._runs = {run_id: pause for run_id, pause in self._runs.items() if run_id in wanted}
        now = self._monotonic()
        waiting = {run_id for run_id, (until, _) in self._runs.items() if until > now}
        stay = [outcome for outcome in outcomes if outcome.assignment.run_id in waiting]
        return stay, [outcome for outcome in outcomes if outcome.assignment.run_id not in waiting]

    def put(self, run_id: str) -> bool:
        """Leaves it alone for a while. True where it was not aside before."""
        until, pause = self._runs.get(run_id, (0.0, 0.0))
        now = self._monotonic()
        if until > now:
            return False
        again = min(_LONGEST, 2 * pause or _FIRST)
        self._runs[run_id] = now + again * (0.75 + chance.jitter() / 2), again
        return not pause

    def rest(self, longest: timedelta) -> timedelta:
        """How long there is nothing to try again, at most ``longest``."""
        if not self._runs:
            return longest
        earliest = min(until for until, _ in self._runs.values())
        return max(timedelta(0), min(longest, timedelta(seconds=earliest - self._monotonic())))

    def clear(self) -> None:
        """Everything is tried now."""
        self._runs.clear()
