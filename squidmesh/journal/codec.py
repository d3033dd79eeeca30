"""Facts and checkpoints to bytes and back.

A body is ``version:checksum:json``: the schema version in decimal, the CRC-32 of the JSON in hex, and the JSON itself,
readable with any tool. A reader refuses what it can not vouch for (:class:`~squidmesh.errors.CorruptHistory`): a wrong
checksum, a later schema version, a fact that it does not know. Nothing is ever folded past such an entry.

A body that has passed a payload codec (``sealing.py``) is none of these, and says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from squidmesh.errors import CorruptHistory
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.sealing import why_sealed
from squidmesh.journal.state import RunState

FACTS_VERSION = 1
"""Raise it when an older reader must not read what a newer one writes."""
STATE_VERSION = 2
"""Raise it with every change of :class:`RunState`: a checkpoint of another version is passed over."""

_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(list[AnyFact])
_state = msgspec.json.Decoder(RunState)


class Unreadable(Exception):
    """A body that no reader should vouch for."""


def encode_facts(facts: Sequence[AnyFact], *, check: bool = False) -> bytes:
    """``check``: reads the result back, for facts with values that nobody has validated against the fact's own types. A
    ``ValueError`` then says what an entry would have held that no reader could take.
    """
    json = _encoder.encode(facts)
    if check:
        _facts.decode(json)
    return seal(FACTS_VERSION, json)


def decode_facts(body: bytes, *, thread: str, revision: int) -> list[AnyFact]:
    """The facts of one entry; ``thread`` and ``revision`` are for the error's text."""
    try:
        return _facts.decode(unseal(FACTS_VERSION, body))
    except (Unreadable, ValueError) as error:  # msgspec's errors are ValueErrors, and so is text that is not UTF-8
        raise CorruptHistory(str(error), thread=thread, revision=revision) from error


def encode_state(state: RunState) -> bytes:
    return seal(STATE_VERSION, _encoder.encode(state))


def decode_state(body: bytes) -> RunState | None:
    """The checkpoint, or None where it can not be read: the thread is folded from its start then (I2)."""
    try:
        return _state.decode(unseal(STATE_VERSION, body))
    except (Unreadable, ValueError):
        return None


def seal(version: int, json: bytes) -> bytes:
    """The body that holds this JSON."""
    return b"%d:%08x:%b" % (version, zlib.crc32(json), json)


def unseal(known: int, body: bytes) -> bytes:
    """The inverse of :func:`seal`; :class:`Unreadable` says what is wrong with the body."""
    version, _, rest = body.partition(b":")
    checksum, _, json = rest.partition(b":")
    if not version.isdigit() or len(version) > 9:
        raise Unreadable(why_sealed(body) or "no schema version")
    if int(version) != known:
        raise Unreadable(f"schema version {int(version)}; this program reads {known}")
    if checksum != b"%08x" % zlib.crc32(json):
        raise Unreadable("the checksum does not match")
    return json
