"""A condition compares JSON with JSON; what can not be compared does not match."""

from __future__ import annotations

import pytest

from squidmesh.workflow.condition import holds
from squidmesh.workflow.definition import Condition

CONTEXT = {
    "text": "road",
    "one": 1,
    "half": 0.5,
    "float_one": 1.0,
    "true": True,
    "null": None,
    "list": [1, "a", None],
    "object": {"kind": "road", "deep": {"n": 3}},
    "big": 2**53 + 1,
}

MATCHES = [
    ("text", "==", "road"),
    ("one", "==", 1),
    ("one", "==", 1.0),
    ("float_one", "==", 1),
    ("true", "==", True),
    ("null", "==", None),
    ("list", "==", [1, "a", None]),
    ("list", "==", [1.0, "a", None]),
    ("object", "==", {"deep": {"n": 3}, "kind": "road"}),
    ("object.kind", "==", "road"),
    ("object.deep.n", "==", 3),
    ("text", "!=", "river"),
    ("one", "!=", 2),
    ("true", "!=", False),
    ("null", "!=", "road"),
    ("text", "!=", None),
    ("list", "!=", [1, "a"]),
    ("list", "!=", [True, "a", None]),
    ("object", "!=", {}),
    ("one", ">", 0),
    ("one", ">", 0.5),
    ("half", "<", 1),
    ("big", ">", 2**53),
    ("text", ">", "river"),
    ("text", "<", "sea"),
    ("text", "in", ["river", "road"]),
    ("one", "in", [True, 1.0]),
    ("null", "in", [None]),
    ("object", "in", [{"kind": "road", "deep": {"n": 3}}]),
    ("text", "exists", None),
    ("null", "exists", None),
    ("object.deep.n", "exists", None),
]

DOES_NOT_MATCH = [
    ("text", "==", "Road"),
    ("one", "==", "1"),
    ("one", "==", True),
    ("true", "==", 1),
    ("true", "==", 1.0),
    ("null", "==", False),
    ("null", "==", 0),
    ("null", "==", ""),
    ("list", "==", [True, "a", None]),
    ("list", "==", ["a", 1, None]),
    ("object", "==", {"kind": "road", "deep": {"n": True}}),
    ("object", "==", {"kind": "road"}),
    ("one", "!=", "1"),
    ("one", "!=", 1.0),
    ("true", "!=", 0),
    ("text", "!=", 1),
    ("text", "!=", "road"),
    ("null", "!=", None),
    ("object", "!=", [1]),
    ("one", ">", 1),
    ("one", ">", "0"),
    ("text", ">", 0),
    ("true", ">", 0),
    ("true", ">", False),
    ("one", ">", False),
    ("null", "<", 1),
    ("list", ">", [0]),
    ("object", "<", {"z": 1}),
    ("text", "in", ["river"]),
    ("true", "in", [1, "true"]),
    ("text", "in", []),
    ("text", "in", "roads"),
    ("one", "in", None),
    ("list.0", "==", 1),
    ("text.kind", "==", "road"),
    ("null.kind", "==", None),
    ("null.kind", "exists", None),
    ("object.deep.m", "exists", None),
]


@pytest.mark.parametrize(("path", "operator", "operand"), MATCHES)
def test_matches(path, operator, operand):
    assert holds(Condition(path=path, operator=operator, value=operand), CONTEXT)


@pytest.mark.parametrize(("path", "operator", "operand"), DOES_NOT_MATCH)
def test_does_not_match(path, operator, operand):
    assert not holds(Condition(path=path, operator=operator, value=operand), CONTEXT)


@pytest.mark.parametrize("operator", ["==", "!=", ">", "<", "in", "exists"])
@pytest.mark.parametrize("operand", [None, 1, "road", [None], {}])
def test_a_missing_path_matches_nothing(operator, operand):
    for path in ("nowhere", "object.nowhere", "nowhere.at.all"):
        assert not holds(Condition(path=path, operator=operator, value=operand), CONTEXT)
