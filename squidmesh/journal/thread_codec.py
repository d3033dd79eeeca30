"""The entries and checkpoints of threads that are no run's, to bytes and back: sealed as those of runs are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from squidmesh.errors import CorruptHistory
from squidmesh.journal.codec import Unreadable, seal, unseal

F = TypeVar("F")
S = TypeVar("S")


class ThreadCodec(Generic[F, S]):
    """Of one kind of thread, for its facts and the state that they fold to. ``facts_version`` is raised when an older
    reader must not read what a newer one writes, ``state_version`` with every change of the state.
    """

    def __init__(self, facts: Any, state: type[S], *, facts_version: int, state_version: int) -> None:
        self._encoder: Final = msgspec.json.Encoder()
        self._facts: Final[msgspec.json.Decoder[list[F]]] = msgspec.json.Decoder(list[facts])
        self._state: Final = msgspec.json.Decoder(state)
        self._facts_version: Final = facts_version
        self._state_version: Final = state_version

    def encode_facts(self, facts: Sequence[F]) -> bytes:
        """A ``ValueError`` says what of it no reader could take."""
        json = self._encoder.encode(facts)
        self._facts.decode(json)
        return seal(self._facts_version, json)

    def decode_facts(self, body: bytes, *, thread: str, revision: int) -> list[F]:
        """The facts of one entry; ``thread`` and ``revision`` are for the error's text."""
        try:
            return self._facts.decode(unseal(self._facts_version, body))
        except (Unreadable, ValueError) as error:
            raise CorruptHistory(str(error), thread=thread, revision=revision) from error

    def encode_state(self, state: S) -> bytes:
        return seal(self._state_version, self._encoder.encode(state))

    def decode_state(self, body: bytes) -> S | None:
        """The checkpoint, or None where it can not be read: the thread is folded from its start then (I2)."""
        try:
            return self._state.decode(unseal(self._state_version, body))
        except (Unreadable, ValueError):
            return None
