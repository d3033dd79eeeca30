"""Peers and ours in turn: each work is done by all of them before it is repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.beside.environments import NoEnvironment
from benchmarks.beside.measures import limits
from benchmarks.beside.place import DURABILITY, Bench, bench, versions
from benchmarks.beside.process import PeerFailed
from benchmarks.beside.results import Results
from benchmarks.beside.works import CONTESTANTS, PEERS, WORKS, Work
from benchmarks.report import Printer
from benchmarks.targets import TARGETS


class UnknownPeer(ValueError):
    """The message names those that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """``seconds``: about how long each measurement takes, without its preparations. ``spared``: whom no target names is
    measured once.
    """

    repeats: int
    seconds: float
    spared: bool = False


FULL = Extent(repeats=3, seconds=3.0)
QUICK = Extent(repeats=3, seconds=0.6, spared=True)


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
                    everybody = named_by_targets(work) if extent.spared and repeat else tuple(work.pace)
                    taking_part = [name for name in everybody if CONTESTANTS[name].peer in {*peers, "ours"}]
                    _all_do(work, taking_part, extent, opened, results)
        results.facts["versions"] = versions(opened)
        results.facts["settings"] = dict(sorted(opened.hows.items()))
        results.facts["durability"] = dict(DURABILITY)
    printer.progress(f"the peers took {time.monotonic() - began:.0f} s")


def named_by_targets(work: Work) -> tuple[str, ...]:
    """The contestants, in their order."""
    places = [place for target in TARGETS for place in (target.ours, target.peer) if place]
    named = {contestant for name, contestant, _ in places if name == work.name}
    return tuple(name for name in work.pace if name in named)


def _all_do(work: Work, names: Sequence[str], extent: Extent, opened: Bench, results: Results) -> None:
    for name in names:
        label = f"{work.name}: {name}"
        if label in results.failed:
            continue
        try:
            figures = work.measure(opened, CONTESTANTS[name], extent.seconds)
        except (PeerFailed, NoEnvironment) as error:
            results.failed[label] = str(error)
            opened.printer.progress(f"{label} has failed: {error}")
        else:
            results.add(work.name, name, figures)
