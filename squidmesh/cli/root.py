"""``squidmesh``: the command that holds all others."""

from __future__ import annotations

import click

from squidmesh import __version__
from squidmesh.cli import logs, target
from squidmesh.cli.cron import cron
from squidmesh.cli.dead_letters import dead_letters
from squidmesh.cli.demo import demo
from squidmesh.cli.doctor import doctor
from squidmesh.cli.failures import Commands
from squidmesh.cli.init import init
from squidmesh.cli.migrate import migrate
from squidmesh.cli.queues import queues
from squidmesh.cli.reconcile import reconcile
from squidmesh.cli.reindex import reindex
from squidmesh.cli.retention import archive, prune
from squidmesh.cli.runs import runs
from squidmesh.cli.sonar import sonar
from squidmesh.cli.start import start
from squidmesh.cli.top import top
from squidmesh.cli.worker import worker
from squidmesh.cli.workers import workers
from squidmesh.cli.workflows import workflows


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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


_COMMANDS = (
    *(demo, init, migrate, doctor, top, start, worker, cron, reconcile, reindex, prune, archive),
    *(runs, dead_letters, queues, workers, workflows, sonar),
)
for command in _COMMANDS:
    squidmesh.add_command(command)
