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
@json_option
def demo(seed: int | None, folder: Path | None, as_json: bool) -> int:
    """Recover 320 payments with three workers, kill one in the middle, and compare the books."""
    from squidmesh.demo.gateway import DEFAULT_SEED  # only here: no other command pays for the demo
    from squidmesh.demo.run import Drawing, run_demo

    chosen = DEFAULT_SEED if seed is None else seed
    out = Console(stderr=True, highlight=False) if as_json else console()
    code = run_demo(out, Drawing(draw_graph, explanation_panel), seed=chosen, folder=folder)
    if as_json:
        show_json({"ok": code == 0, "seed": chosen})
    return code
