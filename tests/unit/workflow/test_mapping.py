"""A step gets what it asks for, typed, and gives back what it promised; anything else names the step and the field."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from squidmesh.config import MAX_OUTPUT_BYTES
from squidmesh.errors import InvalidOutput, InvalidStepInput, MissingInput
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.mapping import BoundStep, copy_json, lookup, output_of
from squidmesh.workflow.signature import read_signature

if TYPE_CHECKING:
    from nowhere import Context  # type: ignore[import-not-found]


class Provisions(BaseModel):
    bread: int
    note: str | None = None


class Aliased(BaseModel):
    ring_id: str = Field(alias="ringId")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime


class Moria(TypedDict):
    crossed: bool


@dataclass
class Walk:
    miles: int
    started: date


class Colour(Enum):
    RED = "red"


def bound(fn: Callable[..., Any], **settings: Any) -> BoundStep:
    signature = read_signature(fn)
    assert signature.problems == ()
    return BoundStep(FunctionStep(name="it", **settings), fn, signature)


# ---------------------------------------------------------------------------------------------------------- lookup

CONTEXT: dict[str, Any] = {
    "account": {"id": "a-1", "owner": {"name": "Frodo"}},
    "count": 3,
    "nothing": None,
    "list": [1, 2],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("count", 3),
        ("nothing", None),
        ("account.id", "a-1"),
        ("account.owner.name", "Frodo"),
        ("account.owner", {"name": "Frodo"}),
    ],
)
def test_a_dotted_path_is_looked_up(path, value):
    assert lookup(CONTEXT, path) == value
    assert lookup(MappingProxyType(CONTEXT), path) == value


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("acount", "'acount' has no value: the context has account, count, list, nothing"),
        ("account.idd", "'account.idd' has no value: 'account' has id, owner"),
        ("account.owner.nme.x", "'account.owner.nme.x' has no value: 'account.owner' has name"),
        ("count.x", "'count.x' has no value: 'count' is a int, not an object"),
        ("nothing.x", "'nothing.x' has no value: 'nothing' is a NoneType, not an object"),
        ("list.0", "'list.0' has no value: 'list' is a list, not an object"),
    ],
)
def test_a_missing_path_says_what_there_is_where_it_broke(path, message):
    with pytest.raises(MissingInput) as caught:
        lookup(CONTEXT, path)
    assert str(caught.value) == message


def test_a_missing_path_shows_no_endless_list():
    with pytest.raises(MissingInput, match=r"k019, …$"):
        lookup({f"k{number:03}": 0 for number in range(100)}, "x")
    with pytest.raises(MissingInput, match=r"the context has nothing$"):
        lookup({}, "x")


# ------------------------------------------------------------------------------------------------------------ pick


def test_parameters_are_picked_by_their_names():
    def fn(account: dict[str, Any], count: int, limit: int = 5) -> None: ...

    assert bound(fn).pick({**CONTEXT, "more": 1}) == {"account": CONTEXT["account"], "count": 3}
    assert bound(fn).pick({**CONTEXT, "limit": None})["limit"] is None


def test_an_input_mapping_renames_and_reaches_into_objects():
    def fn(account_id: str, owner: str = "none", count: int = 9) -> None: ...

    step = bound(fn, input={"account_id": "account.id", "owner": "account.owner.name"})
    assert step.pick(CONTEXT) == {"account_id": "a-1", "owner": "Frodo"}
    assert step.pick({"account": {"id": "a-2"}, "count": 1}) == {"account_id": "a-2"}


def test_a_parameter_that_has_no_value_is_named():
    def fn(account_id: str) -> None: ...

    with pytest.raises(MissingInput) as caught:
        bound(fn).pick(CONTEXT)
    assert str(caught.value).startswith("step 'it', parameter 'account_id': 'account_id' has no value: the context has")
    with pytest.raises(
        MissingInput, match=r"parameter 'account_id': 'account.key' has no value: 'account' has id, owner"
    ):
        bound(fn, input={"account_id": "account.key"}).pick(CONTEXT)


# ------------------------------------------------------------------------------------------------------- arguments

CONVERTED = [
    (str, "a", "a"),
    (int, 3, 3),
    (int, "3", 3),
    (float, 3, 3.0),
    (bool, True, True),
    (Decimal, "1.50", Decimal("1.50")),
    (datetime, "2026-11-22T00:00:00Z", datetime(2026, 11, 22, tzinfo=UTC)),
    (date, "2026-11-22", date(2026, 11, 22)),
    (timedelta, "PT30S", timedelta(seconds=30)),
    (UUID, "6d7a4f0e-52a5-5b9c-9a43-2b1d3f1f6c55", UUID("6d7a4f0e-52a5-5b9c-9a43-2b1d3f1f6c55")),
    (Colour, "red", Colour.RED),
    (Optional[int], None, None),  # noqa: UP045 - authors write it
    (int | None, 3, 3),
    (list[int], ["1", 2], [1, 2]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (set[str], ["a"], {"a"}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Provisions, {"bread": 1}, Provisions(bread=1)),
    (list[Provisions], [{"bread": 1}], [Provisions(bread=1)]),
    (Aliased, {"ring_id": "a"}, Aliased(ringId="a")),
    (Aliased, {"ringId": "a"}, Aliased(ringId="a")),
    (Strict, {"at": "2026-11-22T00:00:00Z"}, Strict(at=datetime(2026, 11, 22, tzinfo=UTC))),
    (Walk, {"miles": 3, "started": "2026-11-22"}, Walk(3, date(2026, 11, 22))),
    (Moria, {"crossed": True}, {"crossed": True}),
    (Any, [1, None], [1, None]),
    ("int", "3", 3),
    ("Provisions", {"bread": 1}, Provisions(bread=1)),
    ("list[Provisions]", [{"bread": 1}], [Provisions(bread=1)]),
    (list["Provisions"], [{"bread": 1}], [Provisions(bread=1)]),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), CONVERTED)
def test_a_json_value_becomes_the_type_of_its_parameter(annotation, value, expected):
    def fn(it) -> None: ...

    fn.__annotations__["it"] = annotation
    arguments = bound(fn).arguments({"it": value}, None)
    assert arguments == {"it": expected}
    assert type(arguments["it"]) is type(expected)


def test_a_parameter_without_annotation_takes_anything():
    def fn(it): ...

    assert bound(fn).arguments({"it": {"a": [1]}}, None) == {"it": {"a": [1]}}


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "three", "step 'it', parameter it: Input should be a valid integer"),
        (int, None, "step 'it', parameter it: Input should be a valid integer"),
        (str, 3, "step 'it', parameter it: Input should be a valid string"),
        (Provisions, {"bread": "much"}, "step 'it', parameter it.bread: Input should be a valid integer"),
        (Provisions, {}, "step 'it', parameter it.bread: Field required"),
        (list[Walk], [{"miles": 1}], "step 'it', parameter it.0.started: Field required"),
        (Strict, {"at": 5}, "step 'it', parameter it.at: Input should be a valid datetime"),
    ],
)
def test_a_value_that_does_not_fit_names_step_and_parameter(annotation, value, message):
    def fn(it) -> None: ...

    fn.__annotations__["it"] = annotation
    with pytest.raises(InvalidStepInput) as caught:
        bound(fn).arguments({"it": value}, None)
    assert str(caught.value).startswith(message)


def test_what_a_step_does_to_its_arguments_stays_with_the_step():
    def fn(plain, anything: Any, items: dict[str, Any], model: Provisions) -> None: ...

    inner = {"deep": [{"n": 1}]}
    context = {"plain": inner, "anything": inner, "items": inner, "model": {"bread": 1}}
    step = bound(fn)
    arguments = step.arguments(step.pick(context), None)
    for name in ("plain", "anything", "items"):
        arguments[name]["deep"][0]["n"] = 2
        arguments[name]["more"] = 1
    arguments["model"].bread = 5
    assert context == {
        "plain": {"deep": [{"n": 1}]},
        "anything": {"deep": [{"n": 1}]},
        "items": {"deep": [{"n": 1}]},
        "model": {"bread": 1},
    }


def test_a_copy_of_json_shares_nothing_that_can_change():
    value = {"a": [1, {"b": None}], "c": "text"}
    copied = copy_json(value)
    assert copied == value
    assert copied is not value and copied["a"] is not value["a"] and copied["a"][1] is not value["a"][1]


def test_the_context_is_passed_by_name_or_by_type():
    class Context:
        pass

    def by_name(context) -> None: ...

    def by_name_whatever_it_is_annotated(context: int) -> None: ...

    def by_type(it: Context) -> None: ...

    by_type.__annotations__["it"] = Context

    def by_quoted_type(it: "Context") -> None: ...  # noqa: UP037

    def only_for_type_checkers(it: Context, count: int) -> None: ...

    def with_default(context=None) -> None: ...

    mine = Context()
    for fn in (
        by_name,
        by_name_whatever_it_is_annotated,
        by_type,
        by_quoted_type,
        only_for_type_checkers,
        with_default,
    ):
        step = bound(fn)
        assert step.wants_context
        picked = step.pick({"context": 1, "it": 2, "count": 3})
        assert picked == ({"count": 3} if fn is only_for_type_checkers else {})
        assert mine in step.arguments(picked, mine).values()
    assert not bound(lambda count: None).wants_context


def test_a_model_that_happens_to_be_called_context_is_a_value():
    class Context(BaseModel):
        count: int

    def fn(it) -> None: ...

    fn.__annotations__["it"] = Context
    assert bound(fn).arguments({"it": {"count": 1}}, None) == {"it": Context(count=1)}


# ---------------------------------------------------------------------------------------------------------- result

RESULTS = [
    (Provisions, Provisions(bread=1), {"bread": 1, "note": None}),
    (Provisions, {"bread": "1"}, {"bread": 1, "note": None}),
    (Aliased, Aliased(ringId="a"), {"ring_id": "a"}),
    (Moria, {"crossed": True}, {"crossed": True}),
    (Walk, Walk(3, date(2026, 11, 22)), {"miles": 3, "started": "2026-11-22"}),
    (Optional[Provisions], None, None),  # noqa: UP045
    (None, None, None),
    (dict[str, Any], {"at": date(2026, 11, 22), "n": None}, {"at": "2026-11-22", "n": None}),
    (dict, {}, {}),
    (Any, {"a": (1, 2)}, {"a": [1, 2]}),
    (Moria | Walk, Walk(1, date(2026, 1, 1)), {"miles": 1, "started": "2026-01-01"}),
    ("Provisions", Provisions(bread=1), {"bread": 1, "note": None}),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), RESULTS)
@pytest.mark.parametrize("output", [None, "it"])
def test_a_result_becomes_json(annotation, value, expected, output):
    def fn() -> Any: ...

    fn.__annotations__["return"] = annotation
    assert bound(fn, output=output).result(value) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3),
        (str, "a", "a"),
        (list[date], [date(2026, 1, 1)], ["2026-01-01"]),
        (tuple[int, ...], (1, 2), [1, 2]),
        (Decimal, Decimal("1.5"), "1.5"),
        (Colour, Colour.RED, "red"),
        (float, float(1), 1.0),
    ],
)
def test_under_an_output_key_any_json_will_do(annotation, value, expected):
    def fn() -> Any: ...

    fn.__annotations__["return"] = annotation
    assert bound(fn, output="it").result(value) == expected
    with pytest.raises(InvalidOutput, match=r"without an output key, only an object"):
        bound(fn).result(value)


@pytest.mark.parametrize(
    "value",
    [Provisions(bread=1), {"bread": 1, "note": None}, Walk(1, date(2026, 1, 1)), None, [1], "a", OrderedDict()],
)
def test_a_result_without_annotation_is_dumped_as_what_it_is(value):
    assert bound(lambda: None, output="it").result(value) in (
        {"bread": 1, "note": None},
        {"miles": 1, "started": "2026-01-01"},
        None,
        [1],
        "a",
        {},
    )


class WithAnything(BaseModel):
    it: Any


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Provisions, {"bread": "much"}, "step 'it', output: bread: Input should be a valid integer"),
        (Provisions, None, "step 'it', output: Input should be a valid dictionary"),
        (Provisions, Provisions.model_construct(bread=["much"]), "step 'it', output: bread: is no `int`"),  # type: ignore[arg-type]
        (list[Provisions], [{"bread": 1}, {}], "step 'it', output: 1.bread: Field required"),
        (Moria, {}, "step 'it', output: crossed: Field required"),
        (None, 3, "step 'it', output: Input should be None"),
        (NoReturn, 3, "step 'it', output: Input should be None"),
        (float, float("nan"), "step 'it', output: is nan"),
        (Any, float("inf"), "step 'it', output: has a number that is not finite"),
        (Any, {"a": float("nan")}, "step 'it', output: has a number that is not finite"),
        (Any, {"a": {"b": (float("nan"), None)}}, "step 'it', output: has a number that is not finite"),
        (dict[str, float], {"a": float("nan")}, "step 'it', output.a: is nan"),
        (WithAnything, WithAnything(it=float("nan")), "step 'it', output: has a number that is not finite"),
        (Any, WithAnything(it=[float("-inf")]), "step 'it', output: has a number that is not finite"),
        (Any, object(), "step 'it', output: Unable to serialize unknown type"),
        (Any, {"f": len}, "step 'it', output: Unable to serialize unknown type"),
        (Any, b"\xff", "step 'it', output: is no JSON"),
        (str, "\x00", "step 'it', output: has a NUL"),
        (Any, {"a": ["\ud800"]}, "step 'it', output.a[0]: has a lone surrogate"),
        (int, 2**63, "step 'it', output: is an integer beyond 64 bits"),
        (str, "x" * MAX_OUTPUT_BYTES, "step 'it', output: is larger"),
    ],
)
def test_a_result_that_is_not_what_was_promised_names_the_field(annotation, value, message):
    def fn() -> Any: ...

    fn.__annotations__["return"] = annotation
    with pytest.raises(InvalidOutput) as caught:
        bound(fn, output="it").result(value)
    assert str(caught.value).startswith(message)
    assert "much" not in str(caught.value)


@pytest.mark.parametrize("depth", [65, 300, 100_000])
def test_a_result_that_is_too_deep_is_refused(depth):
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    for annotation in (Any, list):

        def fn() -> Any: ...

        fn.__annotations__["return"] = annotation
        with pytest.raises(InvalidOutput, match=r"dep|deeper"):
            bound(fn, output="it").result(value)


def test_a_circular_result_is_refused():
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidOutput, match=r"Circular reference"):
        bound(lambda: None, output="it").result(circle)


# ---------------------------------------------------------------------------------------------------------- output


def test_an_output_goes_under_its_key_or_is_merged():
    assert output_of(FunctionStep(name="it", output="key"), [1], ()) == {"key": [1]}
    assert output_of(FunctionStep(name="it", output="key"), None, ()) == {"key": None}
    assert output_of(FunctionStep(name="it"), {"a": 1}, ("b",)) == {"a": 1}
    assert output_of(FunctionStep(name="it"), None, ("b",)) == {}


def test_a_merged_output_may_not_replace_the_payload():
    with pytest.raises(InvalidOutput, match=r"step 'it', output: a, b would replace the payload's"):
        output_of(FunctionStep(name="it"), {"b": 1, "c": 1, "a": 1}, frozenset({"a", "b"}))
    with pytest.raises(InvalidOutput, match=r"is a list"):
        output_of(FunctionStep(name="it"), [1], ())


# --------------------------------------------------------------------------------------------------- all functions


class Callable_:
    async def __call__(self, count: int) -> Moria:
        return {"crossed": count > 1}


def plain(count: int) -> Moria:
    return {"crossed": count > 1}


async def awaitable(count: int) -> Moria:
    return {"crossed": count > 1}


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


class Holder:
    def method(self, count: int) -> Moria:
        return {"crossed": count > 1}

    @staticmethod
    async def static(count: int) -> Moria:
        return {"crossed": count > 1}

    @classmethod
    def of_class(cls, count: int) -> Moria:
        return {"crossed": count > 1}


def with_more(prefix: str, count: int) -> Moria:
    return {"crossed": count > 1}


@pytest.mark.parametrize(
    ("fn", "is_async"),
    [
        (plain, False),
        (awaitable, True),
        (wrapped, False),
        (Callable_(), True),
        (Holder().method, False),
        (Holder.static, True),
        (Holder.of_class, False),
        (functools.partial(with_more, "a"), False),
        (functools.partial(awaitable), True),
        (functools.partial(functools.partial(with_more), prefix="a"), False),
    ],
)
def test_every_kind_of_callable_is_read_with_its_annotations(fn, is_async):
    step = bound(fn)
    assert step.is_async is is_async
    assert step.fn is fn
    assert step.arguments(step.pick({"count": 3}), None) == {"count": 3}
    with pytest.raises(InvalidStepInput):
        step.arguments({"count": "x"}, None)
    with pytest.raises(InvalidOutput, match=r"crossed: Field required"):
        step.result({})


def test_a_secret_may_be_a_parameter():
    def fn(password: SecretStr) -> None: ...

    assert bound(fn).arguments({"password": "mellon"}, None)["password"].get_secret_value() == "mellon"
