"""The tables of a comparison, made from its results alone: so a page can be written again without measuring."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import targets
from benchmarks.beside.results import Results
from benchmarks.beside.works import WORKS
from benchmarks.report import Cell, Table

_UNITS = {
    "cpu": "CPU a step, µs",
    "cpu of PostgreSQL": "PostgreSQL's",
    "cpu of Redis": "Redis's",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "bytes": "bytes an item",
}


def tables(results: Results) -> Iterator[Table]:
    """The targets first, then each work."""
    yield targets.table(results)
    for name, work in WORKS.items():
        if name in results.values:
            yield _of(results, name, work.title)
    for name in results.values:
        if name.startswith("growth: "):
            yield _of(results, name, f"A step, µs, by how many {name.removeprefix('growth: ')} stand beside it")
    if "limits" in results.values:
        yield _of(results, "limits", "What the servers can do here: commits of one row, scripts of one command")
    if "asked" in results.values:
        yield _of(results, "asked", "What a step asks of its stores, 64 in flight, one process")
    if results.failed:
        rows = tuple((label, _first_line(why)) for label, why in sorted(results.failed.items()))
        yield Table(name="failed", title="What could not be measured", columns=("what", "why"), rows=rows)


def _of(results: Results, work: str, title: str) -> Table:
    found = results.values[work]
    figures = list(dict.fromkeys(name for each in found.values() for name in each))
    rows: list[tuple[Cell, ...]] = []
    for contestant in found:
        cells = [results.figure(work, contestant, figure) for figure in figures]
        rows.append((contestant, *("" if cell is None else cell for cell in cells)))
    columns = ("who", *(_UNITS.get(figure, figure) for figure in figures))
    return Table(name=f"beside_{work}", title=title, columns=columns, rows=tuple(rows))


def facts(results: Results, name: str, title: str) -> Table:
    """``versions``, ``settings``, ``durability`` or ``machine``."""
    return Table(name=name, title=title, columns=("what", "which"), rows=tuple(results.facts.get(name, {}).items()))


def _first_line(text: str) -> str:
    return text.splitlines()[0]
