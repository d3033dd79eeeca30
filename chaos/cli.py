"""``python -m chaos list | run | soak | judge``."""

from __future__ import annotations

import io
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaos.faults.register import FAULTS, NOT_INJECTED, missing
from chaos.fleet.setup import Journal, Leases, Setup
from chaos.fleet.waiting import NeverSo
from chaos.judging import judge_command
from chaos.report.page import write_page
from chaos.scenarios.catalogue import ORDINARY, SCENARIOS, Scenario
from chaos.scenarios.day import Day
from chaos.scenarios.outcome import Outcome
from chaos.scenarios.versions import built
from squidmesh.testing.processes import NoServer

RED, UNUSABLE = 1, 2
REPORT = "report.html"
_console = Console()

seed_option = click.option("--seed", type=int, help="Begins all chance of the day; printed, and drawn where not given.")
report_option = click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the page of each day. Without it the page is among the evidence, where that is kept.",
)
keep_option = click.option("--keep", is_flag=True, help="Keep the evidence of a green day too.")


@click.group()
def main() -> None:
    """Bad days on purpose, for a fleet that is started here, on this machine."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whoever reads a log meanwhile sees how far it is


main.add_command(judge_command)


@main.command("list")
def list_() -> None:
    """The scenarios, the faults, and what can not be injected."""
    scenarios = Table(title="scenarios", title_justify="left", box=None)
    for scenario in SCENARIOS.values():
        mark = "" if not scenario.apart else "root" if scenario.setup.needs_root else "apart"
        scenarios.add_row(Text(scenario.name, style="bold"), mark, scenario.what)
    faults = Table(title="faults", title_justify="left", box=None)
    for fault in FAULTS.values():
        needs = "root" if fault.root else fault.package or ("git history" if "old" in fault.needs else "")
        why = missing(fault)
        faults.add_row(Text(fault.name, style="bold"), Text(why or needs, style="red" if why else ""), fault.what)
    never = Table(title="not injected", title_justify="left", box=None)
    for what, why in NOT_INJECTED.items():
        never.add_row(Text(what, style="bold"), why)
    for table in (scenarios, faults, never):
        _console.print(table)
        _console.print()
    _console.print("root: needs root on Linux. apart: needs libfaketime, or the history of this repository.")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seconds", type=click.FloatRange(5, 86_400), default=60.0, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All scenarios, those that need root or packages too.")
@seed_option
@report_option
@keep_option
def run(
    names: tuple[str, ...], seconds: float, everything: bool, seed: int | None, report: Path | None, keep: bool
) -> None:
    """Live through the scenarios that are named; without a name, through all that need nothing special."""
    chosen = names or (tuple(SCENARIOS) if everything else ORDINARY)
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        raise click.UsageError(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    drawn = _drawn(seed)
    codes = {name: _live(SCENARIOS[name], drawn, seconds, report, keep, f"run {name}") for name in chosen}
    words = {0: "[green]green[/]", RED: "[red]RED[/]", UNUSABLE: "[yellow]can not be done here[/]"}
    for name, code in codes.items() if len(codes) > 1 else ():
        _console.print(f"{name:<16} {words[code]}", highlight=False)
    wrong = [code for code in codes.values() if code == RED or (code and names)]
    sys.exit(max(wrong, default=0))


@main.command()
@click.option("--minutes", type=click.FloatRange(0.2, 24 * 60), default=30.0, show_default=True)
@click.option("--journal", type=click.Choice(get_args(Journal)), default="postgres", show_default=True)
@click.option("--leases", type=click.Choice(get_args(Leases)), default="redis", show_default=True)
@click.option("--every", type=click.FloatRange(0.5, 600), default=5.0, show_default=True, help="Seconds, about.")
@click.option("--workers", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option("--open", "most", type=click.IntRange(1, 10_000), default=120, show_default=True, help="Runs at once.")
@click.option("--all", "everything", is_flag=True, help="With what root and packages make possible besides.")
@seed_option
@report_option
@keep_option
def soak(
    minutes: float,
    journal: Journal,
    leases: Leases,
    every: float,
    workers: int,
    most: int,
    everything: bool,
    seed: int | None,
    report: Path | None,
    keep: bool,
) -> None:
    """One long day with all faults that the chosen stores make possible."""
    more = {"moved_clock": leases == "redis", "small_disk": True, "old": journal == "postgres"} if everything else {}
    scenario = Scenario(
        name="soak",
        what="everything that can befall these stores",
        setup=Setup(journal=journal, leases=leases, workers=workers, **more),
        every=every,
        most=most,
        apart=everything,
    )
    words = f"soak --minutes {minutes:g} --journal {journal} --leases {leases} --every {every:g} --workers {workers}"
    words += f" --open {most}" + (" --all" if everything else "")
    sys.exit(_live(scenario, _drawn(seed), minutes * 60, report, keep, words, in_minutes=True))


def _drawn(seed: int | None) -> int:
    return secrets.randbelow(1_000_000) if seed is None else seed


def _live(
    scenario: Scenario,
    seed: int,
    seconds: float,
    report: Path | None,
    keep: bool,
    words: str,
    *,
    in_minutes: bool = False,
) -> int:
    """One day; the exit code that it deserves."""
    length = "" if in_minutes else f" --seconds {seconds:g}"
    command = f"./dev chaos {words} --seed {seed}{length}"
    _console.rule(f"[bold]{scenario.name}[/], seed {seed}")
    _console.print(f"to repeat: {command}", highlight=False, soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{scenario.name}-{seed}-"))
    folder.chmod(0o755)  # the user of a PostgreSQL has to pass
    try:
        old = built(folder / "old") if scenario.setup.old else None
        day = Day(scenario, seed=seed, seconds=seconds, folder=folder, command=command, console=_console, old=old)
        outcome = day.run()
    except NoServer as error:
        _console.print(f"[yellow]can not be done here:[/] {error}", highlight=False)
        shutil.rmtree(folder, ignore_errors=True)
        return UNUSABLE
    except (NeverSo, KeyboardInterrupt) as error:
        _console.print(f"[red]broken off:[/] {str(error) or 'by you'}", highlight=False, soft_wrap=True)
        _console.print(f"evidence: {folder}", highlight=False, soft_wrap=True)
        return RED
    except BaseException:
        _console.print(f"evidence: {folder}", highlight=False, soft_wrap=True)
        raise
    return _tell(outcome, folder, report, keep)


def _tell(outcome: Outcome, folder: Path, report: Path | None, keep: bool) -> int:
    pages = [folder / REPORT]
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        pages.append(report / f"{outcome.scenario}-{outcome.seed}.html")
    for page in pages:
        write_page(outcome, page)
    assert outcome.verdict is not None
    print(outcome.verdict.table())
    for problem in outcome.problems:
        _console.print(f"[red]problem:[/] {problem}", highlight=False, soft_wrap=True)
    rate = outcome.steps / (outcome.load + outcome.rest)
    _console.print(
        f"{outcome.steps:,} steps ({rate:.0f}/s) of {outcome.runs:,} runs, {len(outcome.happened)} faults of"
        f" {len({one.name for one in outcome.happened})} kinds, {outcome.totals['lost']:,} leases lost,"
        f" {outcome.totals['taken_over']:,} takeovers; at rest after {outcome.rest:.0f} s",
        highlight=False,
    )
    _console.print("[bold green]green[/]" if outcome.ok else "[bold red]RED[/]")
    if report is not None:
        _console.print(f"report: {pages[-1]}", highlight=False, soft_wrap=True)
    if outcome.ok and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        _console.print(f"evidence: {folder}", highlight=False, soft_wrap=True)
    return 0 if outcome.ok else RED
