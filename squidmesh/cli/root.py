"""``squidmesh``: the command that holds all others."""

from __future__ import annotations

from importlib import import_module

import click

from squidmesh import __version__
from squidmesh.cli import logs, target
from squidmesh.cli.failures import Commands

_COMMANDS = {
    "archive": ("retention", "Write runs that ended long ago to FILE, a line of JSON each, and remove them."),
    "cron": ("cron", "Start a run for each window of the app's cron triggers, until told to leave."),
    "dead-letters": ("dead_letters", "Attempts that were given up after too many lost deliveries."),
    "demo": ("demo", "Recover 320 payments with three workers, kill one in the middle, and compare the books."),
    "doctor": ("doctor", "Look at the stores, the lease backend and what waits in them."),
    "init": ("init", "Make a project that runs in FOLDER: a workflow, its tests, and how to go on."),
    "migrate": ("migrate", "Bring a store to this version's schema, making it where it is not there."),
    "prune": ("retention", "Remove runs that ended long ago, each whole, children with their parents."),
    "queues": ("queues", "Queues, and what is in them."),
    "reconcile": ("reconcile", "Offer the lease backend what the journal says is open, and remove what is closed."),
    "reindex": (
        "reindex",
        "Make lists, agenda, timers, dead letters and paused queues again from the journal's threads.",
    ),
    "runs": ("runs", "Look at runs, and decide about them."),
    "sonar": ("sonar", "Serve the operator's web pages: runs, queues, workers, dead letters, cron."),
    "start": ("start", "Start a run of WORKFLOW."),
    "top": ("top", "Watch the fleet: workers, queues, runs and dead letters."),
    "worker": ("worker", "Run steps until told to leave."),
    "workers": ("workers", "Workers, in whatever process they run."),
    "workflows": ("workflows", "What can be started: workflows of classes, and those that were made at run time."),
}
"""Each command: the module that has it, and the first words of its help."""


class _Root(Commands):
    """Its commands stand in for the real ones, which are loaded to be called: most of a start is their imports."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(name or ""), rest


def load(name: str) -> click.Command:
    """The command itself."""
    module, _ = _COMMANDS[name]
    command: click.Command = getattr(import_module(f"squidmesh.cli.{module}"), name.replace("-", "_"))
    return command


@click.group(cls=_Root, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="squidmesh %(version)s")
@target.environment
@click.pass_context
def squidmesh(context: click.Context) -> None:
    """Durable workflows, in your own process.

    Commands find the mesh by --app (the module and attribute where Mesh.connect was called) or, where no functions are
    needed, by --url (the address of its store). --json makes any command print one JSON document.
    """
    logs.to_stderr()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _name, (_, _words) in _COMMANDS.items():
    squidmesh.add_command(click.Command(_name, help=_words))
