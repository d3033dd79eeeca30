"""Peers and ours in turn: each work is done by all of them before it is repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.beside.environments import NoEnvironment
from benchmarks.beside.measures import limits
from benchmarks.beside.place import DURABILITY, Bench, bench, versions
from benchmarks.beside.process import PeerFailed
from benchmarks.beside.works import CONTESTANTS, PEERS, WORKS, Work
from benchmarks.report import Figure, Printer


class UnknownPeer(ValueError):
    """The message names those that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """``seconds``: about how long each measurement takes, without its preparations."""

    repeats: int
    seconds: float


FULL = Extent(repeats=3, seconds=3.0)
QUICK = Extent(repeats=3, seconds=0.6)

Values = dict[str, dict[str, dict[str, list[float]]]]
"""By work, contestant and figure."""


@dataclass(slots=True)
class Results:
    """What was measured, as JSON keeps it; ``failed``: by work and contestant, why there is no figure."""

    values: Values = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, work: str, contestant: str, figures: dict[str, float]) -> None:
        kept = self.values.setdefault(work, {}).setdefault(contestant, {})
        for name, value in figures.items():
            kept.setdefault(name, []).append(value)

    def figure(self, work: str, contestant: str, name: str) -> Figure | None:
        """None where it was not measured."""
        values = self.values.get(work, {}).get(contestant, {}).get(name)
        return Figure(tuple(values)) if values else None

    def merge(self, other: Results) -> None:
        """What the other has measured, in place of what stands here."""
        self.values.update(other.values)
        self.failed.update(other.failed)
        for name, facts in other.facts.items():
            self.facts.setdefault(name, {}).update(facts)

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "failed": self.failed, "facts": self.facts}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Results:
        return cls(values=document["values"], failed=document["failed"], facts=document["facts"])


def chosen(names: Sequence[str]) -> frozenset[str]:
    """The peers of these names; all of them where there are none. Raises :class:`UnknownPeer`."""
    for name in names:
        if name not in PEERS:
            raise UnknownPeer(f"no peer {name!r}: there are {', '.join(PEERS)}")
    return frozenset(names or PEERS)


def compare(peers: frozenset[str], extent: Extent, folder: Path, printer: Printer, results: Results) -> None:
    """Measures all works that one of ``peers`` takes part in; ours beside them."""
    works = [work for work in WORKS.values() if any(CONTESTANTS[name].peer in peers for name in work.pace)]
    began = time.monotonic()
    with bench(folder / "peers", printer) as opened:
        for repeat in range(extent.repeats):
            for server, figures in limits(opened, extent.seconds / 3).items():
                results.add("limits", server, figures)
            for work in works:
                if repeat == 0 or not work.once:
                    printer.progress(f"{work.name}, repeat {repeat + 1} of {extent.repeats}")
                    _all_do(work, peers, extent, opened, results)
        results.facts["versions"] = versions(opened)
        results.facts["settings"] = dict(sorted(opened.hows.items()))
        results.facts["durability"] = dict(DURABILITY)
    printer.progress(f"the peers took {time.monotonic() - began:.0f} s")


def _all_do(work: Work, peers: frozenset[str], extent: Extent, opened: Bench, results: Results) -> None:
    for name in work.pace:
        contestant = CONTESTANTS[name]
        label = f"{work.name}: {name}"
        if contestant.peer not in {*peers, "ours"} or label in results.failed:
            continue
        try:
            figures = work.measure(opened, contestant, extent.seconds)
        except (PeerFailed, NoEnvironment) as error:
            results.failed[label] = str(error)
            opened.printer.progress(f"{label} has failed: {error}")
        else:
            results.add(work.name, name, figures)
