"""What is not a value: the wall clock and random numbers. The pure packages get both as arguments."""

from __future__ import annotations

import random
import secrets
import time

from squidmesh.clock import Instant
from squidmesh.ids import ClaimId, EntryId, RunId

_LOW_62 = (1 << 62) - 1
_chance = random.SystemRandom()
"""Not the module's own generator: a host that seeds that one, as tests and notebooks do, would draw our ids again."""


class SystemClock:
    """The host's clock, in microseconds."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1000)


def uuid7() -> str:
    """A random UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then chance. Sorts by time of making, so
    that an index of them grows at its end.
    """
    moment = (time.time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    drawn = _chance.getrandbits(74)
    digits = f"{moment << 80 | 0x7 << 76 | (drawn >> 62) << 64 | 0x2 << 62 | drawn & _LOW_62:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_run_id() -> RunId:
    return RunId(uuid7())


def new_entry_id() -> EntryId:
    return EntryId(uuid7())


def new_request_id() -> str:
    """Unguessable: the claim ids that grow from it are capabilities (protocol 3.5.8)."""
    return secrets.token_hex(16)


def new_claim_id() -> ClaimId:
    """For a claim that the core mints itself (continuation)."""
    return ClaimId(secrets.token_hex(16))


def new_nonce() -> str:
    """Tells two lives of one owner apart."""
    return secrets.token_hex(4)


def new_name() -> str:
    """For a mesh, and for one life of a backend's memory."""
    return secrets.token_hex(8)


def jitter() -> float:
    """A number in [0, 1)."""
    return _chance.random()
