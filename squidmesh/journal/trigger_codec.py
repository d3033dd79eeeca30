"""The entries and checkpoints of triggers' threads to bytes and back, sealed as those of runs are (``codec.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from squidmesh.errors import CorruptHistory
from squidmesh.journal.codec import Unreadable, seal, unseal
from squidmesh.journal.triggers import AnyTriggerFact, TriggerState

TRIGGER_FACTS_VERSION = 1
"""Raise it when an older reader must not read what a newer one writes."""
TRIGGER_STATE_VERSION = 1
"""Raise it with every change of :class:`TriggerState`."""

_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(list[AnyTriggerFact])
_state = msgspec.json.Decoder(TriggerState)


def encode_trigger_facts(facts: Sequence[AnyTriggerFact]) -> bytes:
    return seal(TRIGGER_FACTS_VERSION, _encoder.encode(facts))


def decode_trigger_facts(body: bytes, *, thread: str, revision: int) -> list[AnyTriggerFact]:
    """The facts of one entry; ``thread`` and ``revision`` are for the error's text."""
    try:
        return _facts.decode(unseal(TRIGGER_FACTS_VERSION, body))
    except (Unreadable, ValueError) as error:
        raise CorruptHistory(str(error), thread=thread, revision=revision) from error


def encode_trigger_state(state: TriggerState) -> bytes:
    return seal(TRIGGER_STATE_VERSION, _encoder.encode(state))


def decode_trigger_state(body: bytes) -> TriggerState | None:
    """The checkpoint, or None where it can not be read: the thread is folded from its start then (I2)."""
    try:
        return _state.decode(unseal(TRIGGER_STATE_VERSION, body))
    except (Unreadable, ValueError):
        return None
