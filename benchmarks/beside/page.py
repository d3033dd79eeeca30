"""Writes the measured part of ``docs/benchmarks.md``, and its pictures, from kept results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.beside import pictures
from benchmarks.beside.environments import ROOT
from benchmarks.beside.run import Results
from benchmarks.beside.tables import facts, tables
from benchmarks.report import Table, markdown

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"
BEGIN = "<!-- Written by ./dev bench --write-docs: what stands from here on is measured. -->"
END = "<!-- The end of what is measured. -->"


def write(files: Sequence[Path], page: Path = PAGE, folder: Path = PICTURES) -> None:
    """What stands between the two marks is replaced."""
    results = Results()
    for file in files:
        results.merge(Results.from_json(json.loads(file.read_text())))
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no place for what is measured: {BEGIN!r} and {END!r} mark it")
    folder.mkdir(exist_ok=True)
    names = []
    for name, drawn in pictures.draw(results).items():
        (folder / f"{name}.svg").write_text(drawn)
        names.append(name)
    page.write_text("\n".join([before.rstrip() + "\n", BEGIN, "", measured(results, names, folder.name), END]) + after)


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
