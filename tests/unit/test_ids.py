"""What must happen once has an id that is computed from what it is; keys read in one way only."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squidmesh.errors import InvalidInput
from squidmesh.ids import (
    attempt_key,
    check_identifier,
    claim_hash,
    derived_id,
    fingerprint,
    idempotency_key,
    is_identifier,
    is_step_name,
    keyed_run_id,
    parse_attempt_key,
    runnable_key,
)

CALM = settings(deadline=None)
identifiers = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


def test_derived_ids_are_the_same_for_ever_and_everywhere() -> None:
    assert derived_id("run", "Errand", "k1") == "995bd2d3-0a6e-5e02-ac36-9db57750a570"
    assert keyed_run_id("Errand", "k1") == "995bd2d3-0a6e-5e02-ac36-9db57750a570"
    assert keyed_run_id("Wegbeschreibung", "ключ 🗝") == "6dc8e789-24d0-5a08-a296-94795d1e1838"
    assert idempotency_key("9a1e", "pack") == "b41acf68-8c50-566e-aa0d-b9c3c8f046d1"


@CALM
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"))), min_size=2, max_size=6, unique_by=tuple))
def test_other_parts_give_another_id(parts: list[list[str]]) -> None:
    assert len({derived_id("kind", *part) for part in parts}) == len(parts)


def test_another_kind_gives_another_id() -> None:
    assert derived_id("run", "a", "b") != derived_id("effect", "a", "b")


def test_an_idempotency_key_is_safe_in_any_header() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", idempotency_key("läuft\n", "pack"))


@CALM
@given(identifiers, identifiers, st.integers(1, 10**6))
def test_an_attempt_key_reads_back(run_id: str, step: str, attempt: int) -> None:
    assert parse_attempt_key(attempt_key(run_id, step, attempt)) == (run_id, step, attempt)
    assert attempt_key(run_id, step, attempt) == f"{runnable_key(run_id, step)}#{attempt}"


NO_KEYS = ["", "#", "/", "r/s", "r#1", "/s#1", "r/#1", "r/s#", "r/s#x", "r/s#-1", "r/s#1.0", "r/s#1 "]


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_attempt_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_attempt_key(key)
    assert refused.value.field == "item"


@pytest.mark.parametrize("attempt", ["²", "٣", "1" * 5000])
def test_an_attempt_is_counted_in_plain_digits(attempt: str) -> None:
    """``"²".isdigit()`` is true, and ``int("²")`` raises."""
    with pytest.raises(InvalidInput):
        parse_attempt_key(f"r/s#{attempt}")


@CALM
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_claim_hash_tells_claims_apart_and_not_what_they_are(one: str, other: str) -> None:
    assert (claim_hash(one) == claim_hash(other)) == (one == other)
    assert re.fullmatch(r"[0-9a-f]{32}", claim_hash(one))


def test_a_fingerprint_is_sha_256() -> None:
    assert fingerprint(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "x" * 128])
def test_identifiers_are_plain(name: str) -> None:
    assert is_identifier(name)
    assert check_identifier(name, field="queue") == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a#b", "a!b", "ä", "a\n", "\na", "x" * 129, None, 3, b"a"])
def test_what_a_store_could_misread_is_no_identifier(name: object) -> None:
    assert not is_identifier(name)
    with pytest.raises(InvalidInput, match="queue"):
        check_identifier(name, field="queue")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pack", "A-1_b.c", "x" * 64])
def test_a_step_name_can_stand_in_a_key(name: str) -> None:
    assert is_step_name(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a#1", "a!undo", "a b", "a\n"])
def test_what_would_break_a_key_is_no_step_name(name: str) -> None:
    assert not is_step_name(name)
