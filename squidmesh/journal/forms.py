"""Bodies that differ in a few values only: the rest of the JSON is written once."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from squidmesh.journal.codec import FACTS_VERSION, seal, unseal

_encode = msgspec.json.Encoder().encode


class Form:
    """The body of one entry, with blanks where its marks stood."""

    __slots__ = ("_blanks", "_parts")

    def __init__(self, body: bytes, marks: Iterable[object]) -> None:
        """``marks``: values in the body's JSON, whose JSON stands nowhere else in it."""
        said = [_encode(mark) for mark in marks]
        self._parts = re.split(b"(" + b"|".join(map(re.escape, said)) + b")", unseal(FACTS_VERSION, body))
        self._blanks = [(place, said.index(self._parts[place])) for place in range(1, len(self._parts), 2)]

    def filled(self, values: Iterable[object]) -> bytes:
        """The body that has these values, in the order of the marks, in their places."""
        said = [_encode(value) for value in values]
        parts = self._parts.copy()
        for place, which in self._blanks:
            parts[place] = said[which]
        return seal(FACTS_VERSION, b"".join(parts))
