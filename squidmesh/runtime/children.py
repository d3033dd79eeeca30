"""Starting child runs from a step (protocol 3.1, 3.7): the parent's fact and the child's first entry are one group.

A child's id is derived from the parent's run, the step and a key of the step's choosing. So an attempt that starts it
again, because the one before was lost, finds the same child; and an attempt whose claim has passed on starts none,
because the parent's fact stands under its fence.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from squidmesh.clock import Instant
from squidmesh.ids import RunId, child_run_id
from squidmesh.journal.facts import ParentRun
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import StartChild
from squidmesh.runtime import starting
from squidmesh.runtime.arguments import check_key, check_metadata
from squidmesh.runtime.births import plan
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.context import Payload, StepVerbs, Target
from squidmesh.runtime.invoke import Assignment
from squidmesh.runtime.recorder import Birth, Intent
from squidmesh.runtime.starts import Start

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child run that is to be started, checked: nothing in it can be refused but by the parent's state."""

    run_id: RunId
    key: str
    start: Start
    intent: Intent


def child_of(
    engine: Engine,
    assignment: Assignment,
    target: starting.Target,
    payload: BaseModel | Mapping[str, Any] | None,
    *,
    key: str,
    trigger: str | None,
    queue: str | None,
    priority: int | None,
    delay: timedelta | float | None,
    metadata: Mapping[str, Any] | None,
) -> Child:
    """Raises what ``start_run`` raises for a bad argument; writes nothing."""
    key = check_key(key)
    given = {} if payload is None else payload
    named = starting.with_trigger(engine, target, trigger)
    asked = starting.check_start(engine, named, given, key=None, queue=queue, priority=priority, delay=delay)
    claim, step = assignment.claim, assignment.spec.name
    run_id = child_run_id(assignment.run_id, step, key)
    terms = replace(
        asked.terms,
        parent=ParentRun(run_id=assignment.run_id, step=step, key=key),
        traceparent=engine.instruments.traceparent() or assignment.traceparent,
        metadata=check_metadata(metadata),
    )
    asked = replace(asked, run_id=run_id, terms=terms)

    def command(now: Instant) -> StartChild:
        return StartChild(
            now=now,
            step=step,
            attempt=assignment.attempt,
            claim_hash=claim.hash,
            fence=claim.fence,
            key=key,
            run_id=run_id,
            workflow=terms.workflow.name,
        )

    intent = Intent(run_id=assignment.run_id, command=command, birth=_birth(asked, queue, priority))
    return Child(run_id=run_id, key=key, start=asked, intent=intent)


class ChildVerbs(StepVerbs):
    """What one step does to the mesh. What it asks for is checked here; when it is done is for :meth:`begin`."""

    def __init__(self, engine: Engine, assignment: Assignment) -> None:
        self._engine = engine
        self._assignment = assignment

    @abstractmethod
    def begin(self, child: Child) -> str:
        """The child's run id."""

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
    ) -> str:
        child = child_of(
            self._engine,
            self._assignment,
            target,
            payload,
            key=key,
            trigger=trigger,
            queue=queue,
            priority=priority,
            delay=delay,
            metadata=metadata,
        )
        return self.begin(child)


def _birth(asked: Start, queue: str | None, priority: int | None) -> Callable[[RunState, Instant], Birth]:
    """A child goes where its parent goes, unless it was said otherwise."""

    def born(parent: RunState, now: Instant) -> Birth:
        terms = replace(
            asked.terms,
            queue=parent.queue if queue is None else asked.terms.queue,
            priority=parent.priority if priority is None else asked.terms.priority,
        )
        return plan(replace(asked, terms=terms), now)

    return born


def start_child(engine: Engine, assignment: Assignment, child: Child) -> str:
    """The id of the child run, which is there when this returns. ``StaleClaim`` where the attempt's claim has passed
    on, ``NotAllowed`` where the parent starts none any more, ``KeyReused`` where an earlier attempt started another
    payload under the key.
    """
    (verdict,) = engine.writer(patience=CALLER_PATIENCE).recorder.record([child.intent])
    if verdict.error is not None:
        raise verdict.error
    engine.poke()
    if not verdict.facts:
        starting.require_same(engine, child.start, child.run_id)
    return child.run_id
