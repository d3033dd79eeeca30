"""A workflow as an editor's map, and back: ``to_map``, edit, ``from_map``, look at its problems, draw it.

The map is JSON: the normalised definition without what follows from the rest of it (``entry``, ``topology``,
``payload_fields``), and with the names of actions where a class body has functions. Reading one finds *all* problems,
by the same rules as those of a class body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from squidmesh.errors import Problem
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.map_reader import (
    FIELDS,
    FIELDS_OF_COMPENSATION,
    FIELDS_OF_CONDITION,
    FIELDS_OF_ROUTE,
    MapReader,
    fields_of_step,
    fields_of_trigger,
)
from squidmesh.workflow.validation import examine_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a map says. ``definition`` is None if any problem is more than a warning. ``sketch`` is what can be drawn
    all the same (:func:`squidmesh.preview_graph`), with what was refused left out; None where there is nothing.
    """

    name: str
    problems: tuple[Problem, ...]
    definition: Definition | None
    sketch: Definition | None

    def accused(self, *problems: Problem) -> Draft:
        """The same with more problems."""
        if not problems:
            return self
        return replace(self, problems=(*self.problems, *problems), definition=None)

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """The problems without the warnings."""
        return tuple(problem for problem in self.problems if not problem.warning)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "valid": self.definition is not None,
            "fingerprint": None if self.definition is None else self.definition.fingerprint,
            "problems": [
                {"path": one.path, "code": one.code, "message": one.message, "warning": one.warning}
                for one in self.problems
            ],
        }


def from_map(data: object, actions: Actions) -> Draft:
    """The workflow that a map says, with the functions that ``actions`` has now. Never raises for its faults."""
    reader = MapReader(actions)
    body = reader.read(data)
    if body is None:
        return Draft(name="", problems=reader.problems.found, definition=None, sketch=None)
    examined = examine_body(body)
    draft = Draft(
        name=examined.name,
        problems=tuple(map(_as_in_map, examined.problems)),
        definition=examined.definition,
        sketch=examined.sketch,
    )
    return draft.accused(*reader.problems.found)


def _as_in_map(problem: Problem) -> Problem:
    """What a class body calls otherwise."""
    head, dot, rest = problem.path.partition(".")
    if head.startswith("flow"):
        head = head.replace("flow", "routes", 1)
    return replace(problem, path=f"{head}{dot}{rest.replace('.compensate_', '.compensate.')}")


def to_map(definition: Definition) -> dict[str, Any]:
    """What an editor may change, as JSON of its own. For a definition from a class its function steps name no action
    yet: that is for whoever moves it to run time to add.
    """
    spec = definition.model_dump(mode="json")
    return _said(spec, FIELDS) | {
        "triggers": [_trigger(trigger) for trigger in spec["triggers"]],
        "steps": [_step(step) for step in spec["steps"]],
        "routes": [_route(route) for route in spec["routes"]],
    }


def _trigger(spec: Mapping[str, Any]) -> dict[str, Any]:
    said = _said(spec, fields_of_trigger(spec["kind"]))
    if said.get("missed") == "skip":  # it has no bound of its own to say
        said.pop("missed_within", None)
    return said


def _step(spec: Mapping[str, Any]) -> dict[str, Any]:
    said = _said(spec, fields_of_step(spec["kind"]))
    if "compensate" in said:
        said["compensate"] = _said(said["compensate"], FIELDS_OF_COMPENSATION)
    return said


def _route(spec: Mapping[str, Any]) -> dict[str, Any]:
    said = _said(spec, FIELDS_OF_ROUTE)
    if "when" in said:
        said["when"] = {name: said["when"][name] for name in FIELDS_OF_CONDITION}
    return said


def _said(spec: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """In the order of ``names``, without what is not set."""
    return {name: spec[name] for name in names if spec[name] is not None and spec[name] not in ("", [])}
