"""A live fleet that alerts watch: processes on ports of their own, which stay targets until they are forgotten."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from types import TracebackType

from squidmesh import Mesh, SquidMeshError
from squidmesh.testing import processes
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.processes import free_port
from squidmesh.testing.servers import Server
from tests.support.alarmed import Order, Work, connected
from tests.support.alertmanager import Watch, alertmanager
from tests.support.postgreses import VERSIONS
from tests.support.postgreses import started as postgres_started
from tests.support.prometheus import Prometheus, prometheus
from tests.support.redises import started as redis_started
from tests.support.shortened import shortened

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
SCRAPED_EVERY = "2500ms"
"""A process whose store is away answers after its patience of two seconds."""


class Fleet:
    """Processes by name. Each keeps its port, whoever has it."""

    def __init__(self, folder: Path, server: Prometheus, **told: str) -> None:
        self._folder = folder
        self._server = server
        self._told = told
        self._ports: dict[str, int] = {}
        self._living: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, path: str = "", **told: str) -> None:
        """A process, and a target. ``path``: of modules, before all others."""
        port = self._ports.setdefault(name, free_port())
        modules = os.pathsep.join(filter(None, [path, str(ROOT), *sys.path]))
        environment = {**os.environ, **self._told, **told, "PYTHONPATH": modules}
        words = [sys.executable, "-m", "squidmesh", "--app", "tests.support.alarmed:mesh", *command]
        with (self._folder / f"{name}.log").open("ab") as out:
            listens = f"--listen=127.0.0.1:{port}"
            self._living[name] = subprocess.Popen([*words, listens], env=environment, stdout=out, stderr=out)
        self._tell()

    def worker(self, name: str, *options: str, path: str = "", **told: str) -> None:
        self.start(name, "worker", "--no-sidecar", "--concurrency=8", *options, path=path, **told)

    def kill(self, *names: str) -> None:
        """They stay targets."""
        for name in names:
            process = self._living.pop(name)
            processes.kill(process.pid)
            process.wait(30)

    def forget(self, *names: str) -> None:
        """They are targets no more."""
        for name in names:
            self._ports.pop(name)
        self._tell()

    def freeze(self, name: str) -> None:
        processes.freeze(self._living[name].pid)

    def resume(self, name: str) -> None:
        processes.resume(self._living[name].pid)

    def dead(self) -> list[str]:
        return [name for name, process in self._living.items() if process.poll() is not None]

    def bury(self) -> list[str]:
        """Takes those that died by SIGKILL off the list, so that they may be started again."""
        gone = self.dead()
        for name in gone:
            assert self._living.pop(name).returncode == -SIGKILL, name
        return gone

    def close(self) -> None:
        for name in list(self._living):
            self.resume(name)
        self.kill(*self._living)

    def _tell(self) -> None:
        self._server.scrape([f"127.0.0.1:{port}" for port in self._ports.values()])


class Load:
    """Runs that are started all the time: a few have a snag, one in a hundred fails. A context manager."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.refused = 0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(0.1):
            number += 1
            what = "fail" if number % 100 == 7 else "snag" if number % 10 == 0 else "quick"
            try:
                self._mesh.start_run(Work.placed, Order(what=what))
            except SquidMeshError:  # the journal is away, which is one of the faults
                self.refused += 1


@dataclass(frozen=True, slots=True)
class World:
    mesh: Mesh
    fleet: Fleet
    postgres: Postgres
    leases: Server
    server: Prometheus
    watch: Watch
    folder: Path


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """All servers, with a worker ``mill``, a worker ``barn`` and a ``cron``, under load."""
    with ExitStack() as stack:
        folders = {name: folder / name for name in ("postgres", "redis", "prometheus", "alertmanager", "fleet")}
        for one in folders.values():
            one.mkdir()
        postgres = stack.enter_context(postgres_started(VERSIONS[0], folders["postgres"]))
        url = postgres.create_database("alarmed")
        leases = stack.enter_context(redis_started("valkey", folders["redis"]))
        Mesh.migrate(url)
        mesh = stack.enter_context(connected(url, leases.url))
        manager = stack.enter_context(alertmanager(folders["alertmanager"]))
        rules = shortened(RULES, folders["prometheus"])
        server = stack.enter_context(
            prometheus(folders["prometheus"], every=SCRAPED_EVERY, rules=rules, alertmanager=manager.address)
        )
        fleet = Fleet(folders["fleet"], server, ALARMED_URL=url, ALARMED_LEASES=leases.url)
        stack.callback(fleet.close)
        for name in ("mill", "barn"):
            fleet.worker(name)
        fleet.start("cron", "cron", "--look-every=1")
        stack.enter_context(Load(mesh))
        watch = stack.enter_context(Watch(manager))
        yield World(mesh, fleet, postgres, leases, server, watch, folder)
