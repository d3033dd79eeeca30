"""``./dev bench --peers``, ``--growth`` and ``--profile``: what they measure is kept in one file of results, from which
the page is written.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import capacity, grown, machine, profiling
from benchmarks.beside.results import Results
from benchmarks.beside.run import FULL, QUICK, UnknownPeer, chosen, compare
from benchmarks.beside.tables import facts, tables
from benchmarks.report import Printer

_PROFILED = {True: 600, False: 4000}
"""Runs of a profile: for a look, and for a quotation."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``names``: of peers, none means all. ``repeats``: of the peers' measurements, None means the usual number."""

    names: Sequence[str]
    peers: bool
    growth: bool
    profile: bool
    quick: bool
    repeats: int | None = None


def run(wanted: Wanted, json_file: Path | None) -> None:
    """Exits with 1 where a peer failed: the tables then say which, and why. What was measured before an error is kept
    too.
    """
    try:
        peers = chosen(wanted.names)
    except UnknownPeer as error:
        raise click.BadParameter(str(error)) from error
    printer, results = Printer(), Results()
    with machine.folder_on_disk() as folder:
        here = results.facts["machine"] = machine.describe(folder)
        here["cores"] = str(os.cpu_count())
        here["load before"] = machine.load()
        here["command"] = shlex.join(["./dev", "bench", *sys.argv[1:]])
        try:
            _measure(wanted, peers, folder, printer, results)
        finally:
            here["load after"] = machine.load()
            if json_file is not None:
                json_file.write_text(json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
    printer.table(facts(results, "machine", "Where this was measured"))
    for table in (*tables(results), *capacity.tables(results, int(here["cores"]))):
        printer.table(table)
    sys.exit(1 if results.failed else 0)


def _measure(wanted: Wanted, peers: frozenset[str], folder: Path, printer: Printer, results: Results) -> None:
    if wanted.peers:
        extent = QUICK if wanted.quick else FULL
        if wanted.repeats is not None:
            extent = dataclasses.replace(extent, repeats=wanted.repeats)
        compare(peers, extent, folder, printer, results)
    if wanted.growth:
        grown.measure(grown.QUICK if wanted.quick else grown.FULL, folder / "growth", printer, results)
    if wanted.profile:
        profiling.measure(_PROFILED[wanted.quick], folder / "profile", printer, results)
