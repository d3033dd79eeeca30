"""What comes after what: whether the ``after=`` of the steps make a graph that every run can go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from squidmesh.errors import Problem
from squidmesh.workflow.authoring import AnyStep, StepDeclaration


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """``after``: by step, the steps that it comes after. ``order``: every step after those; None in a circle."""

    after: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...] | None
    problems: tuple[Problem, ...]


def is_graph(steps: Mapping[str, AnyStep]) -> bool:
    """Whether any step says what it comes after."""
    return any(not (isinstance(step.after, tuple | list) and not step.after) for step in steps.values())


def read_dependencies(steps: Mapping[str, AnyStep]) -> Dependencies:
    """Every problem of every ``after=`` (steps in declaration order)."""
    names = {id(step): name for name, step in reversed(list(steps.items()))}
    problems: list[Problem] = []
    after = {name: _read(name, step.after, names, problems) for name, step in steps.items()}
    order = order_of(after)
    if order is None:
        cycle = " -> ".join(cycle_in(after))
        message = f"{cycle}: a workflow must come to an end; use retry= to repeat"
        problems.append(Problem(path="steps", code="cycle", message=message))
    return Dependencies(after=after, order=order, problems=tuple(problems))


def _read(name: str, given: object, names: Mapping[int, str], problems: list[Problem]) -> tuple[str, ...]:
    path = f"steps.{name}.after"

    def problem(code: str, message: str) -> None:
        problems.append(Problem(path=path, code=code, message=message))

    if isinstance(given, StepDeclaration) or not isinstance(given, tuple | list):
        problem("invalid_after", f"{given!r} is refused; allowed is a list of steps, as in after=[march, rally]")
        return ()
    found: dict[str, None] = {}
    for one in given:
        before = names.get(id(one))
        if not isinstance(one, StepDeclaration):
            problem("unknown_dependency", f"{one!r} is no step; allowed are steps of this workflow")
        elif before is None:
            where = ", ".join(f"{owner.__name__}.{attribute}" for owner, attribute in one.places) or "in no workflow"
            message = f"a step is used that is declared elsewhere ({where}); allowed are steps of this class body"
            problem("foreign_step", message)
        elif before in found:
            problem("duplicate_dependency", f"{before} is there twice; once is enough")
        else:
            found[before] = None
    return tuple(found)


def order_of(after: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """Every step after all that it comes after, in declaration order otherwise; None where they come in a circle."""
    order: dict[str, None] = {}
    waiting = dict(after)
    while waiting:
        left = len(waiting)
        for name, befores in after.items():  # a class body is in order already: one round, then
            if name in waiting and all(before in order for before in befores):
                del waiting[name]
                order[name] = None
        if len(waiting) == left:
            return None
    return tuple(order)


def cycle_in(after: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One circle, its first step at both ends; there is one."""
    left = dict(after)
    while True:  # what depends on nothing that is left is in no circle
        free = [name for name, befores in left.items() if not any(before in left for before in befores)]
        if not free:
            break
        for name in free:
            del left[name]
    trail = [next(iter(left))]
    while True:
        before = next(one for one in left[trail[-1]] if one in left)
        if before in trail:
            return [before, *reversed(trail[trail.index(before) :])]
        trail.append(before)
