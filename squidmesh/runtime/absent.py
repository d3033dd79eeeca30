"""Steps that this process has no function for (protocol 3.5.2 and 3.10): an old worker in a rolling deploy, say.

It must not be in the way of those who have it. From the first such item on it asks for none of that step any more.
Where a workflow of its own has a step of the same name, it can not ask like that: then it gives the item back, to be
visible after a second, and after twice that when it meets the step again later, up to a minute.

A host that has actions may run workflows that were made at run time, whose steps have any names; and what it has no
action for now, or has disabled, it may have soon. It passes a name over for a second only, then for twice that, up to
eight; and looks anew at once when its actions have changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

from squidmesh.workflow.registry import Registry

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(seconds=60)
LONGEST_GLANCE = timedelta(seconds=8)
"""How long a host with actions passes a name over."""
MOST_SKIPPED = 1000


class AbsentSteps:
    def __init__(self, registry: Registry, monotonic: Callable[[], float]) -> None:
        workflows = (registry.get(name) for name in registry.names)
        self._here = {step for workflow in workflows if workflow is not None for step in workflow.steps}
        self._actions = registry.actions
        self._change = registry.actions.change
        self._monotonic = monotonic
        self._delays: dict[tuple[str, str], tuple[timedelta, float]] = {}
        self._skipped: dict[str, float] = {}
        """By name, until when."""

    @property
    def skipped(self) -> set[str]:
        """Names of steps that are not to be asked for now, as far as they were met: no workflow here has them."""
        if self._change is not self._actions.change:
            self._change = self._actions.change
            self._skipped.clear()
            self._delays.clear()
        if self._skipped and self._actions:
            now = self._monotonic()
            self._skipped = {step: until for step, until in self._skipped.items() if until > now}
        return set(self._skipped)

    def met(self, workflow: str, step: str) -> timedelta:
        """For how long to give the item back. The delay doubles with time, not with items: a backlog of a thousand is
        one meeting.
        """
        can_skip = step not in self._here and len(self._skipped) < MOST_SKIPPED
        if can_skip and not self._actions:
            self._skipped[step] = math.inf
            return timedelta(0)
        delay = self._delay(workflow, step, LONGEST_GLANCE if can_skip else LONGEST_DELAY)
        if not can_skip:
            return delay
        self._skipped[step] = self._monotonic() + delay.total_seconds()
        return timedelta(0)

    def _delay(self, workflow: str, step: str, longest: timedelta) -> timedelta:
        now = self._monotonic()
        delay, since = self._delays.get((workflow, step), (FIRST_DELAY, now))
        if now - since > delay.total_seconds():
            delay, since = min(delay * 2, longest), now
        self._delays[workflow, step] = delay, since
        return delay
