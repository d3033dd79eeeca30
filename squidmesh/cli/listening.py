"""``--listen``: where a process tells how it is. Nothing listens unless it is asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from squidmesh import CronLoop, Mesh, UsageError, Vitals
from squidmesh.observe.counts import Counts
from squidmesh.observe.health import Health
from squidmesh.observe.meter import Meter
from squidmesh.observe.remembered import Remembered
from squidmesh.observe.server import Answer, Listener, Route, verdict
from squidmesh.observe.standing import Standing

F = TypeVar("F", bound=Callable[..., Any])
LOOPBACK = "127.0.0.1"
_PORTS = range(65536)


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def of_child(self, number: int) -> str:
        """For child 1, 2, … of a fleet: the port that was said, the next one, and so on. 0 stays 0."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port + number - 1 if self.port else 0}"


def read_address(context: click.Context, option: click.Parameter, value: str | None) -> Address | None:
    """``HOST:PORT``, ``[IPV6]:PORT``, or a port of the loopback."""
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or (colon and not host):
        raise _refused(value)
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) in _PORTS):
        raise _refused(value)
    return Address(host or LOOPBACK, int(port))


def option(command: F) -> F:
    """``--listen``."""
    made = click.option(
        "--listen",
        callback=read_address,
        envvar="SQUIDMESH_LISTEN",
        show_envvar=True,
        metavar="HOST:PORT",
        help="Answer /livez, /readyz and /metrics there. With --processes, each has its own port, from that one on.",
    )
    return made(command)


def check_room(address: Address, processes: int) -> None:
    """A port for each process."""
    if address.port + processes - 1 not in _PORTS:
        why = f"{processes} processes from port {address.port} on leave the ports; allowed is up to {_PORTS[-1]}"
        raise UsageError(why, field="--listen", code="invalid_listen")


@dataclass(frozen=True, slots=True)
class Listening:
    """``health`` and ``counts`` are the worker's; ``url`` is where it is told, None where nobody listens."""

    health: Health
    counts: Counts
    url: str | None
    listener: Listener | None

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()


def listen(mesh: Mesh, who: CronLoop | Standing, address: Address | None) -> Listening:
    """Before it is started: what it does is counted from the beginning. Raises ``UsageError`` where the address
    is taken, or is none of this host.
    """
    counts = Counts()
    look = Remembered(mesh.vitals)
    health = Health(who.signs, look)
    if address is None:
        return Listening(health, counts, None, None)
    routes: dict[str, Route] = {
        "/livez": lambda accept: verdict(health.not_live()),
        "/readyz": lambda accept: verdict(health.not_ready(), health.troubles()),
        "/metrics": _metrics(mesh, who, look, health, counts),
    }
    try:
        listener = Listener(address.host, address.port, routes)
    except OSError as error:
        why = f"{address.host}:{address.port}: {error.strerror or error}"
        raise UsageError(why, field="--listen", code="can_not_listen") from error
    listener.start()
    return Listening(health, counts, listener.url, listener)


def watch(mesh: Mesh, log_format: str) -> None:
    """What steps log and trace carries their ids: in JSON, and wherever OpenTelemetry is installed."""
    if log_format == "json":
        from squidmesh.observe.logs import StepContext

        mesh.observe(StepContext())
    if find_spec("opentelemetry") is not None:
        from squidmesh.observe.tracing import Tracing

        mesh.observe(Tracing())


def _metrics(
    mesh: Mesh,
    who: CronLoop | Standing,
    look: Remembered[Vitals],
    health: Health,
    counts: Counts,
) -> Route:
    if find_spec("prometheus_client") is None:
        missing = Answer(501, b'no metrics here: pip install "squidmesh[metrics]"\n')
        return lambda accept: missing
    from squidmesh.observe.prometheus import Page

    mesh.observe(Meter(counts))
    page = Page(counts, look=look, signs=who.signs, health=health)

    def route(accept: str) -> Answer:
        body, content_type = page.write(accept)
        return Answer(200, body, content_type)

    return route


def _refused(value: str) -> UsageError:
    why = f"{value!r} is refused; allowed is HOST:PORT, [IPV6]:PORT or PORT, such as {LOOPBACK}:9464"
    return UsageError(why, field="--listen", code="invalid_listen")
