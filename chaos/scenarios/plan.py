"""When which fault befalls a fleet: a seeded sequence, as values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.faults.fault import Fault

AT_ONCE = 3
"""Faults that may be there at the same time."""
QUIET = 1.0
"""Seconds before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """``at``: seconds from the beginning; ``lasts``: seconds. ``seed`` is what the fault's own chance begins with."""

    number: int
    at: float
    fault: str
    lasts: float
    seed: str


def make_plan(
    kinds: Sequence[type[Fault]], *, seed: int, seconds: float, every: float, longest: float = 30.0
) -> tuple[Planned, ...]:
    """A fault about ``every`` so many seconds. Those kinds come first that have come least; but two that touch the same
    are never there together, and none begins so late that it could not end. ``longest``: none lasts longer.
    """
    if not kinds:
        raise ValueError("no fault is possible here")
    chance = random.Random(f"plan {seed}")
    bag: list[type[Fault]] = []
    planned: list[Planned] = []
    busy: list[tuple[float, frozenset[str]]] = []
    at = QUIET
    while at < seconds:
        busy = [one for one in busy if one[0] > at]
        if not bag:
            bag = chance.sample(list(kinds), len(kinds))
        others = chance.sample(list(kinds), len(kinds))  # where none of the bag can be there now
        kind = next((one for one in (*bag, *others) if _fits(one, busy, seconds - at)), None)
        if kind is not None:
            if kind in bag:
                bag.remove(kind)
            lasts = min(chance.uniform(*kind.lasts), longest, seconds - at)
            number = len(planned) + 1
            planned.append(
                Planned(number=number, at=round(at, 2), fault=kind.name, lasts=round(lasts, 2), seed=f"{seed}/{number}")
            )
            busy.append((at + lasts + QUIET, kind.touches))
        elif all(kind.lasts[0] > seconds - at for kind in kinds):
            break
        at += every * chance.uniform(0.5, 1.5)
    return tuple(planned)


def _fits(kind: type[Fault], busy: Sequence[tuple[float, frozenset[str]]], left: float) -> bool:
    free = all(not (kind.touches & touches) for _, touches in busy)
    return len(busy) < AT_ONCE and free and kind.lasts[0] <= left
