"""Whether a route's condition holds. JSON types are kept apart: a boolean is no number, and ``"1"`` is not 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from squidmesh.workflow.definition import Condition
from squidmesh.workflow.mapping import ABSENT, find


def holds(condition: Condition, context: Mapping[str, Any]) -> bool:
    """A path that is not there does not match, whatever the operator; nor does a value of another type than the
    operand's, except that ``!=`` tells null from everything else.
    """
    value = find(context, tuple(condition.path.split(".")))
    if value is ABSENT:
        return False
    operand: Any = condition.value
    match condition.operator:
        case "exists":
            return True
        case "==":
            return _same(value, operand)
        case "!=":
            comparable = _kind(value) == _kind(operand) or value is None or operand is None
            return comparable and not _same(value, operand)
        case "in":
            return isinstance(operand, list) and any(_same(value, option) for option in operand)
        case ">" | "<":
            if _kind(value) != _kind(operand) or _kind(value) not in ("number", "text"):
                return False
            return bool(value > operand if condition.operator == ">" else value < operand)
        case _:
            assert_never(condition.operator)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "array"
        case _:
            return "object"


def _same(one: Any, other: Any) -> bool:
    """Deep equality of JSON values, within one type."""
    kind = _kind(one)
    if kind != _kind(other):
        return False
    if kind == "array":
        return len(one) == len(other) and all(map(_same, one, other))
    if kind == "object":
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
