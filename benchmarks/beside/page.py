"""Writes the measured parts of ``docs/benchmarks.md`` and ``docs/capacity.md``, and the pictures, from kept results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import capacity
from benchmarks.beside import pictures
from benchmarks.beside.environments import ROOT
from benchmarks.beside.results import Results
from benchmarks.beside.tables import facts, tables
from benchmarks.report import Table, markdown

DOCS = ROOT / "docs"
BEGIN = "<!-- Written by ./dev bench --write-docs: what stands from here on is measured. -->"
END = "<!-- The end of what is measured. -->"


def write(files: Sequence[Path], docs: Path = DOCS) -> None:
    """In each page, what stands between the two marks is replaced. Raises ``ValueError`` where a page has none."""
    results = Results()
    for file in files:
        results.merge(Results.from_json(json.loads(file.read_text())))
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    drawn = pictures.draw(results)
    for name, picture in drawn.items():
        (folder / f"{name}.svg").write_text(picture)
    _replace(docs / "benchmarks.md", measured(results, list(drawn), folder.name))
    cores = int(results.facts["machine"]["cores"])
    _replace(docs / "capacity.md", "\n".join(map(markdown, capacity.tables(results, cores))))


def _replace(page: Path, text: str) -> None:
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no place for what is measured: {BEGIN!r} and {END!r} mark it")
    page.write_text("\n".join([before + BEGIN, "", text, END]) + after)


def measured(results: Results, pictures_: Sequence[str], folder: str) -> str:
    parts = [markdown(each) for each in _all(results)]
    shown = [f"![{name.replace('-', ' ')}]({folder}/{name}.svg)\n" for name in pictures_]
    return "\n".join([parts[0], *shown, *parts[1:]])


def _all(results: Results) -> list[Table]:
    """The targets, then where all was measured, then the rest."""
    first, *rest = tables(results)
    told = {
        "machine": "Where and when this was measured",
        "versions": "Versions",
        "durability": "Durability, of all alike",
        "settings": "What was tuned, as each peer's documentation advises",
    }
    return [first, *(facts(results, name, title) for name, title in told.items() if name in results.facts), *rest]
