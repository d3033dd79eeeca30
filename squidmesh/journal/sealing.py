"""Bodies that have passed a payload codec (protocol 6): ``name:sealed``. A codec's name begins with a letter, what
``codec.py`` makes never does, so that each is known for what it is.
"""

from __future__ import annotations

import re

_CODEC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_UNOPENED = b"!"


def is_codec_name(name: str) -> bool:
    return _CODEC_NAME.fullmatch(name) is not None


def sealed(name: str, inside: bytes) -> bytes:
    """The body that is stored of what the codec of that name has made."""
    return name.encode() + b":" + inside


def sealed_part(name: str, body: bytes) -> bytes | None:
    """What the codec of that name has made; None where the body is another's, or was never sealed."""
    prefix = name.encode() + b":"
    return body[len(prefix) :] if body.startswith(prefix) else None


def unopened(name: str, why: str) -> bytes:
    """In place of a sealed body that its codec can not open: no reader takes it, and each says why."""
    return _UNOPENED + sealed(name, why.encode("utf-8", "replace"))


def why_sealed(body: bytes) -> str | None:
    """Why a body of some payload codec can not be read; None for any other."""
    name, _, rest = body.removeprefix(_UNOPENED).partition(b":")
    if not is_codec_name(name.decode("ascii", "replace")):
        return None
    if body.startswith(_UNOPENED):
        return f"the payload codec {name.decode()!r} can not open it: {rest.decode('utf-8', 'replace')[:200]}"
    return f"sealed by the payload codec {name.decode()!r}, which this mesh was not given: Mesh.connect(codec=…)"
