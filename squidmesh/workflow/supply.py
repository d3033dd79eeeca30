"""Whether every step can get what it asks for, and whether two steps write the same key.

Followed along the routes: what may be in the context when a step starts is the payload, and the outputs of the steps on
some way to it. Where a step merges an object whose keys are not known, nothing behind it can be known to be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from squidmesh.errors import Problem
from squidmesh.ids import undo_of
from squidmesh.workflow.definition import COMPLETE, FunctionStep, Outcome, Route
from squidmesh.workflow.shape import UNKNOWN, Shape
from squidmesh.workflow.signature import Signature


@dataclass(slots=True)
class Supply:
    """What may be in the context: by key, who writes it (``""`` is the payload) and in which shape. ``open``: anything
    else may be there too.
    """

    keys: dict[str, dict[str, Shape]] = field(default_factory=dict)
    open: bool = False

    def add(self, writer: str, written: Written) -> None:
        self.open = self.open or written.open
        for key, shape in written.keys.items():
            self.keys.setdefault(key, {})[writer] = shape

    def join(self, other: Supply) -> None:
        self.open = self.open or other.open
        for key, writers in other.keys.items():
            self.keys.setdefault(key, {}).update(writers)

    def copy(self) -> Supply:
        return Supply({key: dict(writers) for key, writers in self.keys.items()}, self.open)

    def may_have(self, path: str) -> bool:
        head, *rest = path.split(".")
        if head not in self.keys:
            return self.open
        return self.open or any(shape.may_have(tuple(rest)) for shape in self.keys[head].values())

    def __str__(self) -> str:
        return ", ".join(sorted(self.keys)) or "nothing"


@dataclass(frozen=True, slots=True)
class Written:
    """What one step, or the payload, puts into the context."""

    keys: Mapping[str, Shape]
    open: bool = False


UNDO_SEES = ("step_input", "step_output", "failure")
"""What a compensation can ask for besides the context."""
PAYLOAD = ""
REFUSED = ""
"""The path of an input or a condition that is a problem already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What there is to be checked. ``order`` is topological, ``places`` says where each route was written, ``after``
    what comes after what in a graph. ``functions`` holds compensations too, under the names of their runnables.
    """

    order: tuple[str, ...]
    routes: tuple[Route, ...]
    places: tuple[str, ...]
    payload: Written
    written: Mapping[str, Written]
    functions: Mapping[str, tuple[FunctionStep, Signature]]
    approvals: frozenset[str]
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check_supply(plan: Plan) -> Iterator[Problem]:
    """Every parameter, input path and condition that nothing can supply, and every key that is written twice."""
    if plan.after:
        yield from _check_graph(plan)
    else:
        yield from _check_path(plan)


def _check_graph(plan: Plan) -> Iterator[Problem]:
    leaving: dict[str, Supply] = {}
    writers: dict[str, str] = {}
    for name in plan.order:
        supply, written = Supply(), plan.written[name]
        supply.add(PAYLOAD, plan.payload)
        for before in plan.after[name]:
            supply.join(leaving[before])
        yield from _check_step(plan, name, supply)
        for key in written.keys:
            writer = writers.setdefault(key, name)
            if writer != name and writer not in supply.keys.get(key, {}):
                message = f"{key!r} is written by {writer} too, which may run at the same time; use another output key"
                yield Problem(path=f"steps.{name}.output", code="duplicate_output", message=message)
        leaving[name] = supply.copy()
        leaving[name].add(name, written)


def _check_step(plan: Plan, name: str, supply: Supply) -> Iterator[Problem]:
    """Its inputs, its output, and the inputs of what undoes it."""
    written = plan.written[name]
    if name in plan.functions:
        yield from _check_inputs(*plan.functions[name], supply, f"steps.{name}")
        yield from _check_concurrency(plan.functions[name][0], supply)
    yield from _check_outputs(name, written, supply)
    if undo_of(name) in plan.functions:
        after = supply.copy()
        after.add(name, written)
        after.add(name, Written(dict.fromkeys(UNDO_SEES, UNKNOWN)))
        yield from _check_inputs(*plan.functions[undo_of(name)], after, f"steps.{name}.compensate")


def _check_path(plan: Plan) -> Iterator[Problem]:
    supplies = {name: Supply() for name in plan.order}
    supplies[plan.order[0]].add(PAYLOAD, plan.payload)
    leaving: dict[str, list[tuple[str, Route]]] = {name: [] for name in plan.order}
    for place, route in zip(plan.places, plan.routes, strict=True):
        if route.source in leaving:
            leaving[route.source].append((place, route))
    for name in plan.order:
        supply, written = supplies[name], plan.written[name]
        yield from _check_step(plan, name, supply)
        for place, route in leaving[name]:
            after = supply.copy()
            if _is_written(route.on, name in plan.approvals):
                after.add(name, written)
            if route.when is not None and route.when.path != REFUSED and not after.may_have(route.when.path):
                message = f"nothing supplies {route.when.path!r} there; there is {after}"
                yield Problem(path=place, code="invalid_condition", message=message)
            if route.target != COMPLETE:
                supplies[route.target].join(after)


def _is_written(on: Outcome, is_approval: bool) -> bool:
    """A step that has failed has no output, nor has a gate that nobody answered; a rejection is a decision like any."""
    return on == "ok" or (on == "reject" and is_approval)


def _check_inputs(step: FunctionStep, signature: Signature, supply: Supply, at: str) -> Iterator[Problem]:
    for parameter in signature.parameters:
        if parameter.is_context:
            continue
        path = parameter.name if step.input is None else step.input.get(parameter.name)
        if path == REFUSED:
            continue
        if path is None and parameter.required:
            message = f"{parameter.name!r} has no default, and input= does not name it"
        elif path is not None and step.input is not None and not supply.may_have(path):
            message = f"nothing supplies {path!r}; there is {supply}"
            yield Problem(path=f"{at}.input.{parameter.name}", code="invalid_input_path", message=message)
            continue
        elif path is not None and parameter.required and not supply.may_have(path):
            message = f"{parameter.name!r} has no default, and nothing supplies it; there is {supply}"
        else:
            continue
        where = f"{at}.parameters.{parameter.name}"
        yield Problem(path=where, code="unsupplied_parameter", message=message)


def _check_concurrency(step: FunctionStep, supply: Supply) -> Iterator[Problem]:
    if step.concurrency_key is not None and not supply.may_have(step.concurrency_key):
        message = f"nothing supplies {step.concurrency_key!r}; there is {supply}"
        yield Problem(path=f"steps.{step.name}.concurrency_key", code="invalid_concurrency_key", message=message)


def _check_outputs(name: str, written: Written, supply: Supply) -> Iterator[Problem]:
    for key in written.keys:
        writers = supply.keys.get(key, {})
        if PAYLOAD in writers:
            message = f"{key!r} is a field of the payload, which no output may replace"
            yield Problem(path=f"steps.{name}.output", code="output_shadows_payload", message=message)
        elif writers:
            message = (
                f"{key!r} is written by {', '.join(writers)} already, earlier in the same run; use another output key"
            )
            yield Problem(path=f"steps.{name}.output", code="duplicate_output", message=message)
