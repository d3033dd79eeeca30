"""Context in, arguments out; result in, output out (protocol 5: the two ends of every slot).

A run's *context* is one JSON object: the payload's fields and the outputs of its accepted steps. What depends on a
function's signature alone is worked out once, when its step is registered; a call only looks up and validates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError

from squidmesh.config import MAX_OUTPUT_BYTES
from squidmesh.errors import InvalidOutput, InvalidStepInput, MissingInput
from squidmesh.redaction import Redaction
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.isolation import Isolation
from squidmesh.workflow.payload import describe, dump_json, printable, require_json, validate_value
from squidmesh.workflow.signature import Signature

ABSENT: Final = object()
_SHOWN = 20


def find(context: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value at the end of the path, or :data:`ABSENT`."""
    first, *others = keys
    level = context.get(first, ABSENT)
    for key in others:
        if not isinstance(level, Mapping):
            return ABSENT
        level = level.get(key, ABSENT)
    return level


def lookup(context: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path. :class:`MissingInput` names the path, and what there is where it broke."""
    found = find(context, tuple(path.split(".")))
    if found is ABSENT:
        raise MissingInput(_what_is_there(context, path))
    return found


def _what_is_there(context: Mapping[str, Any], path: str) -> str:
    level: Any = context
    parent = "the context"
    walked: list[str] = []
    for key in path.split("."):
        if not isinstance(level, Mapping):
            return f"{path!r} has no value: {parent} is a {type(level).__name__}, not an object"
        if key not in level:
            break
        walked.append(key)
        parent, level = repr(".".join(walked)), level[key]
    names = sorted(map(printable, level))
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{path!r} has no value: {parent} has {shown or 'nothing'}"


class BoundStep:
    """A function step that is ready to be called. Immutable; safe to share between threads.

    A worker calls :meth:`pick` with the run's context, :meth:`arguments` where the function will run, ``fn`` itself,
    :meth:`result` with what it returned, and :func:`output_of`. Each but ``fn`` (and validators of the author's) raises
    nothing but a :class:`~squidmesh.errors.StepRefused`.
    """

    __slots__ = (
        "_adapters", "_bindings", "_contexts", "_result", "_secret_parameters", "_secrets",
        "fn", "is_async", "isolation", "signature", "step", "wants_context",
    )  # fmt: skip

    def __init__(
        self, step: FunctionStep, fn: Callable[..., Any], signature: Signature, *, isolation: Isolation | None = None
    ) -> None:
        """``signature`` is that of ``fn``, and has no problems. ``isolation``: where ``fn`` is to be called."""
        self.step: Final = step
        self.fn: Final = fn
        self.is_async: Final = signature.is_async
        self.isolation: Final = isolation
        self.signature: Final = signature
        self._contexts: Final = tuple(p.name for p in signature.parameters if p.is_context)
        self.wants_context: Final = bool(self._contexts)
        self._bindings: Final = tuple(
            (p.name, path, tuple(path.split(".")), p.required)
            for p in signature.parameters
            if not p.is_context
            if (path := p.name if step.input is None else step.input.get(p.name)) is not None
        )
        self._adapters: Final = {p.name: p.adapter for p in signature.parameters}
        self._result: Final = signature.result
        self._secrets: Final = signature.secrets
        self._secret_parameters: Final = {p.name: p.secrets for p in signature.parameters if p.secrets.paths}

    def pinned_to(self, step: FunctionStep) -> BoundStep:
        """The same function, bound as the definition that a run started with says (protocol 3.10)."""
        return self if step == self.step else BoundStep(step, self.fn, self.signature, isolation=self.isolation)

    def calling(self, fn: Callable[..., Any]) -> BoundStep:
        """The same step, with another function in its place that is given and gives back what this one would. No other
        process would find it: it is called here.
        """
        return BoundStep(self.step, fn, self.signature)

    def pick(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON value of each parameter that the context has one for; they still belong to the context.

        A parameter with a default may be absent; for any other :class:`MissingInput` is raised.
        """
        picked: dict[str, Any] = {}
        for name, path, keys, required in self._bindings:
            value = find(context, keys)
            if value is not ABSENT:
                picked[name] = value
            elif required:
                raise MissingInput(f"step {self.step.name!r}, parameter {name!r}: {_what_is_there(context, path)}")
        return picked

    def secrets_of(self, picked: Mapping[str, Any]) -> set[str]:
        """Of what was picked, the texts at which the function's own annotations have secrets."""
        found: set[str] = set()
        for name, marks in self._secret_parameters.items():
            found |= marks.texts_in(picked.get(name))
        return found

    def arguments(self, picked: Mapping[str, Any], context_object: object) -> dict[str, Any]:
        """The keyword arguments of ``fn``: each picked value as its parameter's type, nothing shared with the run's
        context, and ``context_object`` for a parameter that asks for it. :class:`InvalidStepInput` names the parameter.
        """
        arguments: dict[str, Any] = {}
        for name, value in picked.items():
            adapter = self._adapters[name]
            if adapter is None:
                arguments[name] = copy_json(value)
                continue
            try:
                arguments[name] = validate_value(adapter.validator, copy_json(value))
            except ValidationError as error:
                raise InvalidStepInput(f"step {self.step.name!r}, parameter {describe(error, name)}") from None
        for name in self._contexts:
            arguments[name] = context_object
        return arguments

    def result(self, value: object) -> Any:
        """What ``fn`` returned, validated against its return annotation, as strict JSON data of limited size.

        :class:`InvalidOutput` names the field. Without an output key, only an object or None is allowed.
        """
        where = f"step {self.step.name!r}, output"
        try:
            value = self._result.validator.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            wrong = Redaction(self._secrets.texts_in(value)).text(describe(error))
            raise InvalidOutput(f"{where}: {wrong}") from None
        secrets = self._secrets.paths
        data = dump_json(self._result.serializer, value, field=where, error=InvalidOutput, secrets=secrets)
        if self.step.output is None and data is not None and type(data) is not dict:
            allowed = "without an output key, only an object (its keys are merged) or None is allowed"
            raise InvalidOutput(f"{where}: is a {type(data).__name__}; {allowed}")
        require_json(data, field=where, limit=MAX_OUTPUT_BYTES, error=InvalidOutput)
        return data


def output_of(step: FunctionStep, result: Any, payload_fields: Collection[str]) -> dict[str, Any]:
    """What an accepted result adds to the context: under the step's output key, or merged.

    ``result`` comes from :meth:`BoundStep.result`. :class:`InvalidOutput` if a merged key would take the name of one of
    ``payload_fields``.
    """
    if step.output is not None:
        return {step.output: result}
    if result is None:
        return {}
    if not isinstance(result, dict):
        raise InvalidOutput(f"step {step.name!r}, output: is a {type(result).__name__}; only an object can be merged")
    taken = sorted(printable(key) for key in result if key in payload_fields)
    if taken:
        names = ", ".join(taken)
        raise InvalidOutput(f"step {step.name!r}, output: {names} would replace the payload's; use an output key")
    return result


def copy_json(value: Any) -> Any:
    """Of JSON data: a step may change what it is given, and the run's context must not change with it."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    return [copy_json(item) for item in value] if isinstance(value, list) else value
