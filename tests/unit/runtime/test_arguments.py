"""One judgement an argument: the value as it is used from then on, or one error that says what is allowed."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squidmesh.clock import check_duration, in_words, seconds
from squidmesh.config import MeshConfig, check_integer
from squidmesh.errors import InvalidInput, InvalidUrl, NotFound, UsageError
from squidmesh.runtime import arguments

text = partial(arguments.check_text, field="said", least=1, most=5)
integer = partial(check_integer, field="said", allowed=range(1, 10))
length = partial(check_duration, field="said", least=timedelta(0), most=timedelta(days=1))
names = partial(arguments.check_names, field="said")
keys = partial(arguments.check_keys, field="said", count=2)
things = partial(arguments.check_list, field="said", of="things")
one_of = partial(arguments.check_one_of, allowed=("open", "ended"), field="said")
url = partial(arguments.check_url, field="said")
offers = partial(arguments.check_offers, method="now", field="said")


class Queue(StrEnum):
    FAST = "fast"


class Plain(str, Enum):  # noqa: UP042 (what str() makes of it is not its value)
    FAST = "fast"


class Priority(IntEnum):
    HIGH = 1


class Watch:
    def now(self) -> int:
        return 0


TAKEN: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (text, "a", "a"),
    (text, "𝄞𝄞𝄞𝄞𝄞", "𝄞𝄞𝄞𝄞𝄞"),
    (text, Plain.FAST, "fast"),
    (integer, 1, 1),
    (integer, 9, 9),
    (integer, Priority.HIGH, 1),
    (length, 0, timedelta(0)),
    (length, 0.5, timedelta(milliseconds=500)),
    (length, timedelta(days=1), timedelta(days=1)),
    (names, ["a"], ("a",)),
    (names, ("b", "a", "b"), ("b", "a")),
    (names, [Queue.FAST, Plain.FAST], ("fast",)),
    (keys, ["a", "a"], ["a", "a"]),
    (keys, ("x" * 512, " "), ["x" * 512, " "]),
    (things, (n for n in range(3)), [0, 1, 2]),
    (things, [], []),
    (things, {1}, [1]),
    (one_of, "open", "open"),
    (url, "memory://", "memory://"),
    (arguments.check_run_id, "018f-a", "018f-a"),
    (arguments.check_actor, " ops@example.org ", " ops@example.org "),
    (arguments.check_comment, None, ""),
    (arguments.check_comment, "x" * 8192, "x" * 8192),
    (arguments.check_metadata, None, {}),
    (arguments.check_metadata, {"a": [1, None]}, {"a": [1, None]}),
    (offers, Watch(), None),
]
REFUSED: list[tuple[Callable[[Any], Any], list[Any], type[UsageError], str]] = [
    (text, [5, None, b"a", ["a"]], InvalidInput, "said: is a .*; allowed is text of 1 to 5 characters"),
    (text, ["", "123456"], InvalidInput, "said: is . characters long; allowed is text of 1 to 5 characters"),
    (text, ["a\0"], InvalidInput, "said: has a NUL"),
    (text, ["\udc00"], InvalidInput, "said: has a lone surrogate"),
    (integer, [True, 1.0, "1", Decimal(1), None], InvalidInput, "said: is a .*; allowed is an integer from 1 to 9"),
    (integer, [0, 10, -1], InvalidInput, "said: .* is refused; allowed is an integer from 1 to 9"),
    (integer, [10**5000], InvalidInput, "said: such a number is refused; allowed is an integer from 1 to 9"),
    (length, ["1", True, None, Decimal(1)], InvalidInput, "said: .* is refused; allowed is 0 s to 1 day, as timedelta"),
    (length, [float("nan"), float("inf"), 1e300, 10**5000, -1, 86400.1], InvalidInput, "allowed is 0 s to 1 day"),
    (length, [timedelta.max, timedelta.min, timedelta(microseconds=-1)], InvalidInput, "allowed is 0 s to 1 day"),
    (names, ["a", b"a", {"a": 1}, {"a"}, None, 5], InvalidInput, "said: is a .*; allowed is a list of 1 to 1000 names"),
    (names, [[], ["a"] * 1001], InvalidInput, "said: has .* names; allowed is a list of 1 to 1000 names"),
    (names, [["a", "b c"]], InvalidInput, "said: 'b c' is refused; allowed are 1 to 128 of A-Z"),
    (names, [["a", 5], ["a", None]], InvalidInput, "said: holds a .*; allowed is a list of 1 to 1000 names"),
    (keys, ["ab", None, {"a", "b"}], InvalidInput, "said: is a .*; allowed is a list of keys, one for each payload"),
    (keys, [["a"], []], InvalidInput, "said: . keys for 2 payloads; allowed is one for each"),
    (keys, [["a", 5]], InvalidInput, r"said\[1\]: is a int; allowed is text of 1 to 512 characters"),
    (things, [5, None, "ab", {"a": 1}], InvalidInput, "said: is a .*; allowed is a list of things"),
    (things, [Queue], InvalidInput, "said: is 'Queue'; allowed is a list of things"),
    (one_of, ["closed", 5, None, ["open"]], InvalidInput, "said: .* is refused; allowed are open, ended"),
    (url, [5, None, "", "a\0"], InvalidUrl, "said: .*; allowed is text of 1 to 4096 characters"),
    (arguments.check_run_id, [5, None, []], InvalidInput, "run_id: is a .*; allowed is the id of a run, as text"),
    (arguments.check_run_id, ["", "a/b", "x" * 10**6], NotFound, "run_id: there is no run '"),
    (arguments.check_actor, [" ", "\n"], InvalidInput, "actor: is blank; allowed is the name of who decides"),
    (arguments.check_comment, ["ä" * 8000], InvalidInput, "comment: is larger than the 8192 bytes that are allowed"),
    (arguments.check_metadata, [[("a", 1)], "ab"], InvalidInput, "metadata: is a .*; allowed is a mapping of JSON"),
    (arguments.check_metadata, [{"a": [object()]}], InvalidInput, r"metadata\.a\[0\]: is a object; allowed are dict"),
    (arguments.check_metadata, [{"a": "x" * 8192}], InvalidInput, "metadata: is larger than the 8192 bytes"),
    (offers, [5, None], InvalidInput, r"said: is a .*; allowed is an object with now\(\)"),
]


@pytest.mark.parametrize("judge, value, result", TAKEN)
def test_a_good_value_is_taken_in_its_plain_form(judge: Callable[[Any], Any], value: Any, result: Any) -> None:
    taken = judge(value)
    assert taken == result
    assert type(taken) is type(result)


@pytest.mark.parametrize("judge, values, error, said", REFUSED, ids=[row[3] for row in REFUSED])
def test_a_bad_one_is_refused_in_words(
    judge: Callable[[Any], Any], values: list[Any], error: type[UsageError], said: str
) -> None:
    for value in values:
        with pytest.raises(error, match=said) as caught:
            judge(value)
        assert type(caught.value) is error
        assert len(str(caught.value)) < 300


anything = st.one_of(st.integers(), st.floats(), st.text(), st.timedeltas(), st.booleans(), st.none(), st.binary())


@given(anything)
def test_a_judgement_is_a_value_or_a_typed_error(value: Any) -> None:
    for judge in (text, integer, length, names, keys, things, one_of, url, offers):
        with suppress(UsageError):
            judge(value)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("queue", "lease", "heartbeat", "idle_poll"), anything)))
def test_so_are_settings(settings: dict[str, Any]) -> None:
    with suppress(InvalidInput):
        config = MeshConfig(**settings)
        assert timedelta(0) < config.beat <= config.lease / 2


def test_metadata_is_a_copy() -> None:
    told: dict[str, Any] = {"seen": ["a"]}
    kept = arguments.check_metadata(told)
    told["seen"].append("b")
    assert kept == {"seen": ["a"]}


@pytest.mark.parametrize("value", ["5", True, None, Decimal(5), b"5"])
def test_what_is_no_number_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(TypeError, match="allowed is a timedelta or a number of seconds"):
        seconds(value)


@pytest.mark.parametrize(
    "duration, words",
    [
        (timedelta(0), "0 s"),
        (timedelta(microseconds=500), "0.5 ms"),
        (timedelta(milliseconds=50), "50 ms"),
        (timedelta(seconds=2.5), "2.5 s"),
        (timedelta(minutes=1), "60 s"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=366), "366 days"),
        (timedelta(seconds=-1), "-1 s"),
    ],
)
def test_a_duration_in_words(duration: timedelta, words: str) -> None:
    assert in_words(duration) == words


# ---------------------------------------------------------------------------------------------------------- settings


def test_settings_are_kept_as_durations() -> None:
    config = MeshConfig(lease=10, heartbeat=2.5, idle_poll=1)  # type: ignore[arg-type]
    assert (config.lease, config.beat, config.idle_poll) == (
        timedelta(seconds=10),
        timedelta(seconds=2.5),
        timedelta(seconds=1),
    )
    assert MeshConfig(lease=timedelta(seconds=8)).beat == timedelta(seconds=2)


@pytest.mark.parametrize(
    "setting, values",
    [
        ("queue", ["", "a b", 5, None, "x" * 129]),
        ("lease", [0, 0.04, 86401, None, "60"]),
        ("heartbeat", [0, 31, -1, "1", False]),
        ("idle_poll", [0, -5, 61, None, True]),
        ("max_snoozes", [-1, 1.0, True, "1", None, 10**9]),
    ],
)
def test_a_setting_judges_itself(setting: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidInput, match=f"{setting}: .*allowed is") as caught:
            MeshConfig(**{setting: value})
        assert caught.value.field == setting


def test_the_bounds_themselves_are_allowed() -> None:
    each: list[dict[str, Any]] = [
        {"lease": 0.05, "heartbeat": 0.025},
        {"lease": timedelta(days=1), "heartbeat": 0.001},
        {"idle_poll": 0.001, "max_snoozes": 0},
        {"idle_poll": 60, "max_snoozes": 1_000_000},
    ]
    for settings in each:
        MeshConfig(**settings)
