"""``inspect_run_graph``: the definition that a run started with, and what became of each node and edge.

A node that was not reached is ``pending`` while it still may be, ``blocked`` where the run failed before it, and
``skipped`` where another route was taken. Edges have the stable ids of :meth:`Definition.route_ids`, and
:func:`preview_graph` gives the same nodes and edges for a workflow that has no run yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from squidmesh.clock import Instant, to_datetime
from squidmesh.journal.state import GateState, RunnableState, RunState
from squidmesh.reading.plain import to_plain
from squidmesh.workflow.definition import (
    COMPLETE,
    ApprovalStep,
    Condition,
    Definition,
    FunctionStep,
    Route,
    WaitStep,
)

NodeStatus = Literal[
    "pending", "waiting", "running", "retrying", "paused", "completed", "failed", "dead", "blocked", "skipped"
]
EdgeStatus = Literal["selected", "skipped", "pending", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A step, or the virtual node ``complete``. ``attempt`` is None where the step has none (yet); ``due_at``: when a
    scheduled attempt becomes visible; ``error`` and ``error_type``: code and exception class of its newest failure, or
    ``no_matching_transition`` where no route led on; ``decision``: of an approval. ``details`` (owner, fence, actor,
    error text …) come on request only.
    """

    id: str
    kind: Literal["function", "wait", "approval", "complete"]
    description: str
    status: NodeStatus
    attempt: int | None = None
    max_attempts: int | None = None
    lost: int = 0
    duration: timedelta | None = None
    due_at: datetime | None = None
    error: str | None = None
    error_type: str | None = None
    decision: str | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """A route. ``condition`` is its condition in words, as in ``charge.status == "paid"``."""

    id: str
    source: str
    target: str
    on: Literal["ok", "error", "reject"]
    status: EdgeStatus
    condition: str | None = None
    recovery: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGraph:
    """``nodes`` in declaration order, ``complete`` last; ``edges`` in declaration order. A preview has no ``run_id``,
    no ``status`` and no ``as_of``.
    """

    workflow: str
    version: str
    entry: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    run_id: str | None = None
    status: str | None = None
    as_of: datetime | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601, durations in seconds."""
        found: dict[str, Any] = to_plain(self)
        return found


def preview_graph(definition: Definition) -> RunGraph:
    """The graph of a workflow without a run: everything is pending."""
    nodes = [_node(step, "pending") for step in definition.steps]
    if any(route.target == COMPLETE for route in definition.routes):
        nodes.append(_complete("pending"))
    return RunGraph(
        workflow=definition.name,
        version=definition.version,
        entry=definition.entry,
        nodes=tuple(nodes),
        edges=tuple(_edge(id_, route, "pending") for id_, route in definition.route_ids()),
    )


def run_graph(definition: Definition, state: RunState, *, now: Instant, details: bool = False) -> RunGraph:
    """``definition`` is the one that the run started with. ``details`` may hold user data: they go with the history."""
    nodes, edges = _statuses(definition, state, now)
    shown = [_reached(step, nodes[step.name], state, details) for step in definition.steps]
    if COMPLETE in nodes:
        shown.append(_complete(nodes[COMPLETE]))
    return RunGraph(
        workflow=state.workflow,
        version=state.version,
        entry=definition.entry,
        nodes=tuple(shown),
        edges=tuple(_edge(id_, route, edges[id_]) for id_, route in definition.route_ids()),
        run_id=state.run_id,
        status=state.status(now),
        as_of=to_datetime(now),
    )


# ------------------------------------------------------------------------------------------------------ statuses


def _statuses(
    definition: Definition, state: RunState, now: Instant
) -> tuple[dict[str, NodeStatus], dict[str, EdgeStatus]]:
    """Source before target, so that what was not reached follows from the edges that lead there."""
    selected = {route.edge for route in state.routes}
    nodes: dict[str, NodeStatus] = {}
    edges: dict[str, EdgeStatus] = {}
    for name in _in_order(definition):
        incoming = [edges[id_] for id_, route in definition.route_ids() if route.target == name]
        reached = _status_where_reached(name, state, now)
        nodes[name] = reached or _status_where_not_reached(name, incoming, state)
        for id_, route in definition.route_ids():
            if route.source == name:
                edges[id_] = "selected" if id_ in selected else _edge_status(route, nodes[name], state)
    return nodes, edges


def _in_order(definition: Definition) -> Iterator[str]:
    """Every step and ``complete``, each after all that lead to it. Workflows are acyclic."""
    names = [step.name for step in definition.steps]
    if any(route.target == COMPLETE for route in definition.routes):
        names.append(COMPLETE)
    waiting = {name: {route.source for route in definition.routes if route.target == name} for name in names}
    done: set[str] = set()
    while waiting:
        ready = [name for name, sources in waiting.items() if sources <= done] or list(waiting)[:1]
        for name in ready:
            del waiting[name]
            done.add(name)
            yield name


def _status_where_reached(name: str, state: RunState, now: Instant) -> NodeStatus | None:
    runnable, gate = state.runnables.get(name), state.gates.get(name)
    if runnable is not None:
        return _attempt_status(runnable, now)
    if gate is None:
        return None
    if gate.decision is None:
        return "paused"
    return "failed" if state.failure_code == "rejected" and state.failure_step == name else "completed"


def _attempt_status(runnable: RunnableState, now: Instant) -> NodeStatus:
    match runnable.status:
        case "claimed":
            return "running"
        case "completed":
            return "completed"
        case "failed":
            return "failed"
        case "dead":
            return "dead"
        case "scheduled":
            return "retrying" if runnable.cause == "retry" and runnable.visible_at > now else "waiting"


def _status_where_not_reached(name: str, incoming: list[EdgeStatus], state: RunState) -> NodeStatus:
    if name == COMPLETE and "selected" in incoming and state.phase == "completed":
        return "completed"
    if "pending" in incoming:
        return "pending"
    return "blocked" if "blocked" in incoming else "skipped"


def _edge_status(route: Route, source: NodeStatus, state: RunState) -> EdgeStatus:
    """Of an edge that was not taken."""
    if source in ("pending", "blocked", "skipped"):
        return source
    if source not in ("completed", "failed"):
        return "pending"
    taken = any(other.source == route.source for other in state.routes)
    broke_here = state.phase == "failed" and state.failure_step == route.source and not taken
    return "blocked" if broke_here and source == "failed" and route.on == "ok" else "skipped"


# --------------------------------------------------------------------------------------------------------- values


def _reached(
    step: FunctionStep | WaitStep | ApprovalStep, status: NodeStatus, state: RunState, details: bool
) -> GraphNode:
    runnable, gate = state.runnables.get(step.name), state.gates.get(step.name)
    error = runnable.error if runnable is not None else None
    stuck = state.failure_code == "no_matching_transition" and state.failure_step == step.name
    return _node(
        step,
        status,
        attempt=runnable.attempt if runnable else None,
        lost=runnable.lost if runnable else 0,
        due_at=to_datetime(runnable.visible_at) if runnable and runnable.status == "scheduled" else None,
        error=state.failure_code if stuck else error.code if error else None,
        error_type=error.type if error and not stuck else None,
        decision=gate.decision if gate else None,
        details=_details(runnable, gate) if details else None,
    )


def _details(runnable: RunnableState | None, gate: GateState | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if runnable is not None:
        found |= {"queue": runnable.queue, "priority": runnable.priority, "fence": runnable.fence}
        if runnable.claim is not None:
            found |= {"owner": runnable.claim.owner, "claimed_at": to_datetime(runnable.claim.at)}
        if runnable.error is not None:
            found["error_message"] = runnable.error.message
    if gate is not None:
        found["requested_at"] = to_datetime(gate.requested_at)
        if gate.decided_at is not None:
            found |= {"actor": gate.actor, "decided_at": to_datetime(gate.decided_at)}
    return found


def _node(step: FunctionStep | WaitStep | ApprovalStep, status: NodeStatus, **known: Any) -> GraphNode:
    policy = step.retry if isinstance(step, FunctionStep) else None
    return GraphNode(
        id=step.name,
        kind=step.kind,
        description=step.description,
        status=status,
        max_attempts=policy.max_attempts if policy else None,
        duration=step.duration if isinstance(step, WaitStep) else None,
        **known,
    )


def _complete(status: NodeStatus) -> GraphNode:
    return GraphNode(id=COMPLETE, kind="complete", description="the run ends well", status=status)


def _edge(id_: str, route: Route, status: EdgeStatus) -> GraphEdge:
    return GraphEdge(
        id=id_,
        source=route.source,
        target=route.target,
        on=route.on,
        status=status,
        condition=_words(route.when) if route.when is not None else None,
        recovery=route.recovery,
    )


def _words(condition: Condition) -> str:
    if condition.operator == "exists":
        return f"{condition.path} exists"
    return f"{condition.path} {condition.operator} {json.dumps(condition.value, ensure_ascii=False)}"
