"""What a step is told about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import BaseModel

from squidmesh.errors import UsageError
from squidmesh.ids import RunId, RunnableKey, idempotency_key, runnable_key
from squidmesh.reading.schedule import Schedule
from squidmesh.workflow.authoring import Manual, Workflow

Target = type[Workflow] | Manual[Any] | str
Payload = BaseModel | Mapping[str, Any] | None


class LeaseFlag:
    """Set when the lease of a running step is lost, or given back: by the heartbeat thread, or by the pump. Steps look;
    who can not look is called. ``closed``: the attempt is over; no worker will take it up again.
    """

    __slots__ = ("_listener", "_lost", "closed")

    def __init__(self) -> None:
        self._lost = False
        self._listener: Callable[[], object] | None = None
        self.closed = False

    def set(self, *, closed: bool = False) -> None:
        self.closed = self.closed or closed
        self._lost = True
        if self._listener is not None:
            self._listener()

    def tell(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when this is set, and at once if it is: once or more, in whatever thread. It is quick,
        and raises nothing.
        """
        self._listener = listener
        if self._lost:
            listener()

    def __bool__(self) -> bool:
        return self._lost


class StepVerbs(Protocol):
    """What a step can do to the mesh: nothing else of it is open to a transactional one."""

    def start_child_run(
        self,
        target: Target,
        payload: Payload,
        *,
        key: str,
        trigger: str | None,
        queue: str | None,
        priority: int | None,
        delay: timedelta | float | None,
        metadata: Mapping[str, Any] | None,
    ) -> str: ...


class Context:
    """Passed to a step that asks for it, by a parameter named ``context`` or annotated with this class. Read-only.

    ``attempt`` counts tries of this step from 1; ``delivery`` counts how often this attempt was handed out, from 1;
    ``fence`` grows with every claim on the step and may guard writes to other systems. ``schedule`` is the cron window
    that the run stands for, None where no cron trigger started it. The claim id is never here.
    """

    __slots__ = (
        "_connection",
        "_load_state",
        "_lost",
        "_verbs",
        "attempt",
        "delivery",
        "fence",
        "run_id",
        "schedule",
        "step",
        "workflow",
    )

    def __init__(
        self,
        *,
        run_id: RunId,
        workflow: str,
        step: str,
        attempt: int,
        delivery: int,
        fence: int,
        schedule: Schedule | None,
        lost: LeaseFlag,
        load_state: Callable[[], dict[str, Any]],
        verbs: StepVerbs,
        connection: Any = None,
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.step = step
        self.attempt = attempt
        self.delivery = delivery
        self.fence = fence
        self.schedule = schedule
        self._lost = lost
        self._load_state = load_state
        self._verbs = verbs
        self._connection = connection

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
    def cancelled(self) -> bool:
        """True once the attempt is closed: its run was cancelled or has failed, or its time is up. It becomes so within
        a heartbeat; what the step still returns is refused.
        """
        return bool(self._lost) and self._lost.closed

    @property
    def state(self) -> Mapping[str, Any]:
        """The payload and the outputs so far, as JSON values. A copy: changing what is in it changes nothing."""
        return MappingProxyType(self._load_state())

    @property
    def connection(self) -> Any:
        """Of a transactional step only: what it writes here is committed together with its completion, or not at all.
        ``UsageError`` in any other step.
        """
        if self._connection is None:
            why = f"{self.step} is not transactional; allowed is step(…, transaction=True)"
            raise UsageError(why, code="not_transactional")
        return self._connection

    def start_child_run(
        self,
        target: Target,
        payload: Payload = None,
        *,
        key: str,
        trigger: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Starts a run of another workflow (or of this one) as a child of this run, and gives its id. The same ``key``
        in this step is the same child, whichever attempt asks: it is started once. It goes to the parent's queue and
        priority unless told otherwise, and goes on by itself: to wait for its end, see ``wait_for_children``.

        ``StaleClaim`` where this attempt's claim has passed on, ``NotAllowed`` where the run starts no children any
        more, ``KeyReused`` where the key started another payload before.
        """
        return self._verbs.start_child_run(
            target,
            payload,
            key=key,
            trigger=trigger,
            queue=queue,
            priority=priority,
            delay=delay,
            metadata=metadata,
        )

    def __repr__(self) -> str:
        return f"Context({self.runnable_key}#{self.attempt} delivery={self.delivery} fence={self.fence})"
