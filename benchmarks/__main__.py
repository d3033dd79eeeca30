"""``./dev bench``: what a journal costs, on this machine, and what its peers cost there."""

from __future__ import annotations

import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchmarks import (
    counts,
    disk,
    failover,
    growth,
    latency,
    machine,
    postgres,
    redis_plane,
    redis_queues,
    slots,
    sonar,
    throughput,
)
from benchmarks.beside import command, page
from benchmarks.report import Printer, Table
from benchmarks.scale import FULL, QUICK, Scale

MEASURES: dict[str, Callable[[Scale, Path, Printer], list[Table]]] = {
    "disk": disk.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "slots": slots.measure,
    "counts": counts.measure,
    "growth": growth.measure,
    "redis": redis_plane.measure,
    "queues": redis_queues.measure,
    "failover": failover.measure,
    "postgres": postgres.measure,
    "sonar": sonar.measure,
}


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--quick", is_flag=True, help="Less of it all, and no 100,000: for a look, not for a quotation.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="The same as PARTS.")
@click.option("--repeats", type=click.IntRange(1, 40), help="How often each is measured.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option("--peers", is_flag=True, help="Measure peers beside ours; PARTS are their names, none means all.")
@click.option("--growth", "grows", is_flag=True, help="Measure a step beside up to a million runs, on each path.")
@click.option("--profile", is_flag=True, help="Profile each path; write benchmarks/profiles.")
@click.option(
    "--write-docs",
    "pages",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write the measured part of docs/benchmarks.md from results that --json kept; of several, later ones win.",
)
def main(
    parts: Sequence[str],
    quick: bool,
    only: Sequence[str],
    repeats: int | None,
    json_file: Path | None,
    peers: bool,
    grows: bool,
    profile: bool,
    pages: Sequence[Path],
) -> None:
    """Measures PARTS, or all: the embedded journal (SQLite, every durable commit on the disk) in a temporary folder on
    a disk, leases in a Redis, and a journal in a PostgreSQL, both started for it.

    Tables go to stdout, in Markdown where that is no terminal; progress goes to stderr.
    """
    if pages:
        page.write(pages)
        return
    if peers or grows or profile:
        if only or (parts and not peers):
            raise click.UsageError("parts of the other benchmarks are measured without --peers, --growth and --profile")
        wanted = command.Wanted(names=parts, peers=peers, growth=grows, profile=profile, quick=quick, repeats=repeats)
        command.run(wanted, json_file)
        return
    for part in parts:
        if part not in MEASURES:
            raise click.BadParameter(f"no part {part!r}: there are {', '.join(MEASURES)}")
    scale = QUICK if quick else FULL
    if repeats is not None:
        scale = dataclasses.replace(scale, repeats=repeats)
    printer, tables = Printer(), []
    with machine.folder_on_disk() as folder:
        facts = machine.describe(folder)
        facts["load before"] = machine.load()
        facts["command"] = shlex.join(["./dev", "bench", *sys.argv[1:]])
        rows = tuple(facts.items())
        printer.table(Table(name="machine", title="Where this was measured", columns=("what", "which"), rows=rows))
        for name, measure in MEASURES.items():
            if name in ((*parts, *only) or MEASURES):
                for table in measure(scale, folder, printer):
                    printer.table(table)
                    tables.append(table)
        facts["load after"] = machine.load()
    printer.progress(f"done; the load average is {facts['load after']} now, it was {facts['load before']}")
    if json_file is not None:
        document = {"machine": facts, "results": {table.name: table.to_json() for table in tables}}
        json_file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # its servers end with it
    main(prog_name="./dev bench")
