"""What is secret is hidden by its path, and by its value wherever else it turns up."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squidmesh.redaction import HIDDEN, LEAST, Redaction, is_secret, secret_texts

VALUE: dict[str, Any] = {
    "user": "sam",
    "token": "mellon-42",
    "cards": [{"number": "4711-0815", "holder": "sam"}, {"number": "4711-0816", "holder": "pip"}],
    "by_name": {"home": {"key": "bag-end"}, "mine": {"key": "durins-day"}},
    "pin": 12345,
    "none": None,
    "flag": True,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("token", {**VALUE, "token": HIDDEN}),
        ("pin", {**VALUE, "pin": HIDDEN}),
        ("none", {**VALUE, "none": HIDDEN}),
        ("flag", {**VALUE, "flag": HIDDEN}),
        ("cards", {**VALUE, "cards": HIDDEN}),
        ("cards.*.number", {**VALUE, "cards": [{"number": HIDDEN, "holder": name} for name in ("sam", "pip")]}),
        ("by_name.*.key", {**VALUE, "by_name": {"home": {"key": HIDDEN}, "mine": {"key": HIDDEN}}}),
        ("*", dict.fromkeys(VALUE, HIDDEN)),
        ("", HIDDEN),
        ("token.deeper", VALUE),
        ("nowhere", VALUE),
        ("cards.number", VALUE),
    ],
)
def test_what_stands_at_a_path_is_hidden_and_nothing_else(path: str, expected: Any) -> None:
    before = json.dumps(VALUE)

    assert Redaction().value(VALUE, [path]) == expected
    assert json.dumps(VALUE) == before


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["token"], {"mellon-42"}),
        (["cards.*.number", "pin"], {"4711-0815", "4711-0816", "12345"}),
        (["by_name"], {"bag-end", "durins-day"}),
        ([""], {"mellon-42", "4711-0815", "4711-0816", "bag-end", "durins-day", "12345"}),
        (["none", "flag", "nowhere"], set()),
    ],
)
def test_the_texts_of_secrets_are_found_however_deep(paths: list[str], expected: set[str]) -> None:
    assert secret_texts(VALUE, paths) == expected, "but none of less than 4 characters"


def test_short_and_blank_texts_are_not_looked_for() -> None:
    value = {"secret": ["a" * (LEAST - 1), "a" * LEAST, " " * 40]}

    assert secret_texts(value, ["secret"]) == {"a" * LEAST}


def test_a_secret_is_found_by_its_value_in_texts_keys_and_numbers() -> None:
    redaction = Redaction({"mellon-42", "12345"})
    told = {"say mellon-42 twice: mellon-42": [1, 12345, 123456, {"deep": "mellon-42"}], "ok": True}

    assert redaction.value(told) == {
        f"say {HIDDEN} twice: {HIDDEN}": [1, HIDDEN, 123456, {"deep": HIDDEN}],
        "ok": True,
    }
    assert Redaction({"mellon", "mellon-42"}).text("mellon-42") == HIDDEN, "the longer one first"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=LEAST))
def test_no_usual_spelling_of_a_secret_is_left(secret: str) -> None:
    if len(secret.strip()) < LEAST:
        return
    redaction = Redaction({secret})
    for told in (secret, repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1], quote_plus(secret)):
        assert redaction.text(f"<{told}>") == f"<{HIDDEN}>"


def test_each_line_of_a_longer_secret_is_found() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADAN\nAoIBAQC7\n"
    told = Redaction({key}).text("  | MIIEvQIBADAN\n  | AoIBAQC7\n")

    assert told == f"  | {HIDDEN}\n  | {HIDDEN}\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("card.number", True), ("card", True), ("card.number.last", True), ("card.holder", False), ("other", False)],
)
def test_a_context_path_is_secret_at_above_and_below_a_secret_path(path: str, expected: bool) -> None:
    assert is_secret(path, ["card.number"]) is expected
