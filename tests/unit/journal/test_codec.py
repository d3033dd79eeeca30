"""What was written can be read for ever; what can not be vouched for is refused, and the entry is named."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squidmesh.errors import CorruptHistory
from squidmesh.journal.codec import (
    FACTS_VERSION,
    STATE_VERSION,
    decode_facts,
    decode_state,
    encode_facts,
    encode_state,
)
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.fold import fold
from squidmesh.journal.sealing import sealed as codec_sealed
from squidmesh.journal.sealing import sealed_part, unopened
from squidmesh.journal.state import RunState
from tests.unit.journal import story
from tests.unit.journal.golden import VERSION_1

GOLDEN = (Path(__file__).parent / "entries_v1.txt").read_bytes().splitlines()

CALM = settings(deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def decode(body: bytes) -> list[AnyFact]:
    return decode_facts(body, thread=story.RUN, revision=7)


def sealed(json: bytes, *, version: int = FACTS_VERSION) -> bytes:
    """A body whose checksum is right."""
    return b"%d:%08x:%b" % (version, zlib.crc32(json), json)


def refusal(body: bytes) -> str:
    """The text of the refusal, which names thread and revision."""
    with pytest.raises(CorruptHistory) as refused:
        decode(body)
    assert (refused.value.thread, refused.value.revision) == (story.RUN, 7)
    assert str(refused.value).startswith(f"{story.RUN} entry 7: ")
    return str(refused.value)


# ------------------------------------------------------------------------------------------------ payload codecs


def test_a_body_of_a_payload_codec_names_the_codec_that_is_missing() -> None:
    whole = codec_sealed("aes-gcm", b"\x00:\xff")

    assert sealed_part("aes-gcm", whole) == b"\x00:\xff"
    assert sealed_part("aes", whole) is None
    assert "sealed by the payload codec 'aes-gcm', which this mesh was not given" in refusal(whole)
    assert "the payload codec 'aes-gcm' can not open it: no key" in refusal(unopened("aes-gcm", "no key"))
    assert decode_state(whole) is None


def test_a_body_that_no_codec_made_is_no_codecs() -> None:
    plain = encode_facts([story.started()])

    assert sealed_part("aes-gcm", plain) is None
    assert "payload codec" not in refusal(b":" + plain)
    assert "payload codec" not in refusal(b"")


# ------------------------------------------------------------------------------------------------------ entries


@pytest.mark.parametrize("line", range(len(VERSION_1)))
def test_an_entry_of_schema_version_1_is_read_for_ever(line: int) -> None:
    assert decode(GOLDEN[line]) == [VERSION_1[line]]


def test_every_fact_is_among_the_entries_of_schema_version_1() -> None:
    assert len(GOLDEN) == len(VERSION_1)
    assert {type(fact) for fact in VERSION_1} == set(get_args(AnyFact))


@pytest.mark.parametrize("fact", VERSION_1, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_as_it_was(fact: AnyFact) -> None:
    assert decode(encode_facts([fact])) == [fact]


def test_the_facts_of_an_entry_keep_their_order() -> None:
    assert decode(encode_facts(VERSION_1)) == VERSION_1


@CALM
@given(st.dictionaries(texts, json_values, max_size=3))
def test_json_values_come_back_as_they_were(value: dict[str, Any]) -> None:
    (fact,) = decode(encode_facts([story.started(payload=value)]))
    assert repr(fact) == repr(story.started(payload=value)), "types too: 1.0 is not 1"


def test_an_entry_can_be_read_with_any_tool() -> None:
    version, _, json = encode_facts([story.claimed()]).split(b":", 2)
    assert version == b"1"
    assert msgspec.json.decode(json)[0]["fact"] == "AttemptClaimed"


def test_a_field_of_a_later_minor_version_is_passed_over() -> None:
    assert decode(sealed(b'[{"fact":"RunCompleted","at":3,"mood":"merry"}]')) == [VERSION_1[4]]


# ----------------------------------------------------------------------------------------------------- refusals


@CALM
@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_found(place: int, change: int) -> None:
    body = bytearray(encode_facts([story.started(), story.scheduled()]))
    body[place % len(body)] ^= change
    refusal(bytes(body))


@CALM
@given(st.integers(0))
def test_a_truncated_entry_is_found(length: int) -> None:
    body = encode_facts([story.started(), story.scheduled()])
    refusal(body[: length % len(body)])


@CALM
@given(st.binary())
def test_bytes_that_are_no_entry_are_refused(body: bytes) -> None:
    refusal(body)


def test_a_version_that_is_too_long_to_be_a_number_is_refused() -> None:
    refusal(b"1" * 5000)


@pytest.mark.parametrize("version", [0, 2, 17])
def test_another_schema_version_is_refused_even_if_it_could_be_read(version: int) -> None:
    json = encode_facts([story.started()]).split(b":", 2)[2]
    assert f"schema version {version}" in refusal(sealed(json, version=version))


def test_an_unknown_fact_is_refused() -> None:
    assert "Balrog" in refusal(sealed(b'[{"fact":"Balrog","at":3}]'))


@pytest.mark.parametrize(
    "json",
    [
        b"",
        b"{}",
        b"[",
        b"[{}]",
        b"[3]",
        b'[{"at":3}]',
        b'[{"fact":"RunCompleted"}]',
        b'[{"fact":"RunCompleted","at":"3"}]',
        b'[{"fact":"RunCompleted","at":null}]',
        b'[{"fact":"RouteTaken","at":3,"source":"a","on":"maybe","target":"b","edge":"e"}]',
        b'[{"fact":"RunCompleted","at":3}]]',
        b'[{"fact":"RunCompleted","at":3}',
        b'\xff[{"fact":"RunCompleted","at":3}]',
    ],
)
def test_json_that_is_no_entry_is_refused(json: bytes) -> None:
    refusal(sealed(json))


def test_text_that_is_no_utf_8_is_refused_even_with_a_right_checksum() -> None:
    refusal(sealed(b'[{"fact":"ApprovalRequested","at":3,"step":"\xff"}]'))


def test_the_refusal_repeats_no_payload() -> None:
    body = encode_facts([story.started(payload={"ring": "precious"})])
    assert not re.search("ring|precious", refusal(body[:-1]))


# -------------------------------------------------------------------------------------------------- checkpoints


every_story = pytest.mark.parametrize("told", [story.ALL, story.UNDONE], ids=["well", "undone"])


def states(told: Sequence[Sequence[AnyFact]] = story.ALL) -> list[RunState]:
    """The run of the story, as it stood after each entry."""
    found: list[RunState] = []
    for length in range(1, len(told) + 1):
        state = None
        for entry in told[:length]:
            state = fold(state, entry)
        assert state is not None
        found.append(state)
    return found


@every_story
def test_a_checkpoint_comes_back_as_it_was(told: Sequence[Sequence[AnyFact]]) -> None:
    for state in states(told):
        assert decode_state(encode_state(state)) == state


@every_story
def test_folding_from_any_checkpoint_gives_the_same_state(told: Sequence[Sequence[AnyFact]]) -> None:
    whole = states(told)[-1]
    for cut, before in enumerate(states(told), start=1):
        state = decode_state(encode_state(before))
        for entry in told[cut:]:
            state = fold(state, entry)
        assert state == whole, f"I2: from a checkpoint at {cut}"


def test_the_stories_hold_most_kinds_of_fact() -> None:
    """So that a checkpoint of each kind of state is tried."""
    told = {type(fact) for entries in (story.ALL, story.UNDONE) for entry in entries for fact in entry}
    assert {kind.__name__ for kind in set(get_args(AnyFact)) - told} == {
        "AttemptDeadLettered",
        "CompensationWaived",
        "DeadLetterDiscarded",
        "DeadLetterReplayed",
        "GateClosed",
        "RunCancelled",
    }


@pytest.mark.parametrize("version", [0, STATE_VERSION - 1, STATE_VERSION + 1])
def test_a_checkpoint_of_another_version_is_passed_over(version: int) -> None:
    json = encode_state(states()[3]).split(b":", 2)[2]
    assert decode_state(sealed(json, version=STATE_VERSION)) is not None
    assert decode_state(sealed(json, version=version)) is None


@CALM
@given(st.integers(0), st.integers(1, 255))
def test_a_changed_checkpoint_is_passed_over(place: int, change: int) -> None:
    body = bytearray(encode_state(states()[3]))
    body[place % len(body)] ^= change
    assert decode_state(bytes(body)) is None


@CALM
@given(st.binary())
def test_bytes_that_are_no_checkpoint_are_passed_over(body: bytes) -> None:
    assert decode_state(body) is None


def test_facts_are_no_checkpoint() -> None:
    assert decode_state(encode_facts([story.started()])) is None


def test_a_checkpoint_is_no_entry() -> None:
    refusal(encode_state(states()[3]))
