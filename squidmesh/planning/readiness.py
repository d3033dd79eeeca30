"""What is next once a step has ended: the route that is taken, and the entering of the step that it leads to."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any, assert_never

from squidmesh.clock import micros
from squidmesh.journal.facts import (
    AnyFact,
    ApprovalRequested,
    AttemptScheduled,
    RouteTaken,
    RunCompleted,
    RunFailed,
)
from squidmesh.journal.state import RunState
from squidmesh.planning.concurrency import UNLIMITED, concurrency_of
from squidmesh.workflow.condition import holds
from squidmesh.workflow.definition import (
    COMPLETE,
    ApprovalStep,
    Definition,
    FunctionStep,
    Outcome,
    Route,
    WaitStep,
)


def follow(
    definition: Definition, state: RunState, step: str, on: Outcome, *, output: dict[str, Any], now: int
) -> list[AnyFact]:
    """The facts that follow from ``step`` having ended with ``on`` and added ``output`` to the context.

    The first route, in declaration order, whose condition holds; an unconditional one always does. After ``ok``, no
    route at all completes the run, and none that holds fails it. After ``error`` and ``reject``, no route that holds
    gives no facts: the caller says what becomes of the run.
    """
    routes = definition.routes_from(step, on)
    context = ChainMap(output, state.outputs, state.payload)
    taken = next((route for route in routes if route.when is None or holds(route.when, context)), None)
    if taken is not None:
        return _take(definition, state, taken, context, now)
    if on != "ok":
        return []
    if not routes:
        return [RunCompleted(at=now)]
    message = f"{step} ended, and none of its {len(routes)} conditional routes holds"
    return [RunFailed(at=now, code="no_matching_transition", step=step, message=message)]


def _take(definition: Definition, state: RunState, route: Route, context: Mapping[str, Any], now: int) -> list[AnyFact]:
    taken = RouteTaken(
        at=now,
        source=route.source,
        on=route.on,
        target=route.target,
        edge=definition.route_id(route),
        recovery=route.recovery,
    )
    if route.target == COMPLETE:
        return [taken, RunCompleted(at=now)]
    entered = enter(definition, route.target, context=context, now=now, queue=state.queue, priority=state.priority)
    return [taken, entered]


def enter(
    definition: Definition,
    name: str,
    *,
    context: Mapping[str, Any],
    now: int,
    queue: str,
    priority: int,
    delay: int = 0,
) -> AttemptScheduled | ApprovalRequested:
    """What reaching a step records. ``context``: what it can bind from. ``queue`` and ``priority`` are the run's; the
    step's own go first. ``delay`` is in microseconds, and is added to a wait's own.
    """
    step = definition.step(name)
    match step:
        case ApprovalStep():
            return ApprovalRequested(at=now, step=name)
        case FunctionStep() | WaitStep():
            shared = concurrency_of(step, context) if isinstance(step, FunctionStep) else UNLIMITED
            pause = delay + (micros(step.duration) if isinstance(step, WaitStep) else 0)
            return AttemptScheduled(
                at=now,
                step=name,
                attempt=1,
                queue=step.queue or queue,
                priority=priority if step.priority is None else step.priority,
                visible_at=now + pause,
                cause="wait" if pause else "route",
                concurrency_key=shared.key,
                concurrency_limit=shared.limit,
            )
        case _:
            assert_never(step)
