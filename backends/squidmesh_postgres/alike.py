"""Rows of many runs that begin at once, which are the same but for their names: what is the same is said once.

A server takes 2.5 µs to read a row of runs from JSON with all its names and values, and 0.7 µs where it is one of a
list (docs/performance-stores.md). Of a thousand runs of one workflow it reads one, and lists of what differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import msgspec
from msgspec.structs import astuple

from squidmesh.journal.rows import AttemptRow, RunRow
from squidmesh.ports.journal_store import Append

FEWEST = 8
"""Groups of a batch from which on it is worth it: a list takes longer to read than one value."""
_encode = msgspec.json.encode


class Alike:
    """How rows of one kind are said. ``own``: the fields in which they differ, two at least."""

    def __init__(self, kind: type[msgspec.Struct], *own: str) -> None:
        names = kind.__struct_fields__
        self._own_names = ("g", "place", *own)
        self._common_names = tuple(name for name in names if name not in own)
        self._own = itemgetter(*map(names.index, own))
        self._common = itemgetter(*map(names.index, self._common_names))

    def said(self, rows: Iterable[tuple[int, msgspec.Struct]]) -> list[bytes]:
        """One for each set of rows that differ in their own fields only: the common ones, and lists of the others, of
        ``g`` (the number of each row's group), and of its place among all.
        """
        found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for place, (g, row) in enumerate(rows):
            values = astuple(row)
            found.setdefault(self._common(values), []).append((g, place, *self._own(values)))
        return [
            _encode(
                dict(zip(self._common_names, common, strict=True))
                | dict(zip(self._own_names, zip(*own, strict=True), strict=True))
            )
            for common, own in found.items()
        ]


RUNS = Alike(RunRow, "run_id", "key")
ATTEMPTS = Alike(AttemptRow, "item", "run_id")


def first_entries(appends: Iterable[Append]) -> tuple[str, bytes]:
    """Of threads that begin, one for each group: their names and where each body stands among all, which follow each
    other as they are.
    """
    threads, entries, begins, sizes, at = [], [], [], [], 1
    bodies = []
    for append in appends:
        threads.append(append.thread)
        entries.append(append.entry_id)
        begins.append(at)
        sizes.append(size := len(append.body))
        bodies.append(append.body)
        at += size
    said = {"thread": threads, "entry_id": entries, "begins": begins, "sizes": sizes}
    return _encode(said).decode(), b"".join(bodies)
