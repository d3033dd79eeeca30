"""The workflows and actions that a mesh knows. A step's function is found here and nowhere else (protocol 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter

from squidmesh.errors import InvalidInput, NotFound, Problem, WorkflowError
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Trigger, Workflow, name_of
from squidmesh.workflow.definition import Definition, FunctionStep
from squidmesh.workflow.mapping import BoundStep
from squidmesh.workflow.schema import model_of
from squidmesh.workflow.secret import Marks, marks_of
from squidmesh.workflow.settings import Problems
from squidmesh.workflow.validation import Examination, examine


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWorkflow:
    """``source``: the class that says it; None of one that was made at run time. ``triggers``: the payload model of
    each, and ``marks``: where that has secrets. ``steps``: the function steps of a class, ready to be called.
    ``warnings``: what validation found odd, but let pass.
    """

    name: str
    source: type[Workflow] | None
    definition: Definition
    triggers: Mapping[str, type[BaseModel]]
    marks: Mapping[str, Marks]
    steps: Mapping[str, BoundStep]
    warnings: tuple[Problem, ...]


Standing = Literal["here", "missing", "disabled"]
"""Of a step's function in this process."""


class Registry:
    """Immutable, but for the host's ``actions``; safe to share between threads."""

    def __init__(self, workflows: Iterable[type[Workflow]], actions: Actions | None = None) -> None:
        """Raises one :class:`WorkflowError` with the problems of all workflows; if several are broken, each path starts
        with the name of its workflow.
        """
        self.actions: Final = Actions() if actions is None else actions
        self._by_name: dict[str, RegisteredWorkflow] = {}
        self._classes: dict[type, str] = {}
        broken: list[tuple[str, tuple[Problem, ...]]] = []
        seen: set[str] = set()
        for workflow in workflows:
            name, found = self._register(workflow, seen)
            seen.add(name)
            if found:
                broken.append((name, found))
        if len(broken) == 1:
            raise WorkflowError(*broken[0])
        if broken:
            together = (replace(one, path=f"{name}.{one.path}") for name, found in broken for one in found)
            raise WorkflowError(", ".join(dict.fromkeys(name for name, _ in broken)), tuple(together))

    def _register(self, workflow: type[Workflow], seen: set[str]) -> tuple[str, tuple[Problem, ...]]:
        given: object = workflow
        if not (isinstance(given, type) and issubclass(given, Workflow)):
            message = f"{workflow!r} is no workflow; allowed is a subclass of Workflow"
            return repr(workflow), (Problem(path="workflows", code="not_a_workflow", message=message),)
        name = name_of(workflow)
        examined = examine(workflow)
        problems = tuple(problem for problem in examined.problems if not problem.warning)
        if name in seen:
            message = f"another workflow is registered as {name!r}; set name= in one of them"
            problems = (*problems, Problem(path="name", code="duplicate_workflow", message=message))
        if not problems:
            self._classes[workflow] = name
            self._by_name[name] = _registered(workflow, examined)
        return name, problems

    def get(self, name: str) -> RegisteredWorkflow | None:
        """The workflow of that name, if it is registered."""
        return self._by_name.get(name)

    def calling(self, substitute: Callable[[str, BoundStep], Callable[..., Any]]) -> Registry:
        """The same workflows, calling what ``substitute`` gives for a workflow's name and step. What a run remembers of
        its definition is the same too: a rehearsal, not another version.
        """
        found = Registry((), self.actions)
        found._classes = self._classes
        found._by_name = {
            name: replace(
                known,
                steps=MappingProxyType(
                    {step: bound.calling(substitute(name, bound)) for step, bound in known.steps.items()}
                ),
            )
            for name, known in self._by_name.items()
        }
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of registration."""
        return tuple(self._by_name)

    def bound(self, workflow: str, step: FunctionStep) -> BoundStep | None:
        """Today's function of a step, bound as the definition says that a run started with (protocol 3.10); None where
        there is none here. Whether an action is enabled is asked of :meth:`standing`.
        """
        if step.action is not None:
            action = self.actions.get(step.action)
            return None if action is None else BoundStep(step, action.fn, action.signature, isolation=action.isolation)
        registered = self.get(workflow)
        today = registered.steps.get(step.name) if registered is not None else None
        return None if today is None else today.pinned_to(step)

    def standing(self, workflow: str, step: FunctionStep) -> Standing:
        """Whether an attempt at that step can be taken on here, now."""
        if step.action is not None:
            action = self.actions.get(step.action)
            return "missing" if action is None else "here" if action.enabled else "disabled"
        registered = self.get(workflow)
        return "here" if registered is not None and step.name in registered.steps else "missing"

    @property
    def is_transactional(self) -> bool:
        """Whether some step writes in the journal's own transaction."""
        return any(found.definition.is_transactional for found in self._by_name.values())

    def of(self, target: type[Workflow] | Trigger[Any] | str) -> RegisteredWorkflow:
        """The workflow that is meant by its class, its name, or one of its triggers; :class:`NotFound` otherwise."""
        found = self._by_name.get(target) if isinstance(target, str) else None
        if not isinstance(target, str):
            workflow = target.workflow if isinstance(target, Trigger) else target
            found = self._by_name.get(self._classes.get(workflow, ""))
        if found is None:
            known = ", ".join(self._by_name) or "none"
            raise NotFound(f"{target!r} is not registered; registered are: {known}", field="workflow")
        return found


def _registered(source: type[Workflow], examined: Examination) -> RegisteredWorkflow:
    definition = examined.definition
    assert definition is not None  # there were no problems
    return RegisteredWorkflow(
        name=definition.name,
        source=source,
        definition=definition,
        triggers=MappingProxyType(dict(examined.payloads)),
        marks=MappingProxyType({name: marks_of(TypeAdapter(model)) for name, model in examined.payloads.items()}),
        steps=MappingProxyType(
            {
                name: BoundStep(
                    step, *examined.functions[name], isolation="process" if name in examined.isolated else None
                )
                for name, step in definition.steps_by_name.items()
                if step.kind == "function"
            }
        ),
        warnings=examined.problems,
    )


def registered_draft(definition: Definition) -> RegisteredWorkflow:
    """One that was made at run time, from its definition alone: what it takes to start it. ``InvalidInput`` where its
    payload's schema is of a newer version.
    """
    problems = Problems()
    triggers = {
        trigger.name: model_of(trigger.payload_schema, path=f"triggers.{trigger.name}", problems=problems)
        for trigger in definition.triggers
    }
    if problems.fatal:
        raise InvalidInput("; ".join(map(str, problems.found)), field=f"workflow {definition.name}")
    return RegisteredWorkflow(
        name=definition.name,
        source=None,
        definition=definition,
        triggers=MappingProxyType(triggers),
        marks=MappingProxyType({name: marks_of(TypeAdapter(model)) for name, model in triggers.items()}),
        steps=MappingProxyType({}),
        warnings=(),
    )
