"""AES-GCM: facts and checkpoints are encrypted, and can not be changed unnoticed (``pip install "squidmesh[crypto]"``).

A sealed body is the key's id, a colon, a nonce of 12 random bytes, and the ciphertext with its tag of 16 bytes, which
also vouches for the key's id. 37 bytes and the length of the id are added to each body.

Keys are rotated by giving a new one and sealing with it; old bodies stay as they are, and their key is needed as long
as they are to be read. One key may seal 2**32 bodies (NIST SP 800-38D, random nonces): rotate long before.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from squidmesh.errors import CodecRefused, InvalidInput

_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LENGTHS: Final = (16, 24, 32)
_NONCE: Final = 12


class AesGcm:
    """``keys``: by id, each of 16, 24 or 32 bytes, or the same in base64; ``use``: the id of the one to seal with. Ids
    are stored in the clear. Thread-safe; its ``repr`` shows ids only.
    """

    name: Final = "aes-gcm"

    def __init__(self, keys: Mapping[str, bytes | str], *, use: str) -> None:
        given: object = keys
        if not isinstance(given, Mapping) or not keys:
            allowed = "allowed is a mapping of key ids to keys"
            raise InvalidInput(f"is {'empty' if given == {} else f'a {type(given).__name__}'}; {allowed}", field="keys")
        self._ciphers: Final = {_key_id(key_id): AESGCM(_key(key_id, key)) for key_id, key in keys.items()}
        if use not in self._ciphers:
            raise InvalidInput(f"is none of the keys; allowed are {', '.join(self._ciphers)}", field="use")
        self._use: Final = use

    @staticmethod
    def new_key() -> str:
        """A new key of 256 bits, in base64. Keep it where secrets are kept."""
        return base64.b64encode(AESGCM.generate_key(bit_length=256)).decode()

    def encode(self, body: bytes, /) -> bytes:
        nonce, key_id = os.urandom(_NONCE), self._use.encode()
        return b"%b:%b%b" % (key_id, nonce, self._ciphers[self._use].encrypt(nonce, body, key_id))

    def decode(self, body: bytes, /) -> bytes:
        key_id, colon, rest = body.partition(b":")
        name = key_id.decode("ascii", "replace")
        if not colon or _KEY_ID.fullmatch(name) is None:
            raise CodecRefused("it is not of this codec's form")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise CodecRefused(f"there is no key {name!r}; there are {', '.join(self._ciphers)}")
        try:
            return cipher.decrypt(rest[:_NONCE], rest[_NONCE:], key_id)
        except (InvalidTag, ValueError):
            raise CodecRefused(f"it was changed, or sealed with another key than {name!r} is") from None

    def __repr__(self) -> str:
        return f"AesGcm(keys={sorted(self._ciphers)}, use={self._use!r})"


def _key_id(given: object) -> str:
    if not isinstance(given, str) or _KEY_ID.fullmatch(given) is None:
        raise InvalidInput("has a key id that is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -", field="keys")
    return given


def _key(key_id: str, given: object) -> bytes:
    """The message never holds the key."""
    field, allowed = f"keys[{key_id!r}]", "allowed are 16, 24 or 32 bytes, or the same in base64"
    if isinstance(given, str):
        try:
            given = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"is no base64; {allowed}", field=field) from None
    if not isinstance(given, bytes | bytearray):
        raise InvalidInput(f"is a {type(given).__name__}; {allowed}", field=field)
    if len(given) not in _LENGTHS:
        raise InvalidInput(f"is {len(given)} bytes long; {allowed}", field=field)
    return bytes(given)
