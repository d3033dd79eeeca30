"""``squidmesh top``: the whole fleet, live. It only reads."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from queue import Empty

import click
from rich.console import Console
from rich.live import Live

from squidmesh import BackendUnavailable, Mesh
from squidmesh.cli import target
from squidmesh.cli.fleet_view import FleetView, look
from squidmesh.cli.frame import Header, frame
from squidmesh.cli.output import console, json_option, show_json
from squidmesh.cli.signals import Events, Signalled
from squidmesh.cli.values import read_seconds

_SHORTEST, _LONGEST = 0.1, 3600.0
_WIDTH = 110


def _read_every(context: click.Context, option: click.Parameter, given: str | None) -> float:
    seconds = read_seconds(context, option, given)
    if seconds is None or not _SHORTEST <= seconds <= _LONGEST:
        raise click.BadParameter(f"{given!r} is refused; allowed are {_SHORTEST} to 3600 seconds", param=option)
    return seconds


@click.command()
@click.option("--every", callback=_read_every, default="1", show_default=True, metavar="SECONDS", help="Look so often.")
@click.option("--once", is_flag=True, help="Print one frame and leave.")
@click.option("--leases", metavar="URL", help="With --url: the mesh's lease backend.")
@target.options
@json_option
@click.pass_context
def top(context: click.Context, every: float, once: bool, leases: str | None, as_json: bool) -> None:
    """Watch the fleet: workers, queues, runs and dead letters. Ctrl-C leaves.

    Where stdout is no terminal that can be drawn on, one frame is printed under the other. --json prints one look.
    """
    with target.connect(context, leases=leases) as mesh:
        app, _ = target.chosen(context)
        name = repr(mesh).removeprefix("<Mesh ").split(" workflows=")[0] if app is None else app
        if as_json:
            show_json(look(mesh).to_json())
        elif once:
            out = _console()
            out.print(frame(look(mesh), Header(name), width=out.width))
        else:
            _Watch(mesh, name, every).run()


def _console() -> Console:
    """A frame is for eyes: it is not as wide as what is piped into another program."""
    out = console()
    if not out.is_terminal:
        out.width = _WIDTH
    return out


class _Watch:
    """Until SIGINT or SIGTERM."""

    def __init__(self, mesh: Mesh, name: str, every: float) -> None:
        self._mesh = mesh
        self._every = every
        self._name = name
        self._out = _console()
        self._can_draw = self._out.is_terminal and not self._out.is_dumb_terminal
        self._last: FleetView | None = None

    def run(self) -> None:
        events: Events[Signalled] = Events()
        with events, self._screen() as screen:
            due = time.monotonic()
            while True:
                self.look(screen)
                due = max(due + self._every, time.monotonic())  # a slow store is asked less often, not in a heap
                try:
                    events.get(max(0.0, due - time.monotonic()))
                except Empty:
                    continue
                return

    def _screen(self) -> AbstractContextManager[Live | None]:
        if not self._can_draw:
            return nullcontext()
        return Live(console=self._out, screen=True, auto_refresh=False, transient=True)

    def look(self, screen: Live | None) -> None:
        """A store that is away for a while is told, over what was seen last."""
        trouble = None
        try:
            self._last = look(self._mesh, self._last)
        except BackendUnavailable as error:
            if self._last is None:
                raise
            trouble = str(error)
        header = Header(self._name, f"every {self._every:g} s, Ctrl-C leaves" if screen else "", trouble)
        if screen is None:
            self._out.print(frame(self._last, header, width=self._out.width), "")
        else:
            drawn = frame(self._last, header, width=self._out.width, lines=self._out.height)
            screen.update(drawn, refresh=True)
