"""Whether every step can get what it asks for, and whether two steps write the same key.

Followed along the routes: what may be in the context when a step starts is the payload, and the outputs of the steps on
some way to it. Where a step merges an object whose keys are not known, nothing behind it can be known to be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from squidmesh.errors import Problem
from squidmesh.workflow.definition import COMPLETE, FunctionStep, Outcome, Route
from squidmesh.workflow.shape import Shape
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


PAYLOAD = ""
REFUSED = ""
"""The path of an input or a condition that is a problem already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What there is to be checked. ``order`` is topological, ``places`` says where each route was written."""

    order: tuple[str, ...]
    routes: tuple[Route, ...]
    places: tuple[str, ...]
    payload: Written
    written: Mapping[str, Written]
    functions: Mapping[str, tuple[FunctionStep, Signature]]
    approvals: frozenset[str]


def check_supply(plan: Plan) -> Iterator[Problem]:
    """Every parameter, input path and condition that nothing can supply, and every key that is written twice."""
    supplies = {name: Supply() for name in plan.order}
    supplies[plan.order[0]].add(PAYLOAD, plan.payload)
    leaving: dict[str, list[tuple[str, Route]]] = {name: [] for name in plan.order}
    for place, route in zip(plan.places, plan.routes, strict=True):
        if route.source in leaving:
            leaving[route.source].append((place, route))
    for name in plan.order:
        supply, written = supplies[name], plan.written[name]
        if name in plan.functions:
            yield from _check_inputs(*plan.functions[name], supply)
            yield from _check_concurrency(plan.functions[name][0], supply)
        yield from _check_outputs(name, written, supply)
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
    """A step that has failed has no output; a rejection is a decision like any other."""
    return on == "ok" or is_approval


def _check_inputs(step: FunctionStep, signature: Signature, supply: Supply) -> Iterator[Problem]:
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
            yield Problem(path=f"steps.{step.name}.input.{parameter.name}", code="invalid_input_path", message=message)
            continue
        elif path is not None and parameter.required and not supply.may_have(path):
            message = f"{parameter.name!r} has no default, and nothing supplies it; there is {supply}"
        else:
            continue
        where = f"steps.{step.name}.parameters.{parameter.name}"
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
