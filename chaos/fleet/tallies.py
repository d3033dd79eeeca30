"""Reads what workers count of themselves (:mod:`chaos.fleet.tally`): sums for progress, and rates for plots."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.fleet.tally import NOTICED, WAITS

_END = 4096
"""Bytes in which the last whole line of a file stands."""
COUNTED = ("completed", "failed", "dead", "taken_over", *NOTICED.values())


def totals(folder: Path) -> Counter[str]:
    """Of all processes, those that have ended included."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.jsonl"):
        line = _last(path)
        found.update({word: line.get(word, 0) for word in COUNTED})
    return found


def _last(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END))
        lines = file.read().split(b"\n")
    whole = lines[:-1]  # what stands after the last line's end is torn, or nothing
    return dict(json.loads(whole[-1])) if whole else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What the fleet did within one second. ``waits``: how many steps waited how long, by the classes of ``WAITS``."""

    counts: Counter[str]
    waits: tuple[int, ...]

    def waited(self, share: float) -> float | None:
        """Seconds that this share of the steps waited at most, as far as the classes tell; None where none began."""
        goal = share * sum(self.waits)
        if not goal:
            return None
        seen = 0
        for count, bound in zip(self.waits, (*WAITS, 2 * WAITS[-1]), strict=True):
            seen += count
            if seen >= goal:
                return bound
        return 2 * WAITS[-1]


def seconds(folder: Path, *, began: float, length: float) -> list[Second]:
    """One for each second since ``began`` (of the monotonic clock). What lies between two lines of a process is told of
    the second in which the later one was written.
    """
    size = max(1, int(length) + 1)
    counts: list[Counter[str]] = [Counter() for _ in range(size)]
    waits = [[0] * (len(WAITS) + 1) for _ in range(size)]
    for path in folder.glob("*.jsonl"):
        before: dict[str, Any] = {}
        for line in _lines(path):
            second = int(line["mono"] - began)
            if 0 <= second < size:
                counts[second].update({word: line.get(word, 0) - before.get(word, 0) for word in COUNTED})
                earlier = before.get("waits", [0] * len(line["waits"]))
                for n, (now, then) in enumerate(zip(line["waits"], earlier, strict=True)):
                    waits[second][n] += now - then
            before = line
    return [Second(counts=count, waits=tuple(wait)) for count, wait in zip(counts, waits, strict=True)]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for raw in path.read_bytes().splitlines(keepends=True):
        if raw.endswith(b"\n"):
            yield json.loads(raw)
