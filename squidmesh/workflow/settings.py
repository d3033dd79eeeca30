"""What is written at one trigger or step, read into its part of the definition.

Each reader adds the problems that it finds, and returns a part in which what was refused is left out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from keyword import iskeyword
from typing import Any, get_args

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUserError

from squidmesh.clock import seconds
from squidmesh.config import CONCURRENCY_LIMITS, MAX_PAYLOAD_BYTES, PRIORITIES
from squidmesh.errors import InvalidInput, Problem
from squidmesh.ids import is_identifier
from squidmesh.redaction import ANY
from squidmesh.workflow.authoring import (
    ApprovalDeclaration,
    ChildrenDeclaration,
    EventDeclaration,
    FunctionDeclaration,
    LogDeclaration,
    WaitDeclaration,
)
from squidmesh.workflow.definition import (
    UNDO_OUTPUT,
    ApprovalStep,
    ChildrenStep,
    Compensation,
    EventStep,
    FunctionStep,
    Level,
    LogStep,
    ManualTrigger,
    WaitStep,
)
from squidmesh.workflow.payload import require_json
from squidmesh.workflow.retry import RetryPolicy
from squidmesh.workflow.secret import QuietSchema, marks_of, without_defaults
from squidmesh.workflow.shape import UNKNOWN, Shape
from squidmesh.workflow.signature import Signature, read_signature
from squidmesh.workflow.supply import REFUSED, Written

LONGEST_MESSAGE = 1000
"""Characters of what a log step says."""


class Problems:
    """Collects."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, path: str, code: str, message: str) -> None:
        self._found.append(Problem(path=path, code=code, message=message))

    def extend(self, problems: Iterable[Problem]) -> None:
        self._found.extend(problems)

    @property
    def found(self) -> tuple[Problem, ...]:
        return tuple(self._found)

    @property
    def fatal(self) -> bool:
        return any(not problem.warning for problem in self._found)


# ------------------------------------------------------------------------------------------------------- triggers


def read_payload(path: str, name: str, model: object, problems: Problems) -> tuple[ManualTrigger, Written]:
    """A manual trigger, and what its payload puts into the context."""
    nothing = ManualTrigger(name=name, payload_fields=(), payload_schema={})
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, RootModel):
        message = f"{model!r} is refused; allowed is a subclass of pydantic.BaseModel, whose fields are the payload's"
        problems.add(path, "invalid_payload_model", message)
        return nothing, Written({}, open=True)
    try:
        model.model_rebuild()
        schema = model.model_json_schema(by_alias=False, schema_generator=QuietSchema)
        require_json(schema, field="its JSON schema", limit=MAX_PAYLOAD_BYTES, error=InvalidInput)
    except (PydanticUserError, NameError, TypeError, ValueError, InvalidInput) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        problems.add(path, "invalid_payload_model", f"{model.__name__} can not be a payload: {reason}")
        return nothing, Written({}, open=True)
    adapter = TypeAdapter(model)
    shape = Shape.of(adapter, "serialization")
    fields = {key: shape.keys().get(key, UNKNOWN) for key in model.model_fields}
    spec = ManualTrigger(
        name=name,
        payload_fields=tuple(fields),
        payload_schema=without_defaults(schema),
        secrets=marks_of(adapter).paths,
    )
    return spec, Written(fields, shape.open)


# ---------------------------------------------------------------------------------------------------------- steps


LONGEST_WAIT = timedelta(days=366)


def read_wait(path: str, name: str, step: WaitDeclaration, problems: Problems) -> WaitStep:
    length = _length(step.duration)
    if length is None:
        allowed = "allowed is a timedelta or a number of seconds, from 0 to 366 days"
        problems.add(f"{path}.duration", "invalid_wait", f"{step.duration!r} is refused; {allowed}")
    return WaitStep(name=name, duration=length or timedelta(0))


def read_log(path: str, name: str, step: LogDeclaration, problems: Problems) -> LogStep:
    message: object = step.message
    if not isinstance(message, str) or not 1 <= len(message) <= LONGEST_MESSAGE or not _is_storable(message):
        why = f"{message!r} is refused; allowed is a text of 1 to {LONGEST_MESSAGE} characters"
        problems.add(f"{path}.message", "invalid_message", why)
        message = "?"
    level: Any = step.level
    if level not in get_args(Level):
        allowed = ", ".join(get_args(Level))
        problems.add(f"{path}.level", "invalid_level", f"{level!r} is refused; allowed are {allowed}")
        level = "info"
    return LogStep(name=name, message=message, level=level)


def read_approval(path: str, name: str, step: ApprovalDeclaration, problems: Problems) -> ApprovalStep:
    return ApprovalStep(
        name=name,
        output=_output_key(path, step.output, problems),
        timeout=read_timeout(f"{path}.timeout", step.timeout, problems),
    )


def read_event(path: str, name: str, step: EventDeclaration, problems: Problems) -> EventStep:
    given: object = step.event
    if not is_identifier(given):
        why = f"{given!r} is refused; allowed are 1 to 128 of A-Z a-z 0-9 . _ -"
        problems.add(f"{path}.event", "invalid_event", why)
    return EventStep(
        name=name,
        event=given if isinstance(given, str) else REFUSED,
        output=_output_key(path, step.output, problems),
        timeout=read_timeout(f"{path}.timeout", step.timeout, problems),
    )


def read_children(path: str, name: str, step: ChildrenDeclaration, problems: Problems) -> ChildrenStep:
    return ChildrenStep(name=name, output=_output_key(path, step.output, problems))


def read_timeout(path: str, given: object, problems: Problems) -> timedelta | None:
    """Of a step, a gate or a whole run. None is none."""
    if given is None:
        return None
    length = _length(given)
    if length is None or length <= timedelta(0):
        allowed = "allowed is a timedelta or a number of seconds, above 0 and up to 366 days"
        problems.add(path, "invalid_timeout", f"{given!r} is refused; {allowed}")
        return None
    return length


def _length(given: object) -> timedelta | None:
    """A duration that the definition can hold; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, timedelta | int | float):
        return None
    try:
        length = seconds(given)
    except (ValueError, OverflowError):
        return None
    return length if timedelta(0) <= length <= LONGEST_WAIT else None


def _is_storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def read_compensation(
    path: str, step: FunctionDeclaration, problems: Problems
) -> tuple[Compensation, Signature] | None:
    """What undoes the step, and what it asks for; None where nothing does."""
    if step.compensate is None:
        for field, given in (("compensate_input", step.compensate_input), ("compensate_retry", step.compensate_retry)):
            if given is not None:
                message = f"there is no compensate= that {field}= could be about"
                problems.add(f"{path}.{field}", "nothing_to_compensate", message)
        return None
    signature = read_signature(step.compensate)
    problems.extend(replace(one, path=f"{path}.compensate.{one.path}") for one in signature.problems)
    spec = Compensation(
        description=description_of(step.compensate),
        input=_input(f"{path}.compensate_input", step.compensate_input, signature, problems),
        retry=_retry(f"{path}.compensate_retry", step.compensate_retry, problems),
        secrets=_in_context(UNDO_OUTPUT, signature.secrets.paths),
        action=step.compensate_action,
    )
    return spec, signature


def read_function(
    path: str, name: str, step: FunctionDeclaration, problems: Problems
) -> tuple[FunctionStep, Signature, Written]:
    """The step, what its function asks for, and what it puts into the context."""
    signature = read_signature(step.fn)
    problems.extend(replace(one, path=f"{path}.{one.path}") for one in signature.problems)
    output = _output_key(path, step.output, problems)
    spec = FunctionStep(
        name=name,
        description=description_of(step.fn),
        output=output,
        input=_input(f"{path}.input", step.input, signature, problems),
        retry=_retry(f"{path}.retry", step.retry, problems),
        queue=_queue(f"{path}.queue", step.queue, problems),
        priority=_priority(f"{path}.priority", step.priority, problems),
        timeout=read_timeout(f"{path}.timeout", step.timeout, problems),
        transaction=_flag(f"{path}.transaction", step.transaction, problems),
        concurrency_key=_concurrency_key(f"{path}.concurrency_key", step.concurrency_key, problems),
        concurrency_limit=_concurrency_limit(f"{path}.concurrency_limit", step, problems),
        irreversible=_flag(f"{path}.irreversible", step.irreversible, problems),
        compensatable=_flag(f"{path}.compensatable", step.compensatable, problems),
        secrets=_in_context(output, signature.secrets.paths),
        action=step.action,
    )
    if spec.transaction and signature.is_async:
        message = "a transactional step is no coroutine: its connection belongs to one thread from begin to commit"
        problems.add(f"{path}.transaction", "async_transaction", message)
    return spec, signature, _written(path, step, output, signature, problems)


def description_of(fn: Any) -> str:
    """Its docstring, without the indentation of its source."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    text = fn.__doc__ if inspect.isroutine(fn) else None
    return inspect.cleandoc(text or "")


def _output_key(path: str, key: object, problems: Problems) -> str | None:
    if key is None or (isinstance(key, str) and key.isidentifier() and key.isascii() and not iskeyword(key)):
        return key
    message = f"{key!r} is refused; allowed is a name that a parameter could have (letters, digits and _)"
    problems.add(f"{path}.output", "invalid_output_key", message)
    return None


def _written(
    path: str, step: FunctionDeclaration, output: str | None, signature: Signature, problems: Problems
) -> Written:
    shape = Shape.of(signature.result, "serialization")
    if output is not None:
        return Written({output: shape})
    if step.output is not None:
        return Written({}, open=True)  # its key was refused
    if not shape.always_object:
        message = "what it returns is neither an object, whose keys could be merged, nor None; give it an output="
        problems.add(f"{path}.output", "output_needs_key", message)
        return Written({}, open=True)
    return Written(shape.keys(), shape.open)


def _in_context(output: str | None, paths: Iterable[str]) -> tuple[str, ...]:
    """Secret paths of a result, from where an output key puts it; what is merged stands where it is, and a merged
    object that is secret itself has any key.
    """
    return tuple(".".join(filter(None, (output, path))) or ANY for path in paths)


def _input(path: str, given: object, signature: Signature, problems: Problems) -> dict[str, str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
        allowed = 'allowed is {"parameter": "path.in.context"}, or ["parameter", …]'
        problems.add(path, "invalid_input", f"{given!r} is refused; {allowed}")
        return None
    pairs: list[tuple[Any, Any]] = list(given.items() if isinstance(given, Mapping) else zip(given, given, strict=True))
    parameters = {parameter.name: parameter for parameter in signature.parameters}
    found: dict[str, str] = {}
    for name, source in pairs:
        if not isinstance(source, str) or not all(source.split(".")):
            message = f"{source!r} is no path; allowed are keys with dots between them"
            problems.add(f"{path}.{name}", "invalid_input_path", message)
        elif name not in parameters:
            allowed = ", ".join(parameters) or "none"
            message = f"the function has no parameter {name!r}; its parameters are: {allowed}"
            problems.add(f"{path}.{name}", "unknown_parameter", message)
        elif parameters[name].is_context:
            problems.add(f"{path}.{name}", "unknown_parameter", f"{name!r} is given the Context, not a value")
        else:
            found[name] = source
            continue
        if isinstance(name, str):
            found.setdefault(name, REFUSED)
    return found


def _retry(path: str, policy: object, problems: Problems) -> RetryPolicy | None:
    if policy is None or isinstance(policy, RetryPolicy):
        return policy
    problems.add(path, "invalid_retry", f"{policy!r} is refused; allowed is RetryPolicy(max_attempts=…, backoff=…)")
    return None


def _queue(path: str, queue: object, problems: Problems) -> str | None:
    if queue is None or (isinstance(queue, str) and is_identifier(queue)):
        return queue
    problems.add(path, "invalid_queue", f"{queue!r} is refused; allowed are 1 to 128 of A-Z a-z 0-9 . _ -")
    return None


def _priority(path: str, priority: object, problems: Problems) -> int | None:
    if priority is None or (type(priority) is int and priority in PRIORITIES):
        return priority
    allowed = f"allowed is {PRIORITIES[0]} (first) to {PRIORITIES[-1]}"
    problems.add(path, "invalid_priority", f"{priority!r} is refused; {allowed}")
    return None


def _concurrency_key(path: str, key: object, problems: Problems) -> str | None:
    if key is None or (isinstance(key, str) and all(key.split("."))):
        return key
    problems.add(path, "invalid_concurrency_key", f"{key!r} is no path; allowed are keys with dots between them")
    return None


def _concurrency_limit(path: str, step: FunctionDeclaration, problems: Problems) -> int:
    limit: object = step.concurrency_limit
    if type(limit) is not int or limit not in CONCURRENCY_LIMITS:
        allowed = f"allowed is {CONCURRENCY_LIMITS[0]} to {CONCURRENCY_LIMITS[-1]}"
        problems.add(path, "invalid_concurrency_limit", f"{limit!r} is refused; {allowed}")
        return 1
    if limit != 1 and step.concurrency_key is None:
        message = "it limits nothing without a concurrency_key, which says what is shared"
        problems.add(path, "invalid_concurrency_limit", message)
    return limit


def _flag(path: str, flag: object, problems: Problems) -> bool:
    if isinstance(flag, bool):
        return flag
    problems.add(path, "invalid_flag", f"{flag!r} is refused; allowed is True or False")
    return False
