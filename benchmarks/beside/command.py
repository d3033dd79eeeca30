"""``./dev bench --peers``: measures, prints, and keeps what was measured."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import machine
from benchmarks.beside.run import FULL, QUICK, Results, UnknownPeer, chosen, compare
from benchmarks.beside.tables import facts, tables
from benchmarks.report import Printer


def run(names: Sequence[str], *, quick: bool, repeats: int | None, json_file: Path | None) -> None:
    """Exits with 1 where a peer failed: the tables then say which, and why."""
    try:
        peers = chosen(names)
    except UnknownPeer as error:
        raise click.BadParameter(str(error)) from error
    extent = QUICK if quick else FULL
    if repeats is not None:
        extent = dataclasses.replace(extent, repeats=repeats)
    printer, results = Printer(), Results()
    with machine.folder_on_disk() as folder:
        here = machine.describe(folder)
        here["load before"] = machine.load()
        here["command"] = shlex.join(["./dev", "bench", *sys.argv[1:]])
        results.facts["machine"] = here
        try:
            compare(peers, extent, folder, printer, results)
        finally:
            here["load after"] = machine.load()
            if json_file is not None:
                json_file.write_text(json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
    printer.table(facts(results, "machine", "Where this was measured"))
    for table in tables(results):
        printer.table(table)
    sys.exit(1 if results.failed else 0)
