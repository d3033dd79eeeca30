"""What is sealed is read with its key, changed by nobody, and its key may be replaced."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squidmesh import CodecRefused, InvalidInput
from squidmesh.codecs.aes_gcm import AesGcm

OLD, NEW = AesGcm.new_key(), AesGcm.new_key()
CODEC = AesGcm({"old": OLD}, use="old")


@given(st.binary())
def test_what_was_sealed_is_opened_again(body: bytes) -> None:
    assert CODEC.decode(CODEC.encode(body)) == body


def test_the_same_body_is_sealed_differently_each_time() -> None:
    sealed = {CODEC.encode(b"the ring") for _ in range(50)}

    assert len(sealed) == 50
    assert not any(b"ring" in one for one in sealed)


def test_keys_are_rotated_and_old_bodies_stay_readable() -> None:
    before = CODEC.encode(b"before")
    both = AesGcm({"old": OLD, "new": NEW}, use="new")
    after = both.encode(b"after")

    assert (both.decode(before), both.decode(after)) == (b"before", b"after")
    assert AesGcm({"new": NEW}, use="new").decode(after) == b"after", "the old key is not needed for what is new"
    with pytest.raises(CodecRefused, match=r"^there is no key 'old'; there are new$"):
        AesGcm({"new": NEW}, use="new").decode(before)


def test_another_key_under_the_same_id_opens_nothing() -> None:
    with pytest.raises(CodecRefused, match="sealed with another key than 'old' is"):
        AesGcm({"old": NEW}, use="old").decode(CODEC.encode(b"the ring"))


def test_whatever_is_changed_is_noticed() -> None:
    sealed = CODEC.encode(b"the ring")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CodecRefused):
            CODEC.decode(bytes(changed))
    for cut in range(len(sealed)):
        with pytest.raises(CodecRefused):
            CODEC.decode(sealed[:cut])


def test_an_id_can_not_be_exchanged_for_another_of_the_same_key() -> None:
    twice = AesGcm({"a": OLD, "b": OLD}, use="a")
    with pytest.raises(CodecRefused):
        twice.decode(b"b" + twice.encode(b"the ring")[1:])


@pytest.mark.parametrize("length", [16, 24, 32])
def test_a_key_is_bytes_or_the_same_in_base64(length: int) -> None:
    key = bytes(range(length))
    sealed = AesGcm({"k": key}, use="k").encode(b"the ring")

    assert AesGcm({"k": base64.b64encode(key).decode()}, use="k").decode(sealed) == b"the ring"


@pytest.mark.parametrize(
    ("keys", "use", "told"),
    [
        ({}, "k", "keys: is empty; allowed is a mapping of key ids to keys"),
        ("mellon", "k", "keys: is a str; allowed is a mapping of key ids to keys"),
        ({"k": b"mellon"}, "k", "keys['k']: is 6 bytes long; allowed are 16, 24 or 32 bytes, or the same in base64"),
        ({"k": "mellon"}, "k", "keys['k']: is no base64; allowed are 16, 24 or 32 bytes, or the same in base64"),
        ({"k": 7}, "k", "keys['k']: is a int; allowed are 16, 24 or 32 bytes, or the same in base64"),
        ({"k:": OLD}, "k", "keys: has a key id that is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -"),
        ({7: OLD}, "k", "keys: has a key id that is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -"),
        ({"k": OLD}, "other", "use: is none of the keys; allowed are k"),
    ],
)
def test_keys_that_are_no_good_are_refused_and_never_shown(keys: Any, use: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        AesGcm(keys, use=use)

    assert str(refused.value) == told


def test_its_repr_shows_no_key() -> None:
    assert repr(CODEC) == "AesGcm(keys=['old'], use='old')"
