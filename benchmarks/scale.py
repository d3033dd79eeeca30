"""How much is measured: all of it, or as much as fits into a minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """``runs``: of a throughput measurement. ``singles``: runs one at a time, for a latency. ``counted``: runs whose
    statements are counted. ``sizes``: open runs, and finished ones; ``positions``: steps within one run; ``leased``:
    items that others hold; ``roots``: steps of one run that may go on at the same time. ``samples``: steps measured of
    each of those. ``backlogs``: items that stand in a Redis beside those that are claimed, ``pairs`` of claim and
    settle. ``grown``: runs that have ended and runs that are open in a PostgreSQL, before it grows and after;
    ``calls``: of each kind there, in a repeat. ``disk``: seconds of bare commits.
    """

    repeats: int = 5
    runs: int = 2000
    singles: int = 500
    counted: int = 480
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    positions: tuple[int, ...] = (10, 100, 1_000)
    leased: tuple[int, ...] = (10, 100, 1_000)
    roots: tuple[int, ...] = (10, 100, 1_000)
    samples: int = 240
    backlogs: tuple[int, ...] = (1_000, 1_000_000)
    pairs: int = 20_000
    grown: tuple[tuple[int, int], tuple[int, int]] = ((1_000, 1_000), (1_000_000, 100_000))
    calls: int = 8
    disk: float = 2.0


FULL = Scale()
QUICK = Scale(
    repeats=3,
    runs=400,
    singles=100,
    counted=96,
    sizes=(1_000, 10_000),
    samples=80,
    disk=0.5,
    backlogs=(1_000, 100_000),
    pairs=4_000,
    grown=((1_000, 1_000), (20_000, 5_000)),
    calls=4,
)
