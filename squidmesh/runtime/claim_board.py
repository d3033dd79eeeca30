"""The claims that a worker holds, where a process beside it can read them: shared memory (protocol 3.5.4).

Holding a claim and letting it go write some bytes and ask the kernel for nothing. Nobody locks: a reader knows by a
checksum whether it has caught a writer in the middle, and looks again later. What is out of date by a moment is
harmless: a heartbeat for a claim that has ended changes nothing.

Claim ids are capabilities. The memory is anonymous (an unlinked file of this user alone, where the system knows nothing
better), and whoever is given its descriptor reads them.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from squidmesh.ports.lease_backend import Claim

PLACES = 8192
"""Claims at a time. Those above it are held by their own process alone."""
_PLACE = 1024
_HEAD = 4096
_SIGN = struct.Struct("<dI")
_USED = struct.Struct("<II")
_LENGTH = struct.Struct("<II")
_NOTE = struct.Struct("<IdI")
_LONGEST = _PLACE - _LENGTH.size - _NOTE.size
_SIGN_AT, _USED_AT, _NOTE_AT = 0, 64, _PLACE - _NOTE.size


@dataclass(frozen=True, slots=True)
class Posted:
    """``check``: of the claim as it stands at ``place``."""

    place: int
    check: int
    claim: Claim


class ClaimBoard:
    """One writer of claims (calls of one at a time), and one reader, in another process."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Of an inherited descriptor, or new."""
        size = _HEAD + PLACES * _PLACE
        self.descriptor = _anonymous(size) if descriptor is None else descriptor
        self._memory = mmap.mmap(self.descriptor, size)
        self._free: list[int] = []
        self._used = 0
        self._checks: dict[int, int] = {}

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)

    # ------------------------------------------------------------------------------------------- whoever holds

    def post(self, claim: Claim) -> int | None:
        """The place where it stands now; None where there is no room for it."""
        told = _encode(claim)
        if len(told) > _LONGEST or not (self._free or self._used < PLACES):
            return None
        if self._free:
            place = self._free.pop()
        else:
            place, self._used = self._used, self._used + 1
            _USED.pack_into(self._memory, _USED_AT, self._used, ~self._used & 0xFFFFFFFF)
        at, check = _HEAD + place * _PLACE, zlib.crc32(told)
        self._memory[at + _LENGTH.size : at + _LENGTH.size + len(told)] = told
        _LENGTH.pack_into(self._memory, at, len(told), check)
        self._checks[place] = check
        return place

    def take_down(self, place: int) -> None:
        _LENGTH.pack_into(self._memory, _HEAD + place * _PLACE, 0, 0)
        del self._checks[place]
        self._free.append(place)

    def sign(self, now: float) -> None:
        """Whoever holds is alive. ``now``: of the monotonic clock, which all processes of a machine share."""
        _SIGN.pack_into(self._memory, _SIGN_AT, now, zlib.crc32(struct.pack("<d", now)))

    def extended_at(self, place: int) -> float | None:
        """When the reader last asked for the lease of what stands there to be extended, and it was; None if never."""
        check, asked_at, sealed = _NOTE.unpack_from(self._memory, _HEAD + place * _PLACE + _NOTE_AT)
        if check != self._checks[place] or sealed != _seal(check, asked_at):
            return None
        return float(asked_at)

    # ------------------------------------------------------------------------------------------- whoever reads

    def alive_at(self) -> float | None:
        """The last sign of life; None where there is none, or it is being written."""
        signed, check = _SIGN.unpack_from(self._memory, _SIGN_AT)
        return float(signed) if check == zlib.crc32(struct.pack("<d", signed)) else None

    def posted(self) -> Iterator[Posted]:
        """What stands there; not what is being written at this moment."""
        used, twin = _USED.unpack_from(self._memory, _USED_AT)
        for place in range(used if used == ~twin & 0xFFFFFFFF else PLACES):
            at = _HEAD + place * _PLACE
            length, check = _LENGTH.unpack_from(self._memory, at)
            told = self._memory[at + _LENGTH.size : at + _LENGTH.size + min(length, _LONGEST)]
            if length and zlib.crc32(told) == check:
                yield Posted(place, check, _decode(told))

    def note(self, posted: Posted, asked_at: float) -> None:
        """Its lease was extended, by a heartbeat that was sent then."""
        at = _HEAD + posted.place * _PLACE + _NOTE_AT
        _NOTE.pack_into(self._memory, at, posted.check, asked_at, _seal(posted.check, asked_at))


def _seal(check: int, asked_at: float) -> int:
    return zlib.crc32(struct.pack("<Id", check, asked_at))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Claim).decode


def _anonymous(size: int) -> int:
    """A descriptor of memory that has no name, or of a file that has lost it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("squidmesh-claims", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
