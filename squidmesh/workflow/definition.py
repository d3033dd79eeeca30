"""The normalised definition: a workflow as data (protocol 3.10).

Authoring builds one from a class; the journal stores it once, by fingerprint; planning reads it and nothing else. It
holds no function: a worker finds the function of a step by workflow and step name among those registered with its mesh,
or by its ``action`` among the host's actions.
The JSON form (:meth:`Definition.canonical`) is canonical: the same definition gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from squidmesh.ids import Fingerprint, fingerprint, undo_of
from squidmesh.workflow.retry import Delay, RetryPolicy

COMPLETE = "complete"
"""The target of a route that ends the run well. No step may have this name."""

UNDO_OUTPUT = "result"
"""The key under which a compensation's result stands in its fact."""

Outcome = Literal["ok", "error", "reject", "timeout"]
Recovery = Literal["compensation", "undo"]
Operator = Literal["==", "!=", ">", "<", "in", "exists"]
Level = Literal["debug", "info", "warning", "error"]
TopologyKind = Literal["path", "graph"]
Idempotency = Literal["return_existing_run", "skip_duplicate"]
Missed = Literal["skip", "last", "all"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")


class Condition(_Spec):
    """``path`` is dotted, into the context (payload and outputs). ``exists`` has no operand: its value is None."""

    path: str
    operator: Operator
    value: JsonValue = None


class Route(_Spec):
    """An arrow: when ``source`` ends with ``on`` (and ``when`` holds), ``target`` is next. Declaration order counts."""

    source: str
    on: Outcome
    target: str
    when: Condition | None = None
    recovery: Recovery | None = None


class Compensation(_Spec):
    """What undoes a step: a function with an ``input`` mapping of its own (None binds by name) and its own policy.
    ``secrets``: where its result is secret, as in :class:`FunctionStep`.
    ``action`` as in :class:`FunctionStep`.
    """

    description: str = ""
    input: dict[str, str] | None = None
    retry: RetryPolicy | None = None
    secrets: tuple[str, ...] = ()
    action: str | None = None


class _Step(_Spec):
    """``after``: the steps that must have succeeded first, in a graph; empty on a path."""

    name: str
    description: str = ""
    after: tuple[str, ...] = ()


class FunctionStep(_Step):
    """User code. ``input`` maps a parameter to a context path; None binds every parameter by its own name. ``timeout``:
    how long one claim's work may take. ``concurrency_key`` is a context path: of all attempts of one queue that share
    its value, ``concurrency_limit`` may be leased at once. ``action``: the name of the host's function in its registry,
    where the workflow was made at run time. ``undoes``: of a compensation only, which is no step of its own
    (:meth:`Definition.step`). ``secrets``: the context paths at which what it puts there is secret.
    """

    kind: Literal["function"] = "function"
    output: str | None = None
    input: dict[str, str] | None = None
    retry: RetryPolicy | None = None
    queue: str | None = None
    priority: int | None = None
    timeout: Delay | None = None
    compensate: Compensation | None = None
    transaction: bool = False
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    irreversible: bool = False
    compensatable: bool = True
    action: str | None = None
    undoes: str | None = None
    secrets: tuple[str, ...] = ()


class WaitStep(_Step):
    """A delayed attempt that the pump completes when it claims it. It never holds a worker."""

    kind: Literal["wait"] = "wait"
    duration: Delay
    queue: str | None = None
    priority: int | None = None


class LogStep(_Step):
    """An attempt that the pump completes when it claims it; the message goes to the observer then."""

    kind: Literal["log"] = "log"
    message: str
    level: Level = "info"
    queue: str | None = None
    priority: int | None = None


class ApprovalStep(_Step):
    """A gate. The decision goes to the context under ``output``. It has no attempt. ``timeout``: how long it waits."""

    kind: Literal["approval"] = "approval"
    output: str | None = None
    timeout: Delay | None = None


class PauseStep(_Step):
    """A gate that a person opens with ``resume_run``."""

    kind: Literal["pause"] = "pause"


class EventStep(_Step):
    """A gate that an event from outside opens; what it carries goes to the context under ``output``."""

    kind: Literal["event"] = "event"
    event: str
    output: str | None = None
    timeout: Delay | None = None


class ChildrenStep(_Step):
    """A gate that opens when no child run is open any more; how they ended goes to the context under ``output``."""

    kind: Literal["wait_for_children"] = "wait_for_children"
    output: str | None = None


AnyStepSpec = FunctionStep | WaitStep | LogStep | ApprovalStep | PauseStep | EventStep | ChildrenStep
Step = Annotated[AnyStepSpec, Field(discriminator="kind")]
Queued = FunctionStep | WaitStep | LogStep
"""Steps with attempts, which stand in a queue."""


class ManualTrigger(_Spec):
    """``payload_schema`` is the payload's JSON schema, for people and editors; the model itself validates. ``secrets``:
    the paths at which the payload is secret.
    """

    kind: Literal["manual"] = "manual"
    name: str
    payload_fields: tuple[str, ...]
    payload_schema: dict[str, Any]
    secrets: tuple[str, ...] = ()


class CronTrigger(_Spec):
    """Fires by itself. ``expression`` is normalised; ``missed_within`` bounds how late a window may still have its run.
    ``payload_fields``, ``payload_schema`` and ``secrets`` as above.
    """

    kind: Literal["cron"] = "cron"
    name: str
    payload_fields: tuple[str, ...]
    payload_schema: dict[str, Any]
    expression: str
    timezone: str
    idempotency: Idempotency
    missed: Missed
    missed_within: Delay
    secrets: tuple[str, ...] = ()


Trigger = Annotated[ManualTrigger | CronTrigger, Field(discriminator="kind")]


class Definition(_Spec):
    """One version of one workflow. ``steps`` are in declaration order. A *path* begins at ``entry`` and follows
    ``routes``; a *graph* has neither: its steps begin when those that they come ``after`` have succeeded. ``timeout``:
    how long a run may take as a whole.
    """

    name: str
    version: str
    description: str = ""
    triggers: tuple[Trigger, ...]
    steps: tuple[Step, ...]
    routes: tuple[Route, ...] = ()
    entry: str | None = None
    topology: TopologyKind = "path"
    timeout: Delay | None = None

    def canonical(self) -> bytes:
        """UTF-8 JSON with sorted keys and no spaces: what is stored, and what the fingerprint is taken of."""
        return self._canonical

    @cached_property
    def _canonical(self) -> bytes:
        spec = self.model_dump(mode="json")
        return json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.canonical())

    @cached_property
    def steps_by_name(self) -> dict[str, AnyStepSpec]:
        """The steps; and under the name of its runnable, each compensation, as the function step that it is run as."""
        found: dict[str, AnyStepSpec] = {step.name: step for step in self.steps}
        for step in self.steps:
            if isinstance(step, FunctionStep) and step.compensate is not None:
                found[undo_of(step.name)] = _as_step(step, step.compensate)
        return found

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that its steps name."""
        named = (step.queue for step in self.steps if isinstance(step, Queued) and step.queue is not None)
        return tuple(dict.fromkeys(named))

    @property
    def is_transactional(self) -> bool:
        """Whether some step writes in the journal's own transaction."""
        return any(isinstance(step, FunctionStep) and step.transaction for step in self.steps)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Where every run begins."""
        if self.topology == "path":
            return (self.entry,) if self.entry is not None else ()
        return tuple(step.name for step in self.steps if not step.after)

    @cached_property
    def dependents(self) -> dict[str, tuple[AnyStepSpec, ...]]:
        """In a graph: by step, those that come after it."""
        found: dict[str, list[AnyStepSpec]] = {}
        for step in self.steps:
            for before in step.after:
                found.setdefault(before, []).append(step)
        return {name: tuple(steps) for name, steps in found.items()}

    @cached_property
    def last_steps(self) -> frozenset[str]:
        """Those behind which nothing begins when they have completed."""
        if self.topology == "graph":
            return frozenset(step.name for step in self.steps if step.name not in self.dependents)
        on = {route.source for route in self.routes if route.on == "ok" and route.target != COMPLETE}
        return frozenset(step.name for step in self.steps if step.name not in on)

    def comes_after(self, step: str, before: str) -> bool:
        """Whether, in a graph, ``step`` begins only when ``before`` has succeeded."""
        places, ancestors = self._ancestry
        return bool(ancestors[step] >> places[before] & 1)

    @cached_property
    def _ancestry(self) -> tuple[dict[str, int], dict[str, int]]:
        """By step its place, and the places of all that it comes after, as the bits of a number: a thousand steps take
        an eighth of a kilobyte each.
        """
        places = {step.name: place for place, step in enumerate(self.steps)}
        ancestors: dict[str, int] = {}
        while len(ancestors) < len(places):
            known = len(ancestors)
            for step in self.steps:  # mostly in order already: one round, then
                if step.name not in ancestors and all(before in ancestors for before in step.after):
                    found = 0
                    for before in step.after:
                        found |= ancestors[before] | 1 << places[before]
                    ancestors[step.name] = found
            if len(ancestors) == known:
                raise ValueError(f"{self.name}: steps that come after each other in a circle")
        return places, ancestors

    @cached_property
    def crons(self) -> dict[str, CronTrigger]:
        """The cron triggers by name."""
        return {trigger.name: trigger for trigger in self.triggers if isinstance(trigger, CronTrigger)}

    @cached_property
    def _routes_by_source(self) -> dict[tuple[str, str], tuple[Route, ...]]:
        found: dict[tuple[str, str], tuple[Route, ...]] = {}
        for route in self.routes:
            at = (route.source, route.on)
            found[at] = (*found.get(at, ()), route)
        return found

    def step(self, name: str) -> AnyStepSpec:
        """The step, or the compensation, of that name; ``KeyError`` if there is none."""
        return self.steps_by_name[name]

    @cached_property
    def output_secrets(self) -> tuple[str, ...]:
        """The context paths at which any step's output is secret. What compensations give is in no context."""
        steps = (step for step in self.steps if isinstance(step, FunctionStep))
        return tuple(dict.fromkeys(path for step in steps for path in step.secrets))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The context paths at which any run of this definition may be secret."""
        return tuple(dict.fromkeys((*self.output_secrets, *(path for one in self.triggers for path in one.secrets))))

    def payload_secrets(self, trigger: str) -> tuple[str, ...]:
        """The paths at which the payload of a run is secret that was started by that trigger."""
        return self._secrets_by_trigger.get(trigger, ())

    @cached_property
    def _secrets_by_trigger(self) -> dict[str, tuple[str, ...]]:
        return {one.name: one.secrets for one in self.triggers}

    def routes_from(self, step: str, on: Outcome) -> tuple[Route, ...]:
        """The routes that leave ``step`` on that outcome, in declaration order."""
        return self._routes_by_source.get((step, on), ())

    def route_ids(self) -> Iterator[tuple[str, Route]]:
        """Every route with its stable edge id: ``from:ok:to``, or ``from:ok:to:condition:0`` where conditional."""
        for route in self.routes:
            yield self.route_id(route), route

    def route_id(self, route: Route) -> str:
        plain = f"{route.source}:{route.on}:{route.target}"
        if route.when is None:
            return plain
        conditional = [r for r in self.routes_from(route.source, route.on) if r.when is not None]
        return f"{plain}:condition:{conditional.index(route)}"

    def dependency_ids(self) -> Iterator[tuple[str, str, str]]:
        """In a graph, every dependency: its stable edge id (``from:dependency:to``), and both ends."""
        for step in self.steps:
            for before in step.after:
                yield f"{before}:dependency:{step.name}", before, step.name

    @classmethod
    def from_json(cls, body: bytes) -> Definition:
        """Reads :meth:`canonical` back; pydantic's ``ValidationError`` if it is none of ours."""
        return cls.model_validate_json(body)


def _as_step(step: FunctionStep, undo: Compensation) -> FunctionStep:
    return FunctionStep(
        name=undo_of(step.name),
        description=undo.description,
        output=UNDO_OUTPUT,
        input=undo.input,
        retry=undo.retry,
        queue=step.queue,
        priority=step.priority,
        action=undo.action,
        undoes=step.name,
        secrets=undo.secrets,
    )
