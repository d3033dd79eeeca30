"""What one sees while a day goes on: a picture on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chaos.scenarios.injector import Injector

_EVERY = 0.5
_LINE_EVERY = 10.0


@dataclass(slots=True)
class Look:
    """What is to be seen at one moment. ``phase``: what the day is at."""

    phase: str
    now: float
    until: float
    totals: Counter[str]
    open: int
    workers: int
    injector: Injector


@dataclass(slots=True)
class Progress:
    """A context manager."""

    console: Console
    title: str
    _live: Live | None = None
    _shown: float = 0.0
    _rates: list[tuple[float, int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self._shown >= (_EVERY if self._live is not None else _LINE_EVERY)

    def show(self, look: Look) -> None:
        self._shown = time.monotonic()
        self._rates = [*self._rates[-10:], (look.now, look.totals["completed"])]
        if self._live is not None:
            self._live.update(self._picture(look))
            return
        active = ", ".join(one.name for one in look.injector.active()) or "none"
        self.console.print(
            f"{look.now:6.1f} s  {look.phase}: {look.totals['completed']} steps ({self._rate():.0f}/s),"
            f" {look.open} runs open, {len(look.injector.happened())} faults seen, now: {active}",
            highlight=False,
        )

    def _rate(self) -> float:
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0

    def _picture(self, look: Look) -> Panel:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(look.phase, style="bold"),
            ProgressBar(total=max(1.0, look.until), completed=min(look.now, look.until), width=44),
            f"{look.now:.0f} s",
        )
        counts = Table.grid(padding=(0, 3))
        counts.add_row(
            f"{look.totals['completed']:,} steps",
            f"{self._rate():.0f}/s",
            f"{look.open} runs open",
            f"{look.workers} workers",
        )
        counts.add_row(
            f"{len(look.injector.happened())} faults seen",
            f"{look.totals['lost']} leases lost",
            f"{look.totals['taken_over']} takeovers",
            f"{look.totals['refused']} stale writes refused",
        )
        faults = Table.grid(padding=(0, 2))
        for one in look.injector.active():
            seen = Text("seen", style="red") if one.evidence else Text("not seen yet", style="yellow")
            faults.add_row(Text(one.name, style="bold red"), one.target, seen)
        return Panel(Group(bar, Text(), counts, Text(), faults), title=self.title, border_style="magenta", width=96)
