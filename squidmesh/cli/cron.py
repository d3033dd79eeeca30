"""``squidmesh cron``: fire cron triggers. On one node or on all of them: each window starts one run."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from squidmesh import CronLook, CronLoop, CronStatus, Mesh
from squidmesh.cli import listening, logs, looks, target, times
from squidmesh.cli.listening import Address, Listening
from squidmesh.cli.output import clean, json_option, show, show_json
from squidmesh.cli.signals import Events, Signalled, in_background
from squidmesh.cli.values import read_seconds

FAILED = 1
_CLOSING = 5.0
"""Seconds for closing the stores at the end."""


@click.group(invoke_without_command=True)
@click.option("--once", is_flag=True, help="Look once, and leave: for a scheduler that the host has already.")
@click.option(
    "--look-every",
    callback=read_seconds,
    default="60",
    show_default=True,
    metavar="SECONDS",
    help="The longest to sleep without a look at the clock.",
)
@listening.option
@logs.format_option
@target.options
@json_option
@click.pass_context
def cron(
    context: click.Context,
    once: bool,
    look_every: float,
    listen: Address | None,
    log_format: str,
    as_json: bool,
) -> int | None:
    """Start a run for each window of the app's cron triggers, until told to leave.

    May run on every node at once. SIGTERM or Ctrl-C ends it.
    """
    if context.invoked_subcommand is not None:
        return None
    logs.to_stderr(logging.INFO, log_format)
    mesh = target.connect_app(context)
    loop = mesh.cron(look_every=look_every)
    if not once:
        listening.watch(mesh, log_format)
        code = _Process(mesh, loop, listening.listen(mesh, loop, listen)).run()
        if as_json:
            show_json({"ended": code == 0})
        return code
    with mesh:
        found = loop.look()
    if as_json:
        show_json(_to_json(found))
    else:
        show(_told(found))
    return FAILED if found.held else 0


@cron.command("list")
@click.option("--upcoming", type=int, default=3, show_default=True, help="How many windows to look ahead.")
@target.options
@json_option
@click.pass_context
def list_all(context: click.Context, upcoming: int, as_json: bool) -> None:
    """List cron triggers, with their next windows in local time and in UTC."""
    with target.connect_app(context) as mesh:
        found = mesh.list_cron(upcoming=upcoming)
    if as_json:
        show_json([one.to_json() for one in found])
    elif found:
        show(_table(found))
    else:
        show(Text("no cron triggers", style="dim"))


@dataclass(frozen=True, slots=True)
class _LoopEnded:
    pass


class _Process:
    """One loop in this process."""

    def __init__(self, mesh: Mesh, loop: CronLoop, listening: Listening | None = None) -> None:
        self._listening = listening
        self._mesh = mesh
        self._loop = loop
        self._events: Events[_LoopEnded] = Events()

    def run(self) -> int:
        """The exit code: 0 after it was told to leave."""
        with self._events:
            self._loop.start()
            in_background(self._watch)
            logs.info("cron_started", pid=os.getpid(), triggers=len(self._loop.triggers))
            if self._listening is not None and self._listening.url is not None:
                logs.info("cron_listens", pid=os.getpid(), url=self._listening.url)
            event = self._events.get()
            if self._listening is not None:
                self._listening.health.leave()
            self._loop.stop(_CLOSING)
            in_background(self._mesh.close).join(_CLOSING)
        code = 0 if isinstance(event, Signalled) else FAILED
        logs.info("cron_ended", pid=os.getpid(), code=code)
        return code

    def _watch(self) -> None:
        self._loop.join()
        self._events.put(_LoopEnded())


def _to_json(found: CronLook) -> dict[str, object]:
    return {
        "fired": [
            {
                "workflow": one.workflow,
                "trigger": one.trigger,
                "window": one.window.isoformat(),
                "run_id": one.run_id,
            }
            for one in found.fired
        ],
        "held": found.held,
        "next_at": None if found.next_at is None else found.next_at.isoformat(),
    }


def _told(found: CronLook) -> RenderableType:
    lines = [
        Text.assemble(
            (f"{looks.sign('completed')} ", "green"), f"{one.workflow}.{one.trigger} ", one.window.isoformat()
        )
        .append("  ")
        .append(one.run_id, style="dim")
        for one in found.fired
    ]
    lines += [
        Text.assemble((f"{looks.sign('failed')} ", "red"), clean(f"{name}: {why}")) for name, why in found.held.items()
    ]
    following = "no window comes" if found.next_at is None else f"next window at {times.absolute(found.next_at)}"
    lines.append(Text(following if found.fired else f"nothing was due; {following}", style="dim"))
    return Text("\n").join(lines)


def _table(found: tuple[CronStatus, ...]) -> Table:
    """One line a window; a trigger is told once."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("trigger", "expression", "timezone", "last window", "next, local time", "next, UTC"):
        table.add_column(name, no_wrap=True)
    for one in found:
        last = "" if one.last_window is None else times.relative(one.last_window, one.as_of)
        told = [
            clean(f"{one.workflow}.{one.trigger}"),
            Text(one.expression),
            Text(one.timezone),
            Text(_state(one) or last),
        ]
        for window in one.next or (None,):
            table.add_row(
                *told,
                "" if window is None else f"{window:%a %Y-%m-%d %H:%M}",
                Text("" if window is None else f"{window.astimezone(UTC):%Y-%m-%d %H:%M}", style="dim"),
            )
            told = [Text("")] * len(told)
    return table


def _state(one: CronStatus) -> str:
    if one.registered_at is None:
        return "no loop has seen it"
    return "overdue: no loop looks" if one.overdue else ""
