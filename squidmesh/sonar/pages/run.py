"""One run: why it stands where it stands, its graph, its steps, when they worked, and what may be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from squidmesh import CorruptHistory, Definition, Mesh, NotFound, Run, RunGraph, RunPruned
from squidmesh.sonar import graph_picture, timeline
from squidmesh.sonar.deeds import DEEDS, offered
from squidmesh.sonar.house import Ask
from squidmesh.sonar.live import Topic

MOST_EVENTS = 300
"""Facts of the history that are shown, the newest ones."""
_MOST_CHILDREN, _DEEPEST = 60, 4
_ALARMS = {
    **dict.fromkeys(("dead_letter", "corrupt_history", "compensation_failed", "failing"), "says-bad"),
    **dict.fromkeys(
        ("approval", "pause", "queue_paused", "missing_step", "disabled_action", "redelivery"), "says-warn"
    ),
}
"""What the diagnosis looks like, where it is more urgent than the run's status says."""
_TOLD = {
    **{verb: deed.said for verb, deed in DEEDS.items()},
    "start": "Started.",
    "replay-dead-letter": "The dead letter went back to work.",
    "discard-dead-letter": "The dead letter was given up for good.",
}
"""What was done a moment ago, by the word that the address has of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A child run in the tree. ``status`` as its own history has it, where that may be seen."""

    run_id: str
    workflow: str
    step: str
    key: str
    status: str | None
    visible: bool
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a step does about failure. Retries and routes are of the run's own definition; the rest where today's is
    the same one.
    """

    step: str
    tries: int | None
    backoff: str | None
    routes: tuple[str, ...]
    compensated_by: str | None
    warning: str | None


def digest_of(run: Run) -> str:
    return f"{run.revision}-{run.status}"


def topic(ask: Ask, run_id: str) -> Topic:
    run = ask.run(run_id)
    return Topic(f"run {run.run_id}", lambda: digest_of(ask.mesh.inspect_run(run.run_id)))


def show(ask: Ask, run_id: str) -> Response:
    run = ask.run(run_id, history=True)
    graph = _graph(ask.mesh, run)
    why = ask.mesh.explain_run(run.run_id)
    history = run.history or ()
    newest = history[-MOST_EVENTS:]
    return ask.write(
        "run",
        section="runs",
        topic=f"runs/{run.run_id}",
        seen=digest_of(run),
        run=run,
        told=_TOLD.get(ask.query("done") or ""),
        why=why,
        graph=graph,
        picture=None if graph is None else graph_picture.draw(graph, name=f"Graph of {run.workflow}, {run.status}"),
        timeline=timeline.draw(run),
        alarm=_ALARMS.get(why.reason, ""),
        steps=_steps(run, graph),
        deeds=offered(run) if ask.visitor.may_act else [],
        recovery=() if graph is None else tuple(_recovery(graph, _same_definition(ask.mesh, run))),
        children=tuple(_children(ask, run, 0, [_MOST_CHILDREN])),
        events=[event for event in history if event.kind in ("EventReceived", "EventTaken", "EventAwaited")],
        history=[(event, _shown(event.details)) for event in reversed(newest)],
        older=len(history) - len(newest),
        failures=_failures(run),
        now=run.as_of,
    )


def _graph(mesh: Mesh, run: Run) -> RunGraph | None:
    """None where the history can not be read: the diagnosis says so."""
    try:
        return mesh.inspect_run_graph(run.run_id, history=True)
    except CorruptHistory:
        return None


def _steps(run: Run, graph: RunGraph | None) -> list[Any]:
    """Its attempts and gates, as their steps are declared; compensations behind them."""
    places = {} if graph is None else {node.id: place for place, node in enumerate(graph.nodes)}
    return sorted([*run.attempts, *run.gates], key=lambda one: places.get(one.step, len(places)))


def _same_definition(mesh: Mesh, run: Run) -> Definition | None:
    """That of today, where the run is pinned to the same."""
    started = next((event.details.get("fingerprint") for event in run.history or ()), None)
    try:
        found = mesh.workflow_definition(run.workflow)
    except NotFound:
        return None
    return found if found.fingerprint == started else None


def _recovery(graph: RunGraph, definition: Definition | None) -> Iterator[Recovery]:
    for node in graph.nodes:
        step = None if definition is None else definition.steps_by_name.get(node.id)
        routes = tuple(
            f"{edge.on} leads to {edge.target}" + (f", as {edge.recovery}" if edge.recovery else "")
            for edge in graph.edges
            if edge.source == node.id and edge.on not in ("ok", "dependency")
        )
        retry, compensate = getattr(step, "retry", None), getattr(step, "compensate", None)
        warning = None
        if getattr(step, "irreversible", False):
            warning = "can not be undone"
        elif not getattr(step, "compensatable", True):
            warning = "can not be compensated"
        if node.max_attempts or routes or compensate is not None or warning:
            yield Recovery(
                step=node.id,
                tries=node.max_attempts,
                backoff=None if retry is None or retry.backoff is None else _backoff(retry.backoff),
                routes=routes,
                compensated_by=None if compensate is None else compensate.description or "a function of its own",
                warning=warning,
            )


def _backoff(backoff: Any) -> str:
    said = backoff.model_dump(mode="json")
    kind = said.pop("kind", type(backoff).__name__.lower())
    words = [
        f"{name} {value:g} s" if isinstance(value, int | float) else f"{name} {value}" for name, value in said.items()
    ]
    return f"{kind} ({', '.join(words)})"


def _children(ask: Ask, run: Run, depth: int, room: list[int]) -> Iterator[Branch]:
    """Down to a few levels, and not more than can be looked at; each only as far as the visitor may see."""
    for child in run.children:
        if room[0] <= 0:
            return
        room[0] -= 1
        below: Run | None = None
        try:
            below = ask.mesh.inspect_run(child.run_id)
        except (NotFound, RunPruned):
            below = None
        visible = below is not None and ask.visitor.sees(below.queue)
        yield Branch(
            run_id=child.run_id,
            workflow=child.workflow,
            step=child.step,
            key=child.key,
            status=below.status if below is not None and visible else child.status,
            visible=visible,
            depth=depth,
        )
        if below is not None and visible and depth + 1 < _DEEPEST:
            yield from _children(ask, below, depth + 1, room)


def _shown(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value not in (None, {}, []) and name != "run_id"}


def _failures(run: Run) -> list[tuple[str, str, str, str]]:
    """Step, code, type and text of each attempt's newest failure, as far as the mesh shows them."""
    return [
        (one.step, one.last_error, one.last_error_type or "", one.last_error_message or "")
        for one in run.attempts
        if one.last_error is not None
    ]
