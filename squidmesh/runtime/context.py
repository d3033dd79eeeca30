"""What a step is told about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from squidmesh.ids import RunId, RunnableKey, idempotency_key, runnable_key


class LeaseFlag:
    """Set once, by the heartbeat thread, when the lease of a running step is lost. Nobody waits for it: steps look."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        self._lost = False

    def set(self) -> None:
        self._lost = True

    def __bool__(self) -> bool:
        return self._lost


class Context:
    """Passed to a step that asks for it, by a parameter named ``context`` or annotated with this class. Read-only.

    ``attempt`` counts tries of this step from 1; ``delivery`` counts how often this attempt was handed out, from 1;
    ``fence`` grows with every claim on the step and may guard writes to other systems. The claim id is never here.
    """

    __slots__ = ("_load_state", "_lost", "attempt", "delivery", "fence", "run_id", "step", "workflow")

    def __init__(
        self,
        *,
        run_id: RunId,
        workflow: str,
        step: str,
        attempt: int,
        delivery: int,
        fence: int,
        lost: LeaseFlag,
        load_state: Callable[[], dict[str, Any]],
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.step = step
        self.attempt = attempt
        self.delivery = delivery
        self.fence = fence
        self._lost = lost
        self._load_state = load_state

    @property
    def runnable_key(self) -> RunnableKey:
        """``{run_id}/{step}``."""
        return runnable_key(self.run_id, self.step)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every delivery of this step of this run: give it to the outside world."""
        return idempotency_key(self.run_id, self.step)

    @property
    def lease_lost(self) -> bool:
        """True once another worker may have taken over: stop as soon as that is safe; the result may be refused."""
        return bool(self._lost)

    @property
    def state(self) -> Mapping[str, Any]:
        """The payload and the outputs so far, as JSON values. A copy: changing what is in it changes nothing."""
        return MappingProxyType(self._load_state())

    def __repr__(self) -> str:
        return f"Context({self.runnable_key}#{self.attempt} delivery={self.delivery} fence={self.fence})"
