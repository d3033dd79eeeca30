"""What is not a value: the wall clock and random numbers. The pure packages get both as arguments."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import deque

from squidmesh.clock import Instant
from squidmesh.ids import ClaimId, EntryId, RunId

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""Of a hexadecimal digit by chance, the one that says which kind of UUID it is."""
_PIECE = 16
"""Bytes that one id needs at most."""
_PIECES = 256


class _DrawnAhead(random.SystemRandom):
    """The system's generator, which is asked for the bytes of many ids at once.

    Python lets go of the interpreter's lock for each question to the system, and another pump takes it: one that asked
    for every id of its batch stood in line once a step. Thread-safe, since a piece is taken by one call that can not be
    interrupted; and a process that is forked draws its own, also where a host of ours forks without Python's knowledge.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[bytes] = deque()
        self._process = os.getpid()

    def randbytes(self, n: int) -> bytes:
        if n > _PIECE:
            return os.urandom(n)
        if self._process != os.getpid():
            self._pieces.clear()  # first, so that no other thread takes what the parent has
            self._process = os.getpid()
        try:
            piece = self._pieces.popleft()
        except IndexError:
            piece = self._more()
        return piece[:n]

    def _more(self) -> bytes:
        drawn = os.urandom(_PIECE * _PIECES)
        self._pieces.extend(drawn[at : at + _PIECE] for at in range(_PIECE, len(drawn), _PIECE))
        return drawn[:_PIECE]


_chance = _DrawnAhead()
"""Not the module's own generator: a host that seeds that one, as tests and notebooks do, would draw our ids again."""


class SystemClock:
    """The host's clock, in microseconds."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1000)


def uuids7(count: int) -> list[str]:
    """Random UUIDs of version 7 (RFC 9562): 48 bits of Unix milliseconds, then chance. They sort by time of making, so
    that an index of them grows at its end; of those that are made at once, none is before another.
    """
    moment = f"{(time.time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF:012x}"
    begin = f"{moment[:8]}-{moment[8:]}-7"
    drawn = _chance.randbytes(10 * count).hex()
    return [
        f"{begin}{drawn[at : at + 3]}-{_VARIANT[drawn[at + 3]]}{drawn[at + 4 : at + 7]}-{drawn[at + 7 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


def uuid7() -> str:
    return uuids7(1)[0]


def new_run_id() -> RunId:
    return RunId(uuid7())


def new_entry_id() -> EntryId:
    return EntryId(uuid7())


def new_start_ids(count: int) -> list[tuple[RunId, EntryId]]:
    """For so many runs: the id of each, and that of its first entry."""
    drawn = iter(uuids7(2 * count))
    return [(RunId(one), EntryId(other)) for one, other in zip(drawn, drawn, strict=True)]


def new_request_id() -> str:
    """Unguessable: the claim ids that grow from it are capabilities (protocol 3.5.8)."""
    return secrets.token_hex(16)


def new_claim_id() -> ClaimId:
    """For a claim that the core mints itself (continuation)."""
    return ClaimId(_chance.randbytes(_PIECE).hex())


def new_nonce() -> str:
    """Tells two lives of one owner apart."""
    return secrets.token_hex(4)


def new_name() -> str:
    """For a mesh, and for one life of a backend's memory."""
    return secrets.token_hex(8)


def jitter() -> float:
    """A number in [0, 1)."""
    return _chance.random()
