"""``squidmesh workflows``: what can be started, and the workflows that are made at run time."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from squidmesh import Action, WorkflowError, WorkflowSummary, preview_graph, to_map
from squidmesh.cli import target, times
from squidmesh.cli.drawing import draw_graph
from squidmesh.cli.failures import REFUSED
from squidmesh.cli.output import clean, json_option, show, show_json
from squidmesh.cli.values import read_object

_STDIN = "-"


@click.group(invoke_without_command=True)
@click.pass_context
def workflows(context: click.Context) -> None:
    """What can be started: workflows of classes, and those that were made at run time."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@workflows.command("list")
@target.options
@json_option
@click.pass_context
def list_all(context: click.Context, as_json: bool) -> None:
    """List the workflows that can be started by name."""
    with target.connect(context) as mesh:
        found = mesh.workflows()
    if as_json:
        show_json({"workflows": [one.to_json() for one in found]})
    elif found:
        show(_table(found))
    else:
        show(Text("no workflows", style="dim"))


@workflows.command()
@target.options
@json_option
@click.pass_context
def actions(context: click.Context, as_json: bool) -> None:
    """List the functions that a workflow made at run time may name."""
    with target.connect_app(context) as mesh:
        found = mesh.actions()
    if as_json:
        show_json({"actions": [one.to_json() for one in found]})
    elif found:
        show(_actions_table(found))
    else:
        show(Text("no actions", style="dim"))


@workflows.command("show")
@click.argument("name")
@click.option("--map", "as_map", is_flag=True, help="Print only the map, for an editor.")
@target.options
@json_option
@click.pass_context
def show_one(context: click.Context, name: str, as_map: bool, as_json: bool) -> None:
    """Show one workflow, as the map that an editor changes."""
    with target.connect(context) as mesh:
        definition = mesh.workflow_definition(name)
        (summary,) = [one for one in mesh.workflows() if one.name == name]
    written = to_map(definition)
    if as_map:
        show_json(written)
    elif as_json:
        show_json(summary.to_json() | {"map": written})
    else:
        show(_table([summary]), "", clean(json.dumps(written, ensure_ascii=False, indent=2)))


@workflows.command()
@click.argument("file")
@target.options
@json_option
@click.pass_context
def validate(context: click.Context, file: str, as_json: bool) -> int:
    """Say all that is wrong with the map in FILE (- for stdin). Changes nothing."""
    with target.connect_app(context) as mesh:
        draft = mesh.validate_workflow(_read(file))
    if as_json:
        show_json(draft.to_json())
        return 0 if draft.definition is not None else REFUSED
    if draft.definition is None:
        raise WorkflowError(draft.name, draft.fatal)
    for warning in draft.problems:
        show(Text.assemble(("warning: ", "yellow"), clean(str(warning))))
    show(clean(f"{draft.name} {draft.definition.version} can be activated ({draft.definition.fingerprint[:12]})"))
    return 0


@workflows.command()
@click.argument("file")
@click.option("--actor", required=True, metavar="NAME", help="Who decides. Kept in the journal.")
@target.options
@json_option
@click.pass_context
def activate(context: click.Context, file: str, actor: str, as_json: bool) -> None:
    """Let runs be started of the map in FILE (- for stdin)."""
    with target.connect_app(context) as mesh:
        activated = mesh.activate_workflow(_read(file), actor=actor)
    if as_json:
        show_json(activated.to_json())
    else:
        show(clean(f"{activated.name} {activated.version} is active ({activated.fingerprint[:12]})"))


@workflows.command()
@click.argument("name")
@click.option("--actor", required=True, metavar="NAME", help="Who decides. Kept in the journal.")
@target.options
@json_option
@click.pass_context
def deactivate(context: click.Context, name: str, actor: str, as_json: bool) -> None:
    """Let no more runs be started of a workflow that was made at run time. Those in flight go on."""
    with target.connect(context) as mesh:
        mesh.deactivate_workflow(name, actor=actor)
    if as_json:
        show_json({"deactivated": name})
    else:
        show(clean(f"{name} is not active any more"))


@workflows.command()
@click.argument("name", metavar="NAME|@FILE")
@target.options
@json_option
@click.pass_context
def graph(context: click.Context, name: str, as_json: bool) -> None:
    """Draw a workflow, or the map in a file, also one that has problems."""
    with target.connect(context) as mesh:
        drawn: Any = (
            mesh.validate_workflow(read_object(name, field="NAME"))
            if name.startswith("@")
            else mesh.workflow_definition(name)
        )
    found = preview_graph(drawn)
    if as_json:
        show_json(found.to_json())
        return
    show(draw_graph(found))
    for problem in found.problems:
        show(Text.assemble(("warning: " if problem.warning else "problem: ", "yellow"), clean(str(problem))))


def _read(file: str) -> dict[str, Any]:
    return read_object(file if file == _STDIN else f"@{file.removeprefix('@')}", field="FILE")


def _table(found: tuple[WorkflowSummary, ...] | list[WorkflowSummary]) -> RenderableType:
    table = _plain_table("name", "version", "fingerprint", "from", "activated by")
    for one in found:
        by = "" if one.activated_at is None else f"{one.activated_by}, {times.both(one.activated_at, None)}"
        origin = "a class" if one.origin == "class" else "run time"
        table.add_row(clean(one.name), clean(one.version), one.fingerprint[:12], origin, clean(by))
    return table


def _actions_table(found: tuple[Action, ...]) -> RenderableType:
    table = _plain_table("name", "parameters", "description", "")
    for one in found:
        told = one.to_json()
        parameters = ", ".join(f"{p['name']}{'' if p['required'] else '?'}" for p in told["parameters"])
        state = Text("" if one.enabled else "disabled", style="yellow")
        table.add_row(clean(one.name), clean(parameters), clean(one.description.partition("\n")[0]), state)
    return table


def _plain_table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name)
    return table
