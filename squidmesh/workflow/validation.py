"""All that is wrong with a workflow, at once, and its definition if nothing is.

Each check adds its problems and goes on with a value that could have stood there, so that nothing is refused a second
time for its consequences.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, assert_never

from pydantic import BaseModel

from squidmesh.errors import Problem, WorkflowError
from squidmesh.ids import is_identifier, is_step_name, undo_of, undone_by
from squidmesh.redaction import is_secret
from squidmesh.workflow.authoring import (
    AnyStep,
    ApprovalDeclaration,
    ChildrenDeclaration,
    Cron,
    EventDeclaration,
    FunctionDeclaration,
    LogDeclaration,
    PauseDeclaration,
    Trigger,
    WaitDeclaration,
    Workflow,
    declarations_in,
    declared,
    name_of,
)
from squidmesh.workflow.cron_settings import read_cron
from squidmesh.workflow.definition import (
    COMPLETE,
    AnyStepSpec,
    ApprovalStep,
    ChildrenStep,
    CronTrigger,
    Definition,
    EventStep,
    FunctionStep,
    ManualTrigger,
    PauseStep,
)
from squidmesh.workflow.isolation import isolation_problems
from squidmesh.workflow.settings import (
    Problems,
    read_approval,
    read_children,
    read_compensation,
    read_event,
    read_function,
    read_log,
    read_payload,
    read_timeout,
    read_wait,
)
from squidmesh.workflow.shape import UNKNOWN
from squidmesh.workflow.signature import Signature
from squidmesh.workflow.supply import Plan, Written, check_supply
from squidmesh.workflow.topology import Topology, read_topology

_RESERVED = (COMPLETE, "version", "name", "flow", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """``definition`` is None if any problem is more than a warning; ``sketch`` is there all the same, as far as it can
    be drawn, with what was refused left out. The rest is what a registry needs besides.
    """

    name: str
    problems: tuple[Problem, ...]
    definition: Definition | None
    sketch: Definition | None = None
    payloads: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    functions: Mapping[str, tuple[Callable[..., Any], Signature]] = field(default_factory=dict)
    isolated: frozenset[str] = frozenset()
    """The steps that run in a process of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A workflow as it was said, before anything is judged: by a class body, or by an editor's map. ``owner`` is the
    class. ``descriptions``: by runnable, those that are not the function's own.
    """

    owner: type[Workflow] | None
    name: object
    version: object
    description: str
    timeout: object
    flow: object
    declared: tuple[tuple[str, AnyStep | Trigger[Any]], ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)


def problems_of(workflow: type[Workflow]) -> tuple[Problem, ...]:
    """Every problem and warning, each with a dotted path, a stable code and a sentence."""
    return examine(workflow).problems


def define(workflow: type[Workflow]) -> Definition:
    """The normalised definition; :class:`WorkflowError` with every problem (warnings aside) if there is any."""
    examined = examine(workflow)
    if examined.definition is None:
        raise WorkflowError(examined.name, tuple(one for one in examined.problems if not one.warning))
    return examined.definition


def examine(workflow: type[Workflow]) -> Examination:
    """Problems, definition, payload models and functions of a workflow, in one pass. Never raises for its faults."""
    problems = Problems()
    if _check_bases(workflow, problems):
        _check_header(body_of(workflow), problems)
        return Examination(name=name_of(workflow), problems=problems.found, definition=None)
    return replace(examine_body(body_of(workflow)), name=name_of(workflow))


def body_of(workflow: type[Workflow]) -> Body:
    """What the class says."""
    return Body(
        owner=workflow,
        name=getattr(workflow, "name", None) or workflow.__name__,
        version=getattr(workflow, "version", None),
        description=inspect.cleandoc(vars(workflow).get("__doc__") or ""),
        timeout=getattr(workflow, "timeout", None),
        flow=vars(workflow).get("flow", ()),
        declared=declared(workflow),
    )


def examine_body(body: Body) -> Examination:
    """The same of a workflow that no class may have said: there is one set of rules."""
    problems = Problems()
    timeout = _check_header(body, problems)
    parts = _Parts(body, problems)
    topology = read_topology(body.flow, parts.steps)
    problems.extend(topology.problems)
    _check_supply(parts, topology, problems)
    _check_shared_secrets(parts, problems)
    sketch = _definition(body, timeout, parts, topology)
    return Examination(
        name=sketch.name,
        problems=problems.found,
        definition=None if problems.fatal else sketch,
        sketch=sketch,
        payloads={name: trigger.payload for name, trigger in parts.triggers.items()},
        functions={name: (parts.fn(name), signature) for name, signature in parts.signatures.items()},
        isolated=frozenset(parts.isolated),
    )


# --------------------------------------------------------------------------------------------------------- header


def _check_header(body: Body, problems: Problems) -> timedelta | None:
    """The timeout of the whole run, if it has one. A step or trigger that has taken one of these names is a problem of
    its own.
    """
    allowed = "allowed are 1 to 128 of A-Z a-z 0-9 . _ -"
    if body.version is None:
        problems.add(
            "version", "missing_version", f'a workflow says which version it is, as in version = "1"; {allowed}'
        )
    elif not _is_declaration(body.version) and not is_identifier(body.version):
        problems.add("version", "invalid_version", f"{body.version!r} is refused; {allowed}")
    if not _is_declaration(body.name) and not is_identifier(body.name):
        problems.add("name", "invalid_name", f"{body.name!r} is refused; {allowed}")
    return read_timeout("timeout", None if _is_declaration(body.timeout) else body.timeout, problems)


def _is_declaration(value: object) -> bool:
    return isinstance(value, AnyStep | Trigger)


def _check_bases(workflow: type[Workflow], problems: Problems) -> bool:
    parents = [base.__name__ for base in workflow.__mro__[1:] if declarations_in(base)]
    if parents:
        message = (
            f"{', '.join(parents)} has steps or triggers of its own; a workflow declares all of them in one class body"
        )
        problems.add("bases", "inherited_workflow", message)
    return bool(parents)


# ---------------------------------------------------------------------------------------------------------- parts


class _Parts:
    """The declarations of a body, read one by one."""

    def __init__(self, body: Body, problems: Problems) -> None:
        self.owner = body.owner
        self.problems = problems
        self.triggers: dict[str, Trigger[Any]] = {}
        self.steps: dict[str, AnyStep] = {}
        self.trigger_specs: list[ManualTrigger | CronTrigger] = []
        self.step_specs: list[AnyStepSpec] = []
        self.signatures: dict[str, Signature] = {}
        self.isolated: set[str] = set()
        self.payload = Written({}, open=False)
        self.written: dict[str, Written] = {}
        for name, it in body.declared:
            if isinstance(it, Trigger):
                self._read_trigger(name, it)
            else:
                self._read_step(name, it)
        if not self.triggers:
            problems.add(
                "triggers", "no_trigger", "nothing can start a run; declare one, as in start = manual(Payload)"
            )
        if not self.steps:
            problems.add("steps", "no_steps", "a workflow has at least one step")

    def fn(self, name: str) -> Callable[..., Any]:
        """Of a step, or of a compensation."""
        undone = undone_by(name)
        step = self.steps[undone or name]
        assert isinstance(step, FunctionDeclaration)  # only those have a signature
        if undone is None:
            return step.fn
        assert step.compensate is not None  # as above
        return step.compensate

    def _check_isolation(self, path: str, step: FunctionDeclaration, spec: FunctionStep, signature: Signature) -> None:
        """Of an action, what can be imported was judged when the host added it."""
        self.problems.extend(
            isolation_problems(
                f"{path}.isolation",
                step.isolation,
                source=self.owner,
                signature=signature,
                transaction=spec.transaction,
            )
        )
        if step.isolation == "process":
            self.isolated.add(spec.name)

    def _read_trigger(self, name: str, trigger: Trigger[Any]) -> None:
        path = f"triggers.{name}"
        self.triggers[name] = trigger
        self._check_name(path, name, "trigger")
        self._check_place(path, name, trigger, "trigger")
        spec: ManualTrigger | CronTrigger
        spec, written = read_payload(path, name, trigger.payload, self.problems)
        if isinstance(trigger, Cron):
            spec = read_cron(path, trigger, spec, self.problems)
        self.trigger_specs.append(spec)
        keys = {**self.payload.keys, **written.keys}
        shared = self.payload.keys.keys() & written.keys.keys()
        self.payload = Written({**keys, **dict.fromkeys(shared, UNKNOWN)}, self.payload.open or written.open)

    def _read_step(self, name: str, step: AnyStep) -> None:
        path = f"steps.{name}"
        self.steps[name] = step
        self._check_name(path, name, "step")
        self._check_place(path, name, step, "step")
        match step:
            case FunctionDeclaration():
                spec, signature, written = read_function(path, name, step, self.problems)
                self.signatures[name], self.written[name] = signature, written
                self._check_isolation(path, step, spec, signature)
                if (undo := read_compensation(path, step, self.problems)) is not None:
                    compensation, self.signatures[undo_of(name)] = undo
                    spec = spec.model_copy(update={"compensate": compensation})
                self.step_specs.append(spec)
            case WaitDeclaration():
                self.written[name] = Written({})
                self.step_specs.append(read_wait(path, name, step, self.problems))
            case LogDeclaration():
                self.written[name] = Written({})
                self.step_specs.append(read_log(path, name, step, self.problems))
            case PauseDeclaration():
                self.written[name] = Written({})
                self.step_specs.append(PauseStep(name=name))
            case ApprovalDeclaration():
                self._add_gate(read_approval(path, name, step, self.problems))
            case EventDeclaration():
                self._add_gate(read_event(path, name, step, self.problems))
            case ChildrenDeclaration():
                self._add_gate(read_children(path, name, step, self.problems))
            case _:
                assert_never(step)

    def _add_gate(self, gate: ApprovalStep | EventStep | ChildrenStep) -> None:
        self.written[gate.name] = Written({gate.output: UNKNOWN} if gate.output else {})
        self.step_specs.append(gate)

    def _check_name(self, path: str, name: str, what: str) -> None:
        if name in _RESERVED:
            message = f"{name!r} means something else here; reserved are {', '.join(_RESERVED)}"
            self.problems.add(path, f"reserved_{what}_name", message)
        elif not is_step_name(name):
            message = f"{name!r} is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -"
            self.problems.add(path, f"invalid_{what}_name", message)

    def _check_place(self, path: str, name: str, it: AnyStep | Trigger[Any], what: str) -> None:
        if it.places[:1] not in ([], [(self.owner, name)]):
            owner, first = it.places[0]
            message = f"it is {owner.__name__}.{first} already; declare a {what} once for each name that it has"
            self.problems.add(path, f"shared_{what}", message)


def _check_shared_secrets(parts: _Parts, problems: Problems) -> None:
    """What attempts share stands in rows and in lease backends, as a hash that a short secret could be guessed from."""
    functions = [spec for spec in parts.step_specs if isinstance(spec, FunctionStep)]
    secrets = [path for part in (*parts.trigger_specs, *functions) for path in part.secrets]
    for spec in functions:
        if spec.concurrency_key is not None and is_secret(spec.concurrency_key, secrets):
            message = f"{spec.concurrency_key!r} is secret, and a concurrency key leaves the run; name another value"
            problems.add(f"steps.{spec.name}.concurrency_key", "secret_concurrency_key", message)


def _check_supply(parts: _Parts, topology: Topology, problems: Problems) -> None:
    if topology.order is None:
        return
    specs = Definition(name="", version="", triggers=(), steps=tuple(parts.step_specs)).steps_by_name
    functions = {name: spec for name, spec in specs.items() if isinstance(spec, FunctionStep)}
    plan = Plan(
        order=topology.order,
        routes=topology.routes,
        places=topology.places,
        payload=parts.payload if parts.triggers else Written({}, open=True),
        written=parts.written,
        functions={name: (spec, parts.signatures[name]) for name, spec in functions.items()},
        approvals=frozenset(name for name, step in parts.steps.items() if isinstance(step, ApprovalDeclaration)),
        after=topology.after,
    )
    problems.extend(check_supply(plan))


def _definition(body: Body, timeout: timedelta | None, parts: _Parts, topology: Topology) -> Definition:
    return Definition(
        name=body.name if isinstance(body.name, str) else "",
        version=body.version if isinstance(body.version, str) else "",
        description=body.description,
        triggers=tuple(parts.trigger_specs),
        steps=tuple(_placed(spec, topology, body.descriptions) for spec in parts.step_specs),
        routes=topology.routes,
        entry=topology.entry,
        topology=topology.kind,
        timeout=timeout,
    )


def _placed(spec: AnyStepSpec, topology: Topology, descriptions: Mapping[str, str]) -> AnyStepSpec:
    """With what is not its own to say: what it comes after, and how others describe it."""
    found: dict[str, Any] = {"after": topology.after.get(spec.name, ())}
    if spec.name in descriptions:
        found["description"] = descriptions[spec.name]
    undo = descriptions.get(undo_of(spec.name))
    if undo is not None and isinstance(spec, FunctionStep) and spec.compensate is not None:
        found["compensate"] = spec.compensate.model_copy(update={"description": undo})
    return spec.model_copy(update=found)
