"""What a step's function asks for and gives back, read once from its signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Never, NoReturn, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from squidmesh.errors import Problem
from squidmesh.workflow.secret import UNMARKED, Marks, marks_of

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
_CONTEXT = "Context"
_REFUSED_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: ("positional_only_parameter", "is positional only"),
    inspect.Parameter.VAR_POSITIONAL: ("variadic_parameter", "takes any number of values"),
    inspect.Parameter.VAR_KEYWORD: ("variadic_parameter", "takes any number of values"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """``adapter`` validates its values; None where there is no annotation, or where the run's Context is passed.
    ``secrets``: where its annotation has secrets.
    """

    name: str
    required: bool
    is_context: bool
    adapter: TypeAdapter[Any] | None
    secrets: Marks = UNMARKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """``result`` validates against the return annotation, and ``secrets`` tells where that has secrets. ``problems``
    have paths within the step; with any of them, the function can not be called as a step.
    """

    parameters: tuple[Parameter, ...]
    result: TypeAdapter[Any] = ANYTHING
    secrets: Marks = UNMARKED
    is_async: bool = False
    problems: tuple[Problem, ...] = ()


def read_signature(fn: Callable[..., Any]) -> Signature:
    """Never raises: what can not be read is among the ``problems``."""
    given: object = fn
    if not callable(given) or isinstance(fn, type):
        return _unreadable("not_callable", f"{fn!r} is no function; allowed is a function or another callable object")
    code = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else type(fn).__call__
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        return _unreadable("not_callable", "a generator function does not run when it is called; return a list instead")
    try:
        signature = inspect.signature(fn)
    except (ValueError, TypeError, NameError) as error:
        return _unreadable("not_callable", f"its signature can not be read: {error}")
    problems: list[Problem] = []
    names = _globals(fn)
    parameters = tuple(_parameter(parameter, names, problems) for parameter in signature.parameters.values())
    result = _adapter(signature.return_annotation, names, "return", problems)
    return Signature(
        parameters=parameters,
        result=result or ANYTHING,
        secrets=marks_of(result) if result is not None else UNMARKED,
        is_async=inspect.iscoroutinefunction(code),
        problems=tuple(problems),
    )


def _unreadable(code: str, message: str) -> Signature:
    problem = Problem(path="fn", code=code, message=message)
    return Signature(parameters=(), problems=(problem,))


def _globals(fn: Any) -> dict[str, Any]:
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn if inspect.isroutine(fn) else type(fn).__call__)
    found: dict[str, Any] = getattr(fn, "__globals__", {})
    return found


def _parameter(parameter: inspect.Parameter, names: dict[str, Any], problems: list[Problem]) -> Parameter:
    path = f"parameters.{parameter.name}"
    if parameter.kind in _REFUSED_KINDS:
        code, what = _REFUSED_KINDS[parameter.kind]
        message = f"{parameter} {what}; allowed are parameters that can be given by name"
        problems.append(Problem(path=path, code=code, message=message))
        return Parameter(name=parameter.name, required=False, is_context=False, adapter=None)
    required = parameter.default is inspect.Parameter.empty
    if parameter.name == "context" or _names_context(parameter.annotation):
        return Parameter(name=parameter.name, required=False, is_context=True, adapter=None)
    adapter = _adapter(parameter.annotation, names, path, problems)
    secrets = marks_of(adapter) if adapter is not None else UNMARKED
    return Parameter(name=parameter.name, required=required, is_context=False, adapter=adapter, secrets=secrets)


def _names_context(annotation: Any) -> bool:
    """Also of an annotation in quotes whose import is for type checkers only."""
    if isinstance(annotation, str):
        return annotation.strip("'\" ").rpartition(".")[2] == _CONTEXT
    return isinstance(annotation, type) and annotation.__name__ == _CONTEXT and not issubclass(annotation, BaseModel)


def _adapter(annotation: Any, names: dict[str, Any], path: str, problems: list[Problem]) -> TypeAdapter[Any] | None:
    """The annotation's adapter; None where there is no annotation, or where it is a problem."""
    if annotation is inspect.Signature.empty:
        return None
    try:
        resolved: Any = _resolved(annotation, names)
    except Exception as error:  # annotations are code of the author's: anything may come out
        message = f"the annotation {annotation!r} can not be resolved: {error}"
        problems.append(Problem(path=path, code="unresolvable_annotations", message=message))
        return None
    if resolved in (Never, NoReturn):
        resolved = None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(resolved)
        adapter.rebuild(raise_errors=True)
        return adapter
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        message = f"pydantic can not validate {annotation!r}: {reason}"
        problems.append(Problem(path=path, code="unsupported_annotation", message=message))
        return None


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return get_type_hints(holder, names, include_extras=True)["it"]
