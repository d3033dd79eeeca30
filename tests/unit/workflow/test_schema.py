"""What a schema says is what a payload is held to, and a schema that says more is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from squidmesh.errors import InvalidPayload
from squidmesh.workflow.payload import accept_payload
from squidmesh.workflow.schema import Anything, model_of
from squidmesh.workflow.settings import Problems

STRING = {"type": "string"}
A = {"$ref": "#/$defs/A"}


def payload_of(**properties: Any) -> dict[str, Any]:
    needed = [name for name, one in properties.items() if not isinstance(one, dict) or "default" not in one]
    return {"type": "object", "properties": properties, "required": needed}


def made(schema: Any) -> tuple[type[BaseModel], list[tuple[str, str]]]:
    problems = Problems()
    model = model_of(schema, path="s", problems=problems)
    return model, [(one.path, one.code) for one in problems.found]


def model(schema: Any) -> type[BaseModel]:
    found, problems = made(schema)
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (STRING, ["", "x"], [1, None, True, ["x"]]),
        ({"type": "string", "minLength": 1, "maxLength": 2}, ["x", "xy"], ["", "xyz"]),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c", "", 1]),
        ({"type": "string", "format": "date"}, ["2026-01-31"], ["2026-02-31", "x"]),
        ({"type": "string", "format": "uuid"}, ["6d7a4f0e-52a5-5b9c-9a43-2b1d3f1f6c55"], ["6d7a4f0e"]),
        ({"type": "integer"}, [1, -3], ["1", 1.5, True, None]),
        ({"type": "integer", "enum": [0, 1]}, [0, 1], [2, True, False]),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, [1, 2], [0, 3]),
        ({"type": "number"}, [1, 1.5], ["1", True]),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1.5}, [0.1, 1.5], [0, 1.6]),
        ({"type": "boolean"}, [True, False], [1, "true", None]),
        ({"type": "boolean", "enum": [True]}, [True], [False, 1]),
        ({"type": "array"}, [[], [1, "x", None]], ["x", {}]),
        ({"type": "array", "items": {"type": "integer"}}, [[], [1]], [["1"], [1.5], 1]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1], ["x", 2]], [[], [1, 2, 3]]),
        ({"type": "object"}, [{}, {"a": 1}], [[], "x"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"a": 1}], [{"a": "1"}]),
        ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
        (payload_of(a=STRING), [{"a": "x"}], [{}, {"a": 1}, {"a": "x", "b": 1}]),
        (payload_of(a=STRING) | {"additionalProperties": True}, [{"a": "x", "b": 1}], [{"b": 1}]),
        ({"anyOf": [STRING, {"type": "null"}]}, ["x", None], [1]),
        ({"anyOf": [{"type": "null"}, payload_of(a=STRING)]}, [None, {"a": "x"}], [{"a": 1}]),
        ({}, [1, "x", None, [1], {"a": {}}], []),
        ({"title": "T", "description": "D"}, [1], []),
    ],
    ids=str,
)  # fmt: skip
def test_a_payload_is_held_to_its_schema(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    accepts = model(payload_of(it=schema))
    for value in good:
        assert accept_payload(accepts, {"it": value}).data == {"it": value}
    for value in bad:
        with pytest.raises(InvalidPayload, match="it"):
            accept_payload(accepts, {"it": value})


def test_a_default_is_filled_in_and_is_nobody_elses() -> None:
    accepts = model(payload_of(tags={"type": "array", "items": STRING, "default": ["new"]}))
    first = accept_payload(accepts, {})
    first.data["tags"].append("x")
    assert (accept_payload(accepts, {}).data, accept_payload(accepts, {}).given) == ({"tags": ["new"]}, {})


def test_a_moment_is_normalised_as_in_a_class() -> None:
    class Said(BaseModel):
        at: datetime

    accepts = model(payload_of(at={"type": "string", "format": "date-time"}))
    given_ = {"at": "2026-01-01T00:00:00+00:00"}
    assert accept_payload(accepts, given_).data == accept_payload(Said, given_).data


def test_a_definition_is_used_wherever_it_is_named() -> None:
    part = payload_of(name={"type": "string", "default": "wheel"})
    schema = payload_of(one={"$ref": "#/$defs/Part"}, more={"type": "array", "items": {"$ref": "#/$defs/Part"}})
    accepts = model(schema | {"$defs": {"Part": part}})
    assert accept_payload(accepts, {"one": {}, "more": [{"name": "axle"}]}).data == {
        "one": {"name": "wheel"},
        "more": [{"name": "axle"}],
    }


def test_the_schema_is_shown_as_it_was_said() -> None:
    schema = payload_of(a={"type": "integer", "title": "How many", "maximum": 3})
    shown = model(schema).model_json_schema()
    assert shown == schema
    shown["properties"].clear()
    assert model(schema).model_json_schema() == schema


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (None, "s"),
        ([], "s"),
        ({"properties": {}}, "s"),
        ({"type": "object", "$defs": []}, "s.$defs"),
        ({"type": "object", "properties": []}, "s.properties"),
        ({"type": "object", "required": "a"}, "s.required"),
        ({"type": "object", "required": ["a"]}, "s.required"),
        ({"type": "object", "additionalProperties": STRING}, "s.additionalProperties"),
        ({"type": "object", "patternProperties": {}}, "s.patternProperties"),
        (payload_of(a=3), "s.properties.a"),
        (payload_of(a={"type": "strin"}), "s.properties.a.type"),
        (payload_of(a={"type": ["string", "null"]}), "s.properties.a.type"),
        (payload_of(a={"type": "string", "pattern": "x+"}), "s.properties.a.pattern"),
        (payload_of(a={"type": "string", "minimum": 3}), "s.properties.a.minimum"),
        (payload_of(a={"type": "string", "format": "email"}), "s.properties.a.format"),
        (payload_of(a={"type": "string", "format": "date", "minLength": 1}), "s.properties.a.format"),
        (payload_of(a={"type": "string", "minLength": -1}), "s.properties.a.minLength"),
        (payload_of(a={"type": "integer", "minimum": "x"}), "s.properties.a.minimum"),
        (payload_of(a={"type": "integer", "multipleOf": 3}), "s.properties.a.multipleOf"),
        (payload_of(a={"type": "integer", "enum": []}), "s.properties.a.enum"),
        (payload_of(a={"type": "integer", "enum": [1, "x"]}), "s.properties.a.enum"),
        (payload_of(a={"type": "integer", "title": 3}), "s.properties.a.title"),
        (payload_of(a={"type": "array", "items": {"type": "x"}}), "s.properties.a.items.type"),
        (payload_of(a={"type": "array", "uniqueItems": True}), "s.properties.a.uniqueItems"),
        (payload_of(a={"anyOf": [STRING, {"type": "integer"}]}), "s.properties.a.anyOf"),
        (payload_of(a={"anyOf": [{"type": "null"}]}), "s.properties.a.anyOf"),
        (payload_of(a={"oneOf": [STRING]}), "s.properties.a.oneOf"),
        (payload_of(a={"$ref": "https://example.com/schema"}), "s.properties.a.$ref"),
        (payload_of(a={"$ref": "#/$defs/B"}), "s.properties.a.$ref"),
        (payload_of(a={"const": 1}), "s.properties.a.const"),
        ({"type": "object", "properties": {"a": STRING}}, "s.properties.a"),
        (payload_of(**{"a-b": STRING}), "s.properties.a-b"),
        (payload_of(_a=STRING), "s.properties._a"),
        (payload_of(copy=STRING), "s.properties.copy"),
        (payload_of(model_x=STRING), "s.properties.model_x"),
        (payload_of(**{"class": STRING}), "s.properties.class"),
        (payload_of(a=A) | {"$defs": {"A": payload_of(b=A)}}, "s.$defs.A.properties.b.$ref"),
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_that_says_what_nobody_holds_to_is_refused(schema: Any, path: str) -> None:
    assert made(schema) == (Anything, [(path, "unsupported_schema")])


@pytest.mark.parametrize("default", [3, None, ["x"]])
def test_a_default_is_a_value_of_its_property(default: Any) -> None:
    schema = payload_of(a={"type": "string", "default": default})
    assert made(schema) == (Anything, [("s.properties.a.default", "invalid_default")])


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "enum", "$ref", "$defs", "anyOf", "default", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANY_JSON)
def test_whatever_stands_in_place_of_a_schema_is_read_or_refused(schema: Any) -> None:
    found, problems = made(schema)
    assert (found is Anything) == bool(problems)
    found, problems = made({"type": "object", "properties": {"a": schema}, "required": ["a"]})
    assert (found is Anything) == bool(problems)
