"""The arrows of a workflow: whether they make a path that every run can follow, and where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from squidmesh.config import MAX_PAYLOAD_BYTES
from squidmesh.errors import InvalidInput, Problem
from squidmesh.workflow.authoring import (
    AnyStep,
    ApprovalDeclaration,
    Arrow,
    Complete,
    EventDeclaration,
    FunctionDeclaration,
    Routes,
    StepDeclaration,
)
from squidmesh.workflow.definition import COMPLETE, Condition, Operator, Recovery, Route, TopologyKind
from squidmesh.workflow.dependencies import is_graph, read_dependencies
from squidmesh.workflow.payload import require_json
from squidmesh.workflow.supply import REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """``places``: where each of ``routes`` was written (``flow[2]``). ``order``: every step after all that lead to it,
    and on a path ``entry`` first; both are None unless there is such an order. ``after``: in a graph, by step, what it
    comes after.
    """

    kind: TopologyKind = "path"
    routes: tuple[Route, ...] = ()
    places: tuple[str, ...] = ()
    entry: str | None = None
    order: tuple[str, ...] | None
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...]


def read_topology(flow: object, steps: Mapping[str, AnyStep]) -> Topology:
    """A graph where any step says what it comes after, else a path. Both at once is neither."""
    if not is_graph(steps):
        return read_flow(flow, steps)
    found = read_dependencies(steps)
    problems, order = found.problems, found.order
    if flow != ():
        message = "a workflow is a path (flow=) or a graph (after=), not both; say all of it in one of the two ways"
        problems, order = (*problems, Problem(path="flow", code="mixed_topology", message=message)), None
    return Topology(kind="graph", order=order, after=found.after, problems=problems)


def read_flow(flow: object, steps: Mapping[str, AnyStep]) -> Topology:
    """Every problem of the routes between ``steps`` (in declaration order)."""
    reader = _Reader(steps)
    for place, arrow in reader.arrows(flow):
        reader.read(place, arrow)
    entry, order = reader.path()
    return Topology(
        routes=tuple(route for _, route in reader.routes),
        places=tuple(place for place, _ in reader.routes),
        entry=entry,
        order=order,
        problems=tuple(reader.problems),
    )


class _Reader:
    def __init__(self, steps: Mapping[str, AnyStep]) -> None:
        self.steps = steps
        self.names = {id(step): name for name, step in reversed(list(steps.items()))}
        self.routes: list[tuple[str, Route]] = []
        self.problems: list[Problem] = []
        self.whole = True  # no arrow had to be left out: what no arrow reaches is truly unreachable

    def problem(self, path: str, code: str, message: str, *, warning: bool = False) -> None:
        self.problems.append(Problem(path=path, code=code, message=message, warning=warning))

    # ---------------------------------------------------------------------------------------------- each arrow

    def arrows(self, flow: object) -> list[tuple[str, Arrow]]:
        if isinstance(flow, Routes):
            return [("flow", arrow) for arrow in flow.arrows]
        if not isinstance(flow, tuple | list):
            self.problem("flow", "invalid_flow", f"{flow!r} is no route; allowed is one, or a tuple or list of them")
            self.whole = False
            return []
        found: list[tuple[str, Arrow]] = []
        for number, one in enumerate(flow):
            if isinstance(one, Routes):
                found.extend((f"flow[{number}]", arrow) for arrow in one.arrows)
            else:
                message = f"{one!r} is no route; allowed are a >> b, a.to(b), a.on_error(b), a.on_reject(b)"
                self.problem(f"flow[{number}]", "invalid_flow", message)
                self.whole = False
        return found

    def read(self, place: str, arrow: Arrow) -> None:
        """Adds the route if its ends are known; whatever else is wrong with it is one problem each."""
        source, target = self._source(place, arrow), self._target(place, arrow)
        if source is None or target is None:
            self.whole = False
            return
        self._check_outcome(place, source, arrow)
        when, recovery = self._condition(place, arrow), self._recovery(place, arrow)
        if target == source:
            self.problem(place, "self_route", f"{source} leads to itself; workflows have no cycles, use retry=")
            return
        route = Route(source=source, on=arrow.on, target=target, when=when, recovery=recovery)
        self._check_earlier(place, route)
        self.routes.append((place, route))

    def _source(self, place: str, arrow: Arrow) -> str | None:
        if isinstance(arrow.source, Complete):
            self.problem(place, "route_after_complete", "nothing follows complete: it ends the run")
            return None
        if not isinstance(arrow.source, StepDeclaration):
            return None  # refused already: it is the target of the arrow before, or a map's that is no step
        return self._name(place, arrow.source)

    def _target(self, place: str, arrow: Arrow) -> str | None:
        if isinstance(arrow.target, Complete):
            return COMPLETE
        if not isinstance(arrow.target, StepDeclaration):
            allowed = "allowed is a step of this workflow, or complete"
            self.problem(place, "unknown_target", f"{arrow.target!r} is no step; {allowed}")
            return None
        return self._name(place, arrow.target)

    def _name(self, place: str, step: StepDeclaration) -> str | None:
        name = self.names.get(id(step))
        if name is None:
            where = ", ".join(f"{owner.__name__}.{name}" for owner, name in step.places) or "in no workflow"
            message = f"a step is used that is declared elsewhere ({where}); allowed are steps of this class body"
            if not any(one.path == place and one.message == message for one in self.problems):
                self.problem(place, "foreign_step", message)
        return name

    def _condition(self, place: str, arrow: Arrow) -> Condition | None:
        if arrow.when is None:
            return None
        wrong = _what_is_wrong(arrow.when)
        if wrong is not None:
            self.problem(place, "invalid_condition", wrong)
            return _REFUSED
        return Condition(path=arrow.when.path, operator=arrow.when.operator, value=arrow.when.value)

    def _recovery(self, place: str, arrow: Arrow) -> Recovery | None:
        if arrow.recovery is None or arrow.recovery in get_args(Recovery):
            return arrow.recovery
        allowed = " or ".join(map(repr, get_args(Recovery)))
        self.problem(place, "invalid_recovery", f"recovery={arrow.recovery!r} is refused; allowed is {allowed}")
        return None

    def _check_outcome(self, place: str, source: str, arrow: Arrow) -> None:
        step = self.steps[source]
        if arrow.on == "error" and not isinstance(step, FunctionDeclaration):
            self.problem(place, "on_error_not_allowed", f"{source} can not fail; only function steps have error routes")
        if arrow.on == "reject" and not isinstance(step, ApprovalDeclaration):
            self.problem(place, "on_reject_not_allowed", f"{source} can not be rejected; only approvals can")
        if arrow.on == "timeout" and (
            not isinstance(step, ApprovalDeclaration | EventDeclaration) or step.timeout is None
        ):
            message = f"{source} waits for ever; only approvals and events with a timeout= have such a route"
            self.problem(place, "on_timeout_not_allowed", message)

    def _check_earlier(self, place: str, route: Route) -> None:
        for _, earlier in self.routes:
            if (earlier.source, earlier.on) != (route.source, route.on):
                continue
            what = f"{route.source} {route.on}"
            if earlier.when is None and route.when is None:
                message = f"on {what}, the run goes to {earlier.target} already; give one of the routes a condition"
                self.problem(place, "duplicate_route", message)
                return
            if earlier.when is None or (earlier.when == route.when and route.when is not _REFUSED):
                message = f"on {what}, the earlier route to {earlier.target} is always taken; put this one before it"
                self.problem(place, "unreachable_route", message)
                return

    # ------------------------------------------------------------------------------------------ all of them together

    def path(self) -> tuple[str | None, tuple[str, ...] | None]:
        """Entry and topological order, or Nones after saying why there are none."""
        self._check_fallbacks()
        after: dict[str, list[str]] = {name: [] for name in self.steps}
        before: dict[str, set[str]] = {name: set() for name in self.steps}
        for _, route in self.routes:
            if route.target != COMPLETE:
                after[route.source].append(route.target)
                before[route.target].add(route.source)
        cycle = _cycle(after)
        if cycle:
            self.problem("flow", "cycle", f"{' -> '.join(cycle)}: a workflow must come to an end; use retry= to repeat")
        entry = self._entry(after, before) if self.whole else None
        if entry is None:
            return None, None
        reached = _reached(entry, after)
        for name in self.steps:
            if name not in reached:
                self.problem(f"steps.{name}", "unreachable_step", f"no route from {entry}, the first step, leads here")
        return (None, None) if cycle else (entry, _ordered(entry, after))

    def _check_fallbacks(self) -> None:
        ok: dict[str, list[Route]] = {}
        for _, route in self.routes:
            if route.on == "ok":
                ok.setdefault(route.source, []).append(route)
        for source, routes in ok.items():
            if all(route.when is not None for route in routes):
                message = "all ok routes have conditions; where none holds, the run fails (no_matching_transition)"
                self.problem(f"steps.{source}", "no_fallback_route", message, warning=True)

    def _entry(self, after: Mapping[str, Sequence[str]], before: Mapping[str, set[str]]) -> str | None:
        untargeted = [name for name in self.steps if not before[name]]
        leading = [name for name in untargeted if after[name]]
        candidates = leading or untargeted  # a step with no route at all is unreachable, where others have routes
        if len(candidates) > 1:
            names = ", ".join(candidates)
            self.problem("flow", "several_entries", f"no route leads to any of {names}; a run has one first step")
        return candidates[0] if len(candidates) == 1 else None


_REFUSED: Final = Condition(path=REFUSED, operator="exists")
"""Stands where a condition was refused, so that the routes are still complete."""


def _what_is_wrong(when: object) -> str | None:
    if not isinstance(when, Condition):
        return f'when={when!r} is no condition; allowed is a comparison such as value("route.kind") == "road"'
    path: object = when.path
    if not isinstance(path, str) or not all(path.split(".")):
        return f"{path!r} is no path; allowed are keys with dots between them"
    if when.operator not in get_args(Operator):
        return f"{when.operator!r} is no comparison; allowed are {', '.join(get_args(Operator))}"
    if when.operator == "in" and not isinstance(when.value, list):
        return f"in_({when.value!r}) is refused; allowed is a list"
    if when.operator in (">", "<") and (isinstance(when.value, bool) or not isinstance(when.value, int | float | str)):
        return f"{when.operator} {when.value!r} is refused; allowed is a number or a text"
    try:
        require_json(when.value, field="the operand", limit=MAX_PAYLOAD_BYTES, error=InvalidInput)
    except InvalidInput as error:
        return str(error)
    return None


def _cycle(after: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle, its first step at both ends, or nothing."""
    done: set[str] = set()
    for start in after:
        trail: list[str] = []
        todo = [(start, iter(after[start]))] if start not in done else []
        while todo:
            name, nexts = todo[-1]
            if not trail or trail[-1] != name:
                trail.append(name)
            following = next((one for one in nexts if one not in done), None)
            if following is None:
                done.add(name)
                todo.pop()
                trail.pop()
            elif following in trail:
                return [*trail[trail.index(following) :], following]
            else:
                todo.append((following, iter(after[following])))
    return []


def _reached(entry: str, after: Mapping[str, Sequence[str]]) -> set[str]:
    reached, todo = {entry}, [entry]
    while todo:
        for name in after[todo.pop()]:
            if name not in reached:
                reached.add(name)
                todo.append(name)
    return reached


def _ordered(entry: str, after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The steps that ``entry`` reaches, each after all that lead to it. There is no cycle."""
    reached = _reached(entry, after)
    waiting_for = dict.fromkeys(reached, 0)
    for name in reached:
        for following in after[name]:
            waiting_for[following] += 1
    order, ready = [], [entry]
    while ready:
        name = ready.pop()
        order.append(name)
        for following in after[name]:
            waiting_for[following] -= 1
            if not waiting_for[following]:
                ready.append(following)
    return tuple(order)
