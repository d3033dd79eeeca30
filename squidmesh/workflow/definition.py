"""The normalised definition: a workflow as data (protocol 3.10).

Authoring builds one from a class; the journal stores it once, by fingerprint; planning reads it and nothing else. It
holds no function: a worker finds the function of a step by workflow and step name among those registered with its mesh.
The JSON form (:meth:`Definition.canonical`) is canonical: the same definition gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from squidmesh.ids import Fingerprint, fingerprint
from squidmesh.workflow.retry import Delay, RetryPolicy

COMPLETE = "complete"
"""The target of a route that ends the run well. No step may have this name."""

Outcome = Literal["ok", "error", "reject"]
Recovery = Literal["compensation", "undo"]
Operator = Literal["==", "!=", ">", "<", "in", "exists"]


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


class FunctionStep(_Spec):
    """User code. ``input`` maps a parameter to a context path; None binds every parameter by its own name.
    ``concurrency_key`` is a context path: of all attempts of one queue that share its value, ``concurrency_limit`` may
    be leased at once.
    """

    kind: Literal["function"] = "function"
    name: str
    description: str = ""
    output: str | None = None
    input: dict[str, str] | None = None
    retry: RetryPolicy | None = None
    queue: str | None = None
    priority: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    irreversible: bool = False
    compensatable: bool = True


class WaitStep(_Spec):
    """A delayed attempt that the pump completes when it claims it. It never holds a worker."""

    kind: Literal["wait"] = "wait"
    name: str
    description: str = ""
    duration: Delay
    queue: str | None = None
    priority: int | None = None


class ApprovalStep(_Spec):
    """A gate. The decision goes to the context under ``output``. It has no attempt."""

    kind: Literal["approval"] = "approval"
    name: str
    description: str = ""
    output: str | None = None


Step = Annotated[FunctionStep | WaitStep | ApprovalStep, Field(discriminator="kind")]


class ManualTrigger(_Spec):
    """``payload_schema`` is the payload's JSON schema, for people and editors; the model itself validates."""

    kind: Literal["manual"] = "manual"
    name: str
    payload_fields: tuple[str, ...]
    payload_schema: dict[str, Any]


class Definition(_Spec):
    """One version of one workflow. ``steps`` are in declaration order; ``entry`` is where every run begins."""

    name: str
    version: str
    description: str = ""
    triggers: tuple[ManualTrigger, ...]
    steps: tuple[Step, ...]
    routes: tuple[Route, ...]
    entry: str

    def canonical(self) -> bytes:
        """UTF-8 JSON with sorted keys and no spaces: what is stored, and what the fingerprint is taken of."""
        spec = self.model_dump(mode="json")
        return json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.canonical())

    @cached_property
    def steps_by_name(self) -> dict[str, FunctionStep | WaitStep | ApprovalStep]:
        return {step.name: step for step in self.steps}

    @cached_property
    def _routes_by_source(self) -> dict[tuple[str, str], tuple[Route, ...]]:
        found: dict[tuple[str, str], tuple[Route, ...]] = {}
        for route in self.routes:
            at = (route.source, route.on)
            found[at] = (*found.get(at, ()), route)
        return found

    def step(self, name: str) -> FunctionStep | WaitStep | ApprovalStep:
        """The step of that name; ``KeyError`` if there is none."""
        return self.steps_by_name[name]

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

    @classmethod
    def from_json(cls, body: bytes) -> Definition:
        """Reads :meth:`canonical` back; pydantic's ``ValidationError`` if it is none of ours."""
        return cls.model_validate_json(body)
