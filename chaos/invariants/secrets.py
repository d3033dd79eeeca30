"""What must not be seen anywhere: I19."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set

from chaos.invariants.case import Tally
from squidmesh.ids import claim_hash

_LIKE_A_CLAIM = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?::[0-9]{1,6}(?![0-9]))?")
"""A claim id is 32 digits of chance, with the number of the grant behind it where it came with a request."""


def i19(texts: Iterable[tuple[str, bytes]], planted: Mapping[str, bytes], claims: Set[str], tally: Tally) -> None:
    """No claim id, no field marked secret and no payload appears in values held by the lease backend, in logs, in
    metrics or in a default inspection.

    ``planted``: what the load carried on purpose, secrets and a piece of payload. ``claims``: the hashes of all claim
    ids that are known: whatever looks like one is hashed and compared, so no claim id has to be written down to be
    found. A request id is the beginning of claim ids, and is found by them.
    """
    for where, text in texts:
        tally.saw()
        for name, secret in planted.items():
            if secret in text:
                tally.breach(where, f"the planted {name} stands there")
        if any(_is_claim(found.group().decode(), claims) for found in _LIKE_A_CLAIM.finditer(text)):
            tally.breach(where, "a claim id stands there")


def _is_claim(text: str, claims: Set[str]) -> bool:
    if claim_hash(text) in claims:
        return True
    request = text.partition(":")[0]
    return claim_hash(request) in claims or claim_hash(f"{request}:0") in claims
