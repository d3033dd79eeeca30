"""``squidmesh demo``: three workers recover 320 payments; one is killed in the middle; nothing is lost.

With ``--redis`` their work is delivered through a Redis, which is emptied and killed on the way.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from squidmesh import Explanation, Mesh, Run, RunGraph
from squidmesh.demo.app import LEASE, connect
from squidmesh.demo.fleet import SLOTS, WORKERS, Fleet, WorkerProcess
from squidmesh.demo.gateway import DEFAULT_SEED
from squidmesh.demo.invoices import load_invoices
from squidmesh.demo.ledger import read_ledger
from squidmesh.demo.report import Report, make_report
from squidmesh.demo.workflow import PaymentRecovery, Recover
from squidmesh.testing.processes import NoServer

__all__ = ["Drawing", "NoServer", "run_demo"]

KILL_AT = 0.35
"""The share of runs that has ended when a worker is killed."""
FLUSH_AT, REDIS_KILL_AT = 0.2, 0.55
"""The same, for what befalls the Redis."""
_REDIS_AWAY = 1.0
"""Seconds."""
TIME_LIMIT = 180.0
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Drawing:
    """How graphs and explanations look: the command line's own drawings."""

    graph: Callable[[RunGraph], RenderableType]
    explanation: Callable[[Explanation], RenderableType]


def run_demo(
    console: Console,
    drawing: Drawing,
    *,
    seed: int = DEFAULT_SEED,
    folder: Path | None = None,
    redis: bool = False,
) -> int:
    """The whole demo; 0 if every promise held, 1 if one did not. ``folder`` is kept; without one, a temporary one is
    used and removed. ``redis``: with a Redis of its own; ``NoServer`` where none is installed.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return _Demo(console, drawing, folder, seed, redis).run()
    with tempfile.TemporaryDirectory(prefix="squidmesh-demo-") as temporary:
        return _Demo(console, drawing, Path(temporary), seed, redis).run()


class _Demo:
    def __init__(self, console: Console, drawing: Drawing, folder: Path, seed: int, redis: bool) -> None:
        self._console = console
        self._drawing = drawing
        self._fleet = Fleet(folder, seed)
        self._began = time.monotonic()
        self._notes: list[tuple[float, str]] = []
        self._counts: dict[str, int] = {}
        self._total = 0
        self._held: frozenset[str] = frozenset()
        self._killed: WorkerProcess | None = None
        self._with_redis = redis
        self._flushed: int | None = None
        self._redis_away_since: float | None = None
        self._redis_came_back = False

    def run(self) -> int:
        with self._fleet:
            if self._with_redis:
                server = self._fleet.start_redis()
                self._note(f"a {server.kind} on port {server.port} delivers the work; the journal stays in SQLite")
            return self._run()

    def _run(self) -> int:
        with connect(self._fleet.journal_url, self._fleet.leases_url) as mesh:
            self._fleet.start_gateway()
            self._note(f"the gateway answers on {self._fleet.gateway_url}: slowly, with refusals and time-outs")
            started = self._start_runs(mesh)
            self._fleet.start_workers()
            self._note(f"{WORKERS} worker processes started, {SLOTS} slots each, leases of {LEASE:g} s")
            self._watch(mesh)
            codes = self._fleet.stop_workers()
            self._note(f"the living workers drained: exit codes {codes}")
            runs = [mesh.inspect_run(run_id, history=True) for run_id in started]
            report = self._report(runs)
            problems = (*report.problems, *self._redis_problems())
            self._show(mesh, runs, report, problems)
        return 1 if problems else 0

    def _start_runs(self, mesh: Mesh) -> list[str]:
        invoices = load_invoices()
        self._total = len(invoices)
        ids = [invoice.invoice_id for invoice in invoices]
        runs = mesh.start_runs(PaymentRecovery.recover, [Recover(invoice_id=id_) for id_ in ids], keys=ids)
        self._note(f"{len(runs)} runs started in one commit, one for each invoice of the shipped file")
        return [run.run_id for run in runs]

    def _watch(self, mesh: Mesh) -> None:
        """Looks at the journal until every run has ended, and kills a worker on the way."""
        pause = threading.Event()
        if self._console.is_terminal:
            with Live(self._picture(), console=self._console, refresh_per_second=8, transient=True) as live:
                for _ in self._looks(mesh, pause):
                    live.update(self._picture())
            self._console.print(self._picture())
            return
        shown = -1
        for _ in self._looks(mesh, pause):
            tenth = self._ended() * 10 // max(1, self._total)
            if tenth != shown:
                shown = tenth
                self._console.print(f"{self._age():6.1f} s  {self._ended():>3} of {self._total} runs have ended")

    def _looks(self, mesh: Mesh, pause: threading.Event) -> Iterator[None]:
        while True:
            self._counts = mesh.count_runs()
            if self._with_redis:
                self._disturb_redis()
            if self._killed is None and self._ended() >= self._total * KILL_AT:
                self._kill_one(mesh)
            yield
            if self._ended() == self._total:
                self._note(f"all {self._total} runs have ended")
                return
            if self._age() > TIME_LIMIT:
                self._note(f"gave up waiting after {TIME_LIMIT:g} s")
                return
            pause.wait(_LOOK_EVERY)

    def _kill_one(self, mesh: Mesh) -> None:
        """Freezes a worker, looks at what it holds, and kills it if that is anything. What a frozen process holds
        stays as it is, so what is seen is what is lost.
        """
        victim = self._fleet.workers[1]
        self._fleet.freeze(victim, frozen=True)
        held = frozenset(run.run_id for run in _open_runs(mesh) if _is_held_by(run, victim))
        if not held:
            self._fleet.freeze(victim, frozen=False)
            return
        self._fleet.kill(victim)
        self._killed, self._held = victim, held
        self._note(f"{victim.name} (pid {victim.process.pid}) killed with SIGKILL, in the middle of {len(held)} steps")

    def _disturb_redis(self) -> None:
        """Emptied first, without a word to anybody; later killed, and started again after a while."""
        server = self._fleet.redis
        assert server is not None
        if self._flushed is None and self._ended() >= self._total * FLUSH_AT:
            self._flushed = int(server.ask("DBSIZE").lstrip(b":"))
            server.ask("FLUSHALL")
            self._note(f"FLUSHALL: the {server.kind} has forgotten everything, {self._flushed} keys of it")
        elif self._redis_away_since is None and self._ended() >= self._total * REDIS_KILL_AT:
            pid = server.pid
            server.kill()
            self._redis_away_since = time.monotonic()
            self._note(f"the {server.kind} (pid {pid}) killed with SIGKILL")
        elif (
            self._redis_away_since is not None
            and not self._redis_came_back
            and time.monotonic() - self._redis_away_since >= _REDIS_AWAY
        ):
            server.start()
            self._redis_came_back = True
            self._note(f"the {server.kind} is back, with what its append-only file knows")

    def _redis_problems(self) -> list[str]:
        if not self._with_redis:
            return []
        problems = []
        if not self._flushed:
            problems.append("the Redis was never emptied, or held nothing: that proved nothing")
        if not self._redis_came_back:
            problems.append("the Redis was not killed and started again: that proved nothing")
        return problems

    def _report(self, runs: list[Run]) -> Report:
        owner = _owner_part(self._killed) if self._killed else "nobody"
        return make_report(runs, read_ledger(self._fleet.ledger), killed_owner=owner, held=self._held)

    # ---------------------------------------------------------------------------------------------------- looks

    def _picture(self) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text("runs", style="bold"),
            ProgressBar(total=max(1, self._total), completed=self._ended(), width=40),
            f"{self._ended()} of {self._total}",
            Text("  ".join(f"{name} {count}" for name, count in sorted(self._counts.items())), style="dim"),
        )
        fleet = Table.grid(padding=(0, 2))
        for worker in self._fleet.workers:
            style = "bold red" if worker.killed else "green"
            fleet.add_row(worker.name, f"pid {worker.process.pid}", Text(worker.state, style=style))
        return Panel(Group(bar, Text(), fleet), title="payment recovery", border_style="cyan", width=96)

    def _show(self, mesh: Mesh, runs: list[Run], report: Report, problems: tuple[str, ...]) -> None:
        show = self._console.print
        show(_outcome_table(report))
        if report.recovered is not None:
            show(Text("\nA recovered payment: the charge failed for good, a credit was issued", style="bold"))
            show(self._drawing.graph(mesh.inspect_run_graph(report.recovered)))
            show(self._drawing.explanation(mesh.explain_run(report.recovered)))
        taken = next((run for run in runs if run.run_id in report.taken_over and run.run_id in self._held), None)
        if taken is not None:
            show(_takeover_table(taken))
        show(_books_table(report))
        for problem in problems:
            show(Text(f"PROBLEM: {problem}", style="bold red"))
        if not problems:
            said = f" {report.runs} runs ended in {self._age():.1f} s; {len(self._held)} steps were taken over."
            show(Text.assemble("\n", ("Nothing was lost.", "bold green"), said))

    def _note(self, text: str) -> None:
        self._console.print(Text.assemble((f"{self._age():6.1f} s  ", "dim"), text))

    def _age(self) -> float:
        return time.monotonic() - self._began

    def _ended(self) -> int:
        return sum(self._counts.get(status, 0) for status in ("completed", "failed"))


def _open_runs(mesh: Mesh) -> Iterator[Run]:
    after: str | None = None
    while True:
        page = mesh.list_runs(status="running", limit=500, after=after)
        yield from (mesh.inspect_run(run.run_id) for run in page.runs)
        if (after := page.next) is None:
            return


def _owner_part(worker: WorkerProcess) -> str:
    """How the owner of a worker process's claims ends, before its nonce: its process id."""
    return f"-{worker.process.pid}"


def _is_held_by(run: Run, worker: WorkerProcess) -> bool:
    return any(
        attempt.status == "claimed" and (attempt.owner or "").partition("@")[0].endswith(_owner_part(worker))
        for attempt in run.attempts
    )


def _outcome_table(report: Report) -> Table:
    table = Table(title="Outcomes", title_justify="left", title_style="bold")
    table.add_column("outcome")
    table.add_column("runs", justify="right")
    table.add_column("what it means", style="dim")
    meanings = {
        "paid": "charged, receipt sent",
        "declined": "the gateway said no; customer asked for another way to pay",
        "credited": "every attempt to charge failed; a credit was issued",
    }
    for name, count in report.outcomes.most_common():
        table.add_row(name, str(count), meanings.get(name, "not completed"))
    table.add_section()
    table.add_row("all", str(report.runs), f"{report.failed_attempts} failed attempts on the way")
    return table


def _takeover_table(run: Run) -> Table:
    """What the journal says of one step that the killed worker held."""
    table = Table(title=f"\nTaken over: run {run.run_id}", title_justify="left", title_style="bold")
    for column in ("entry", "after", "fact", "step", "fence", "owner"):
        table.add_column(column, justify="right" if column in ("entry", "after", "fence") else "left")
    for item in run.history or ():
        details = item.details
        table.add_row(
            str(item.revision),
            f"{(item.at - run.started_at).total_seconds():.2f} s",
            item.kind,
            str(details.get("step", details.get("source", ""))),
            str(details.get("fence", "")),
            str(details.get("owner", "")),
        )
    return table


def _books_table(report: Report) -> Table:
    books = report.reconciliation
    table = Table(title="\nThe gateway's ledger against the journal", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("charges that the gateway booked", str(books.charges_booked))
    table.add_row("credits that the gateway booked", str(books.credits_booked))
    table.add_row("of both: accepted by the journal", str(books.matched))
    table.add_row("of both: not accepted, made good by a credit", str(len(books.credited)))
    table.add_row("repeats under the same idempotency key (harmless)", str(books.duplicates))
    table.add_row("calls refused with 503", str(books.refused))
    table.add_section()
    table.add_row("booked, and unknown to the journal", str(len(books.orphans)))
    table.add_row("accepted by the journal, and not booked", str(len(books.missing)))
    table.add_row("invoices charged or credited twice", str(_twice(report)))
    return table


def _twice(report: Report) -> int:
    books = report.reconciliation
    return len(books.double_charged_invoices) + len(books.double_credited_invoices)
