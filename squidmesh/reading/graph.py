"""``inspect_run_graph``: the definition that a run started with, and what became of each node and edge.

A node that was not reached is ``pending`` while it still may be, ``blocked`` where the run failed or was cancelled
before it, and ``skipped`` where another route was taken. Edges have the stable ids of :meth:`Definition.route_ids` and
:meth:`Definition.dependency_ids`, and :func:`preview_graph` gives the same nodes and edges for a workflow that has no
run yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from squidmesh.clock import Instant, to_datetime
from squidmesh.errors import Problem
from squidmesh.ids import undo_of
from squidmesh.journal.state import MANUAL_GATE, GateState, RunnableState, RunState
from squidmesh.reading.hiding import redaction_of
from squidmesh.reading.plain import to_plain
from squidmesh.redaction import HIDDEN, Redaction, is_secret
from squidmesh.workflow.definition import (
    COMPLETE,
    AnyStepSpec,
    Condition,
    Definition,
    EventStep,
    FunctionStep,
    Route,
    WaitStep,
)
from squidmesh.workflow.editor import Draft

NodeStatus = Literal[
    "pending",
    "waiting",
    "running",
    "retrying",
    "paused",
    "completed",
    "failed",
    "dead",
    "blocked",
    "skipped",
    "cancelled",
    "compensated",
]
EdgeStatus = Literal["selected", "skipped", "pending", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A step, or the virtual node ``complete``. ``attempt`` is None where the step has none (yet); ``due_at``: when a
    scheduled attempt becomes visible; ``error`` and ``error_type``: code and exception class of its newest failure, or
    ``no_matching_transition`` where no route led on; ``decision``: of an approval; ``compensation``: the status of what
    undoes it, where that has begun; ``event``: the name of the event that it waits for. ``details`` (owner, fence,
    actor, error text …) come on request only.
    """

    id: str
    kind: Literal["function", "wait", "log", "approval", "pause", "event", "wait_for_children", "complete"]
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
    compensation: str | None = None
    event: str | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """A route, or a dependency. ``condition`` is its condition in words, as in ``charge.status == "paid"``."""

    id: str
    source: str
    target: str
    on: Literal["ok", "error", "reject", "timeout", "dependency"]
    status: EdgeStatus
    condition: str | None = None
    recovery: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGraph:
    """``nodes`` in declaration order, ``complete`` last; ``edges`` in declaration order. ``roots``: where every run
    begins, one on a path. A preview has no ``run_id``, no ``status`` and no ``as_of``; that of a draft has the
    ``problems`` of the draft.
    """

    workflow: str
    version: str
    topology: Literal["path", "graph"]
    roots: tuple[str, ...]
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    run_id: str | None = None
    status: str | None = None
    as_of: datetime | None = field(default=None, compare=False)
    problems: tuple[Problem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601, durations in seconds."""
        found: dict[str, Any] = to_plain(self)
        return found


def preview_graph(workflow: Definition | Draft) -> RunGraph:
    """The graph of a workflow without a run: everything is pending. Of a draft, also of one with problems, what can be
    drawn: a node for each step that has a name of its own, an edge for each route between two of them.
    """
    if isinstance(workflow, Draft):
        drawn = _EMPTY if workflow.sketch is None else preview_graph(workflow.sketch)
        return replace(drawn, problems=workflow.problems)
    definition = workflow
    nodes = [_node(step, "pending") for step in definition.steps]
    if any(route.target == COMPLETE for route in definition.routes):
        nodes.append(_complete("pending"))
    return RunGraph(
        workflow=definition.name,
        version=definition.version,
        topology=definition.topology,
        roots=definition.roots,
        nodes=tuple(nodes),
        edges=tuple(_shown(definition, link, "pending") for link in _links(definition)),
    )


_EMPTY = RunGraph(workflow="", version="", topology="path", roots=(), nodes=(), edges=())


def run_graph(definition: Definition, state: RunState, *, now: Instant, details: bool = False) -> RunGraph:
    """``definition`` is the one that the run started with. ``details`` may hold user data: they go with the history."""
    nodes, edges = _statuses(definition, state, now)
    redaction = redaction_of(definition, state) if details else None
    shown = [_reached(step, nodes[step.name], state, redaction) for step in definition.steps]
    if COMPLETE in nodes:
        shown.append(_complete(nodes[COMPLETE]))
    return RunGraph(
        workflow=state.workflow,
        version=state.version,
        topology=definition.topology,
        roots=definition.roots,
        nodes=tuple(shown),
        edges=tuple(_shown(definition, link, edges[link.id]) for link in _links(definition)),
        run_id=state.run_id,
        status=state.status(now),
        as_of=to_datetime(now),
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """An edge before it has a status. ``route`` is None for a dependency."""

    id: str
    source: str
    target: str
    route: Route | None = None


def _links(definition: Definition) -> Iterator[_Link]:
    for id_, route in definition.route_ids():
        yield _Link(id_, route.source, route.target, route)
    for id_, before, step in definition.dependency_ids():
        yield _Link(id_, before, step)


# ------------------------------------------------------------------------------------------------------ statuses


def _statuses(
    definition: Definition, state: RunState, now: Instant
) -> tuple[dict[str, NodeStatus], dict[str, EdgeStatus]]:
    """Source before target, so that what was not reached follows from the edges that lead there."""
    selected = {route.edge for route in state.routes}
    arriving: dict[str, list[_Link]] = {}
    leaving: dict[str, list[_Link]] = {}
    for link in _links(definition):
        arriving.setdefault(link.target, []).append(link)
        leaving.setdefault(link.source, []).append(link)
    nodes: dict[str, NodeStatus] = {}
    edges: dict[str, EdgeStatus] = {}
    for name in _in_order(definition, arriving):
        incoming = [edges[link.id] for link in arriving.get(name, ())]
        reached = _status_where_reached(name, state, now)
        nodes[name] = reached or _status_where_not_reached(name, incoming, state)
        for link in leaving.get(name, ()):
            edges[link.id] = "selected" if link.id in selected else _edge_status(link, nodes[name], state)
    return nodes, edges


def _in_order(definition: Definition, arriving: dict[str, list[_Link]]) -> Iterator[str]:
    """Every step and ``complete``, each after all that lead to it. Workflows are acyclic."""
    names = [step.name for step in definition.steps]
    if COMPLETE in arriving:
        names.append(COMPLETE)
    waiting = {name: {link.source for link in arriving.get(name, ())} for name in names}
    done: set[str] = set()
    while waiting:
        left = len(waiting)
        for name in names:
            if name in waiting and waiting[name] <= done:
                del waiting[name]
                done.add(name)
                yield name
        if len(waiting) == left:
            raise ValueError(f"{definition.name}: steps that lead to each other in a circle")


def _status_where_reached(name: str, state: RunState, now: Instant) -> NodeStatus | None:
    runnable, gate = state.runnables.get(name), state.gates.get(name)
    if runnable is not None:
        return "compensated" if name in state.undone else _attempt_status(runnable, now)
    return None if gate is None else _gate_status(gate, state)


def _attempt_status(runnable: RunnableState, now: Instant) -> NodeStatus:
    match runnable.status:
        case "claimed":
            return "running"
        case "scheduled":
            return "retrying" if runnable.cause == "retry" and runnable.visible_at > now else "waiting"
        case "completed" | "failed" | "dead" | "cancelled":
            return runnable.status


def _gate_status(gate: GateState, state: RunState) -> NodeStatus:
    match gate.status:
        case "open":
            return "paused" if gate.kind in MANUAL_GATE else "waiting"
        case "approved" | "resumed" | "taken" | "ended":
            return "completed"
        case "rejected":
            return "failed" if state.failure_code == "rejected" and state.failure_step == gate.step else "completed"
        case "timed_out":
            return "failed"
        case "closed":
            return "cancelled"


def _status_where_not_reached(name: str, incoming: list[EdgeStatus], state: RunState) -> NodeStatus:
    if name == COMPLETE and "selected" in incoming and state.phase == "completed":
        return "completed"
    if "blocked" in incoming or state.phase != "open":
        return "blocked" if {"blocked", "pending", "selected"} & set(incoming) else "skipped"
    return "pending" if {"pending", "selected"} & set(incoming) else "skipped"


def _edge_status(link: _Link, source: NodeStatus, state: RunState) -> EdgeStatus:
    """Of an edge that no route was taken along."""
    if source in ("pending", "blocked", "skipped"):
        return source
    if source == "cancelled":
        return "blocked"
    if link.route is None:
        return _dependency_status(source)
    if source not in ("completed", "compensated", "failed"):
        return "blocked" if state.phase != "open" and source == "dead" else "pending"
    taken = any(other.source == link.source for other in state.routes)
    broke_here = state.failure_step == link.source and not taken
    return "blocked" if broke_here and source == "failed" and link.route.on == "ok" else "skipped"


def _dependency_status(source: NodeStatus) -> EdgeStatus:
    if source in ("completed", "compensated"):
        return "selected"
    return "blocked" if source in ("failed", "dead") else "pending"


# --------------------------------------------------------------------------------------------------------- values


def _reached(step: AnyStepSpec, status: NodeStatus, state: RunState, details: Redaction | None) -> GraphNode:
    undo = state.runnables.get(undo_of(step.name))
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
        compensation=undo.status if undo else None,
        details=_details(runnable, gate, details) if details is not None else None,
    )


def _details(runnable: RunnableState | None, gate: GateState | None, redaction: Redaction) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if runnable is not None:
        found |= {"queue": runnable.queue, "priority": runnable.priority, "fence": runnable.fence}
        if runnable.claim is not None:
            found |= {"owner": runnable.claim.owner, "claimed_at": to_datetime(runnable.claim.at)}
        if runnable.error is not None:
            found["error_message"] = redaction.text(runnable.error.message)
    if gate is not None:
        found["requested_at"] = to_datetime(gate.requested_at)
        if gate.decided_at is not None:
            found |= {"actor": gate.actor, "decided_at": to_datetime(gate.decided_at)}
    return found


def _node(step: AnyStepSpec, status: NodeStatus, **known: Any) -> GraphNode:
    policy = step.retry if isinstance(step, FunctionStep) else None
    return GraphNode(
        id=step.name,
        kind=step.kind,
        description=step.description,
        status=status,
        max_attempts=policy.max_attempts if policy else None,
        duration=step.duration if isinstance(step, WaitStep) else None,
        event=step.event if isinstance(step, EventStep) else None,
        **known,
    )


def _complete(status: NodeStatus) -> GraphNode:
    return GraphNode(id=COMPLETE, kind="complete", description="the run ends well", status=status)


def _shown(definition: Definition, link: _Link, status: EdgeStatus) -> GraphEdge:
    route = link.route
    return GraphEdge(
        id=link.id,
        source=link.source,
        target=link.target,
        on=route.on if route else "dependency",
        status=status,
        condition=_words(definition, route.when) if route and route.when is not None else None,
        recovery=route.recovery if route else None,
    )


def _words(definition: Definition, condition: Condition) -> str:
    """Where what is compared is secret, so is what it is compared with."""
    if condition.operator == "exists":
        return f"{condition.path} exists"
    if is_secret(condition.path, definition.secrets):
        return f"{condition.path} {condition.operator} {HIDDEN}"
    return f"{condition.path} {condition.operator} {json.dumps(condition.value, ensure_ascii=False)}"
