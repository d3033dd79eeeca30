"""What is no strict JSON does not get in, and the error names the field."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import FrameType
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_validator, model_serializer

from squidmesh.config import MAX_DEPTH, MAX_PAYLOAD_BYTES
from squidmesh.errors import InvalidInput, InvalidOutput, InvalidPayload
from squidmesh.workflow.payload import check_json, parse_json, require_json, validate_payload


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def shared(levels: int) -> Any:
    """A list that contains itself two to the power of ``levels`` times over."""
    value: Any = []
    for _ in range(levels):
        value = [value, value]
    return value


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


REFUSED = [
    (float("nan"), "it", "finite"),
    ({"a": [0, float("inf")]}, "it.a[1]", "finite"),
    ({"a": {1: 2}}, "it.a.1", "key that is a int"),
    ({None: 1}, "it.None", "key that is a NoneType"),
    ("a\x00b", "it", "NUL"),
    ({"a\x00b": 1}, "it.a\\x00b", "NUL"),
    (["\ud800"], "it[0]", "surrogate"),
    ({"\udfff": 1}, "it.\\udfff", "surrogate"),
    ({"x": [{"y": 2**63}]}, "it.x[0].y", "64 bits"),
    (-(2**63) - 1, "it", "64 bits"),
    ((1, 2), "it", "is a tuple"),
    ({"a": {1}}, "it.a", "is a set"),
    (b"bytes", "it", "is a bytes"),
    (Decimal("1"), "it", "is a Decimal"),
    (datetime(2026, 1, 1, tzinfo=UTC), "it", "is a datetime"),
    (Colour.RED, "it", "is a Colour"),
    (Number.ONE, "it", "is a Number"),
    (object(), "it", "is a object"),
    (CIRCLE, "it" + "[0]" * MAX_DEPTH, "nested deeper"),
    (nested(MAX_DEPTH + 1), "it" + "[0]" * MAX_DEPTH, "nested deeper"),
    (nested(50_000), "it" + "[0]" * MAX_DEPTH, "nested deeper"),
    ("x" * 99_999, "it", "larger than the 100000 bytes"),
    ("é" * 60_000, "it", "larger than the 100000 bytes"),
    ("\n" * 60_000, "it", "larger than the 100000 bytes"),
    ({"a": [{"b": 1}] * 99_999}, "it", "larger than the 100000 bytes"),
    ([1e-300] * 20_000, "it", "larger than the 100000 bytes"),
]


@pytest.mark.parametrize(("value", "path", "reason"), REFUSED)
@pytest.mark.parametrize("check", [check_json, require_json])
def test_what_is_no_strict_json_is_refused_by_the_path_of_its_field(check, value, path, reason):
    with pytest.raises(InvalidPayload) as caught:
        check(value, field="it", limit=100_000, error=InvalidPayload)
    assert caught.value.field == path
    assert reason in str(caught.value)


@pytest.mark.parametrize("check", [check_json, require_json])
def test_a_value_that_contains_itself_many_times_over_ends_the_walk_early(check):
    with pytest.raises(InvalidOutput, match="larger"):
        check(shared(MAX_DEPTH - 1), field="it", limit=MAX_PAYLOAD_BYTES, error=InvalidOutput)


def test_the_step_errors_name_the_field_too():
    with pytest.raises(InvalidOutput, match=r"^output\.a: is nan"):
        check_json({"a": float("nan")}, field="output", limit=100, error=InvalidOutput)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"null"),
        ({"b": 1, "a": [True, 1.5, "é"]}, '{"a":[true,1.5,"é"],"b":1}'.encode()),
        ([2**63 - 1, -(2**63)], b"[9223372036854775807,-9223372036854775808]"),
        (nested(MAX_DEPTH), b"[" * MAX_DEPTH + b"]" * MAX_DEPTH),
        ("\U0001f991", '"\U0001f991"'.encode()),
        ("x" * 98, b'"' + b"x" * 98 + b'"'),
        ({"": ""}, b'{"":""}'),
    ],
)
def test_the_canonical_form_has_sorted_keys_and_no_spaces(value, body):
    assert check_json(value, field="it", limit=max(100, len(body)), error=InvalidPayload) == body


def test_the_limit_is_in_bytes_of_the_canonical_form():
    assert check_json("é" * 49, field="it", limit=100, error=InvalidPayload)
    with pytest.raises(InvalidPayload):
        check_json("é" * 50, field="it", limit=100, error=InvalidPayload)


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(JSON)
def test_the_canonical_form_reads_back_to_the_same_value_and_the_same_bytes(value):
    body = check_json(value, field="it", limit=MAX_PAYLOAD_BYTES, error=InvalidInput)
    again = parse_json(body, field="it")
    assert again == value
    assert check_json(again, field="it", limit=MAX_PAYLOAD_BYTES, error=InvalidInput) == body
    assert parse_json(json.dumps(value), field="it") == value  # with escapes and spaces


@given(JSON)
def test_a_value_is_required_to_be_json_exactly_when_it_can_be_written(value):
    limit = 64
    outcomes = set()
    for check in (check_json, require_json):
        try:
            check(value, field="it", limit=limit, error=InvalidInput)
            outcomes.add(True)
        except InvalidInput:
            outcomes.add(False)
    assert len(outcomes) == 1


TEXTS = [
    ('{"a": 1, "a": 2}', "line 1, column 10: the key 'a' is there twice"),
    ('{"a": 1,\n  "\\u0061": 2}', "line 2, column 3: the key 'a' is there twice"),
    ('[{"x": {"b": 1, "b": 1}}]', "line 1, column 17: the key 'b' is there twice"),
    ("[1,\n NaN]", "line 2, column 2: NaN is not allowed"),
    ("-Infinity", "line 1, column 1: -Infinity is not allowed"),
    ('{"a": Infinity}', "line 1, column 7: Infinity is not allowed"),
    ("[1e999]", "it[0]: is inf"),
    ('{"a": [12345678901234567890]}', "it.a[0]: is an integer beyond 64 bits"),
    ("9" * 5000, "it: has an integer beyond 64 bits"),
    ("[" * 65 + "]" * 65, "line 1, column 65: nested deeper than the 64 levels"),
    ("[" * 100_000 + "]" * 100_000, "line 1, column 65: nested deeper than the 64 levels"),
    ('{"a":' * 20_000 + "1" + "}" * 20_000, "column 321: nested deeper than the 64 levels"),
    ('"\\u0000"', "it: has a NUL"),
    ('"\\ud800"', "it: has a lone surrogate"),
    ("", "line 1, column 1: Expecting value"),
    ("[1,]", "line 1, column "),
    ('{"a": 1}\n{', "line 2, column 1: Extra data"),
    ("{'a': 1}", "line 1, column 2"),
    ('["a\nb"]', "line 1, column 4: Invalid control character"),
    ('"' + "x" * MAX_PAYLOAD_BYTES + '"', "larger than the 262144 bytes"),
    (b"\xff", "no UTF-8"),
    ("\ud800", "no UTF-8"),
    ("\ufeff1", "line 1, column 1: Unexpected UTF-8 BOM"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_a_text_that_is_no_strict_json_is_refused_with_its_place(text, message):
    with pytest.raises(InvalidInput) as caught:
        parse_json(text, field="it")
    assert message in str(caught.value)
    assert (caught.value.field or "").startswith("it")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}', {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}),
        ('["NaN", "{", "\\"a\\": ", "a", "a"]', ["NaN", "{", '"a": ', "a", "a"]),
        (b" -1.5e3 ", -1500.0),
        ("[" * 64 + "]" * 64, nested(64)),
    ],
)
def test_strict_json_is_read(text, value):
    assert parse_json(text, field="it") == value


# ---------------------------------------------------------------------------------------------------------- models


class Address(BaseModel):
    street: str
    number: int | None = None


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class Order(BaseModel):
    order_id: UUID
    at: datetime
    lines: list[Address] = []
    ship_to: Address | None = None
    loose: Loose = Loose()
    total: Decimal = Field(default=Decimal("1.50"), alias="totalAmount")
    anything: Any = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.lines)


ORDER_ID = uuid5(UUID(int=0), "order")
AT = datetime(2026, 11, 22, tzinfo=UTC)
VALID: dict[str, Any] = {"order_id": str(ORDER_ID), "at": "2026-11-22T00:00:00Z"}
DUMPED: dict[str, Any] = {
    "order_id": str(ORDER_ID),
    "at": "2026-11-22T00:00:00Z",
    "lines": [],
    "ship_to": None,
    "loose": {"known": 0},
    "total": "1.50",
    "anything": None,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Order(order_id=ORDER_ID, at=AT), DUMPED),
        (VALID, DUMPED),
        ({"order_id": ORDER_ID, "at": AT}, DUMPED),
        ({**VALID, "totalAmount": "2"}, {**DUMPED, "total": "2"}),
        ({**VALID, "total": 2}, {**DUMPED, "total": "2"}),
        ({**VALID, "loose": {"extra": 1}}, {**DUMPED, "loose": {"known": 0, "extra": 1}}),
        (
            {**VALID, "ship_to": {"street": "Bagshot Row"}},
            {**DUMPED, "ship_to": {"street": "Bagshot Row", "number": None}},
        ),
    ],
)
def test_a_payload_is_json_with_every_field_by_its_own_name(value, expected):
    assert validate_payload(Order, value) == expected


def test_a_payload_reads_back_as_itself():
    once = validate_payload(Order, VALID)
    assert validate_payload(Order, once) == once


def test_all_that_is_wrong_with_a_payload_is_one_error_without_its_values():
    wrong = {"order_id": "secret-1", "lines": [{"street": 5, "nmber": 1}], "shipto": None, "ship_to": {"stret": 1}}
    with pytest.raises(InvalidPayload) as caught:
        validate_payload(Order, wrong)
    text = str(caught.value)
    for part in (
        "order_id: ",
        "at: Field required",
        "lines.0.street: ",
        "lines.0.nmber: no such field",
        "shipto: no such field",
        "ship_to.street: Field required",
        "ship_to.stret: no such field",
    ):
        assert part in text
    assert "secret" not in text
    assert (caught.value.field, caught.value.http_status) == ("payload", 422)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "payload: is a NoneType; allowed is a Order or a mapping"),
        ([], "payload: is a list"),
        (Address(street="x"), "payload: is a Address"),
        ({"order_id": 5, 6: 1}, "payload: "),
        ({**VALID, "typo": 1}, "payload: typo: no such field"),
        ({**VALID, "anything": float("nan")}, "payload: has a number that is not finite"),
        ({**VALID, "anything": {"x": [float("inf")]}}, "payload: has a number that is not finite"),
        ({**VALID, "anything": object()}, "payload: Unable to serialize unknown type"),
        ({**VALID, "anything": "\x00"}, "payload.anything: has a NUL"),
        ({**VALID, "anything": nested(64)}, "payload.anything"),
        ({**VALID, "anything": "x" * MAX_PAYLOAD_BYTES}, "payload: is larger"),
        ({**VALID, "anything": CIRCLE}, "payload: Circular reference"),
        (Order.model_construct(order_id="x", at=AT), "payload: order_id: is no `uuid`"),  # type: ignore[arg-type]
    ],
)
def test_a_payload_that_can_not_be_stored_is_refused(value, message):
    with pytest.raises(InvalidPayload) as caught:
        validate_payload(Order, value)
    assert str(caught.value).startswith(message)


def test_the_values_of_a_broken_instance_are_not_in_the_error():
    with pytest.raises(InvalidPayload) as caught:
        validate_payload(Address, Address.model_construct(street=["sesame"]))  # type: ignore[arg-type]
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("extra", ["allow", "ignore", "forbid"])
def test_a_model_decides_itself_about_unknown_fields_where_it_says_so(extra):
    class Said(BaseModel):
        model_config = ConfigDict(extra=extra)

    if extra == "forbid":
        with pytest.raises(InvalidPayload, match="x: Extra inputs are not permitted"):
            validate_payload(Said, {"x": 1})
    else:
        assert validate_payload(Said, {"x": 1}) == ({"x": 1} if extra == "allow" else {})


def test_a_strict_model_takes_json():
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        order_id: UUID
        at: datetime

    assert validate_payload(Strict, VALID) == VALID
    with pytest.raises(InvalidPayload, match="order_id: "):
        validate_payload(Strict, {**VALID, "order_id": 1})


def test_defaults_are_computed_and_recorded():
    numbers = iter(range(9))

    class Numbered(BaseModel):
        number: int = Field(default_factory=lambda: next(numbers))

    assert validate_payload(Numbered, {}) == {"number": 0}
    assert validate_payload(Numbered, {}) == {"number": 1}
    assert validate_payload(Numbered, {"number": 7}) == {"number": 7}


def test_a_model_that_is_dumped_as_something_else_is_refused():
    class Listed(BaseModel):
        @model_serializer
        def dump(self) -> list[int]:
            return []

    class Rooted(RootModel[list[int]]): ...

    with pytest.raises(InvalidPayload, match="not an object"):
        validate_payload(Listed, Listed())
    with pytest.raises(InvalidPayload, match="not an object"):
        validate_payload(Rooted, Rooted([1]))


def test_a_validator_of_the_author_is_heard():
    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("odd numbers are for others")
            return number

    with pytest.raises(InvalidPayload, match="number: Value error, odd numbers are for others"):
        validate_payload(Even, {"number": 1})


def test_the_walk_needs_no_deep_stack():
    limit = sys.getrecursionlimit()
    depth = len(_frames()) + 150
    sys.setrecursionlimit(depth)
    try:
        check_json(nested(MAX_DEPTH), field="it", limit=1000, error=InvalidInput)
        with pytest.raises(InvalidInput):
            check_json(nested(5000), field="it", limit=100_000, error=InvalidInput)
    finally:
        sys.setrecursionlimit(limit)


def _frames() -> list[object]:
    frame: FrameType | None = sys._getframe()
    found: list[object] = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
