"""Steps that this process has no function for (protocol 3.5.2 and 3.10): an old worker in a rolling deploy, say.

It must not be in the way of those who have it. From the first such item on it asks for none of that step any more.
Where a workflow of its own has a step of the same name, it can not ask like that: then it gives the item back, to be
visible after a second, and after twice that when it meets the step again later, up to a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from squidmesh.workflow.registry import Registry

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(seconds=60)
MOST_SKIPPED = 1000


class AbsentSteps:
    """``skipped``: names of steps that no workflow here has, as far as they were met."""

    def __init__(self, registry: Registry, monotonic: Callable[[], float]) -> None:
        workflows = (registry.get(name) for name in registry.names)
        self._here = {step for workflow in workflows if workflow is not None for step in workflow.steps}
        self._monotonic = monotonic
        self._delays: dict[tuple[str, str], tuple[timedelta, float]] = {}
        self.skipped: set[str] = set()

    def met(self, workflow: str, step: str) -> timedelta:
        """For how long to give the item back. The delay doubles with time, not with items: a backlog of a thousand is
        one meeting.
        """
        if step not in self._here and len(self.skipped) < MOST_SKIPPED:
            self.skipped.add(step)
            return timedelta(0)
        now = self._monotonic()
        delay, since = self._delays.get((workflow, step), (FIRST_DELAY, now))
        if now - since > delay.total_seconds():
            delay, since = min(delay * 2, LONGEST_DELAY), now
        self._delays[workflow, step] = delay, since
        return delay
