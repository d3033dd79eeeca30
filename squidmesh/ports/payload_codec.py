"""A payload codec: what facts and checkpoints pass on their way to the store and back (protocol 6)."""

from __future__ import annotations

from typing import Protocol


class PayloadCodec(Protocol):
    """Makes bytes that a store may hold of bytes that it may not see, and the other way round. Thread-safe, and quick:
    it stands in the way of every commit.

    ``name`` says which one it was: 1 to 64 of ``A-Z a-z 0-9 . _ -``, a letter first. It is stored in the clear with
    every body, so it stays the same as long as there are any. A codec that knows several keys tells them apart by what
    it has put into its own bytes.

    What it can not do it tells with :class:`~squidmesh.errors.CodecRefused`, whose text operators see;
    ``BackendUnavailable`` means that the same call may work later, as where keys are kept by a server. Of any other
    exception only the class is told, since its text may hold what was to be hidden.
    """

    @property
    def name(self) -> str: ...

    def encode(self, body: bytes, /) -> bytes: ...

    def decode(self, body: bytes, /) -> bytes:
        """The very bytes that :meth:`encode` was given, or an exception: never others."""
        ...
