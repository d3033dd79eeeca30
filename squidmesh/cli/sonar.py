"""``squidmesh sonar``: the operator's web pages, served from here."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from squidmesh import UsageError
from squidmesh.cli import target
from squidmesh.cli.listening import Address, read_address
from squidmesh.cli.output import clean, show

if TYPE_CHECKING:
    from squidmesh.sonar import Tokens

_PORT = 8377
_NEEDED = ("starlette", "jinja2", "uvicorn")
_QUEUES = "Only this queue, or with * at its end all that begin so. Repeatable."
_GRACE = 2
"""Seconds that a page which is being sent gets at the end. Live ones are cut off: their browsers come back."""


@click.group(invoke_without_command=True)
@click.option(
    "--listen",
    callback=read_address,
    default=str(_PORT),
    show_default=f"127.0.0.1:{_PORT}",
    metavar="HOST:PORT",
    help="Another address than one of the loopback needs --tokens.",
)
@click.option(
    "--tokens",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SQUIDMESH_SONAR_TOKENS",
    show_envvar=True,
    metavar="FILE",
    help="Who may come in: a TOML file, made with `squidmesh sonar token`.",
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name under which it is reached. Repeatable.")
@click.option("--actor", metavar="NAME", help="Without --tokens: who decides here. By default, your user's name.")
@click.option("--leases", metavar="URL", help="With --url: the mesh's lease backend.")
@target.options
@click.pass_context
def sonar(
    context: click.Context,
    listen: Address,
    tokens: Path | None,
    hosts: Sequence[str],
    actor: str | None,
    leases: str | None,
) -> None:
    """Serve the operator's web pages: runs, queues, workers, dead letters, cron.

    Without --tokens it answers this machine only. Anybody on it may look; who opens the second of the printed addresses
    may also decide.
    """
    _check_installed()
    if context.invoked_subcommand is not None:
        return
    from squidmesh.sonar import Tokens

    token = None
    if tokens is not None:
        if actor is not None:
            raise UsageError("--tokens says who decides: it goes without --actor", field="--actor")
        known = Tokens.read(tokens)
    elif not _is_loopback(listen.host):
        why = f"{listen.host} is no address of the loopback, and without --tokens anybody could come in"
        raise UsageError(why, field="--listen", code="tokens_needed")
    else:
        known, token = Tokens.for_this_machine(_own_name() if actor is None else actor)
    _serve(context, listen, known, token, (*_names(listen.host), *hosts), leases)


@sonar.command()
@click.argument("actor")
@click.option("--role", type=click.Choice(("viewer", "operator")), default="viewer", show_default=True)
@click.option("--queue", "queues", multiple=True, metavar="NAME", help=_QUEUES)
def token(actor: str, role: str, queues: Sequence[str]) -> None:
    """Make a token for ACTOR: the lines for the file of --tokens, and the token itself, which is shown this once."""
    from squidmesh.sonar.access import token_row

    made, row = token_row(actor, role, tuple(queues))
    click.echo(row, nl=False)
    click.echo(f"# the token of {actor}, not kept anywhere: {made}".replace("\n", " "), err=True)


def _serve(
    context: click.Context, listen: Address, known: Tokens, token: str | None, hosts: Sequence[str], leases: str | None
) -> None:
    import uvicorn

    from squidmesh.sonar import app

    with target.connect(context, leases=leases) as mesh:
        mesh.count_runs()  # a store that is not there, or not migrated, is told now
        pages = app(mesh, auth=known, hosts=hosts)
        config = uvicorn.Config(
            pages,
            host=listen.host,
            port=listen.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
            limit_concurrency=400,
            h11_max_incomplete_event_size=64 * 1024,
        )
        server = uvicorn.Server(config)
        try:
            socket = config.bind_socket()
        except (OSError, SystemExit) as error:
            why = f"{listen.host}:{listen.port} can not be listened on"
            raise UsageError(why, field="--listen", code="can_not_listen") from error
        socket.listen(128)  # who opens the address in the moment that it is printed waits, and is not refused
        port = socket.getsockname()[1]
        name = f"[{listen.host}]" if ":" in listen.host else listen.host
        show(Text.assemble("Sonar ", (f"http://{name}:{port}/", "bold"), clean("" if token is None else "  to look")))
        if token is not None:
            show(Text.assemble("      ", (f"http://{name}:{port}/sign-in#{token}", "bold"), "  to decide"))
        server.run(sockets=[socket])


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user may have none
        raise UsageError("your user has no name here; allowed is a name", field="--actor") from error


def _check_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        why = f'no {", ".join(missing)} here: pip install "squidmesh[sonar]"'
        raise UsageError(why, code="extra_missing")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str) -> tuple[str, ...]:
    """The names of the address itself. Of one that means all of them, those of the loopback."""
    from squidmesh.sonar.guard import LOOPBACK

    return (*LOOPBACK, host)
