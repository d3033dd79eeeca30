"""The stores of a fleet: real servers that this process has started, and the wires that lead to them.

Workers with an even number go through the wires, the others straight; so a wire that is cut or torn splits the fleet.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.fleet.disk import SmallDisk
from chaos.fleet.faketime import FakeTime
from chaos.fleet.setup import Setup
from chaos.wires.namespaces import STORE, SUBNET, Network
from chaos.wires.postgres_wire import PostgresWire
from chaos.wires.redis_wire import RedisWire
from chaos.workload.flows import BOOKS
from squidmesh import Mesh
from squidmesh.testing.clusters import ClusterServers
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.sentinels import SentinelServers
from squidmesh.testing.servers import Server

DATABASE = "chaos"
_POSTGRES = (("max_wal_size", "128MB"), ("min_wal_size", "32MB"), ("max_connections", "150"))
_AOF = (("appendfsync", "everysec"), ("auto-aof-rewrite-percentage", "0"))
"""No rewrites: a copy of the file that is made while it grows is a beginning of it."""


class Redis(Server):
    """One Redis; nodes of their own know it by another address. ``kind`` is Valkey, or what stands for it."""

    heard_at = "127.0.0.1"

    @property
    def url(self) -> str:
        insecure = "" if self.heard_at == "127.0.0.1" else "?insecure=1"
        return f"redis://{self.heard_at}:{self.port}/0{insecure}"

    def start_with(self, *settings: tuple[str, str]) -> None:
        """As :meth:`start`, once, with other settings than its own."""
        own = self._settings
        self._settings = [*own, *settings]
        try:
            self.start()
        finally:
            self._settings = own


class Stores:
    """A context manager: what it has started it ends. ``redis`` and the like are None where ``setup`` has none."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder = folder
        self.setup = setup
        self.network: Network | None = None
        self.disk: SmallDisk | None = None
        self.clock: FakeTime | None = None
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.sentinels: SentinelServers | None = None
        self.cluster: ClusterServers | None = None
        self.postgres_wire: PostgresWire | None = None
        self.redis_wire: RedisWire | None = None
        self.journal_url = ""
        self.leases_url: str | None = None
        self._open = ExitStack()

    @property
    def sqlite(self) -> Path | None:
        """The journal's file."""
        if self.setup.journal != "sqlite":
            return None
        return (self.disk.folder if self.disk is not None else self.folder) / "journal.db"

    def ways(self, worker: int) -> tuple[str, str | None]:
        """The URLs of journal and leases that this worker is told."""
        journal, leases = self.journal_url, self.leases_url
        if worker % 2 == 0 and self.postgres_wire is not None:
            assert self.postgres is not None
            journal = journal.replace(f":{self.postgres.port}/", f":{self.postgres_wire.port}/")
        if worker % 2 == 0 and self.redis_wire is not None:
            leases = self.redis_wire.url
        return journal, leases

    def place(self, worker: int) -> tuple[str, ...]:
        """What stands before the command of that worker: where it runs."""
        return () if self.network is None else tuple(self.network.on(worker % self.setup.nodes))

    def __enter__(self) -> Self:
        with self._open as stack:
            self._start(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self, stack: ExitStack) -> None:
        setup = self.setup
        if setup.nodes:
            self.network = stack.enter_context(Network(setup.nodes))
            stack.enter_context(self.network.at_the_store())
        if setup.small_disk:
            self.disk = stack.enter_context(SmallDisk())
        if setup.moved_clock:
            self.clock = FakeTime(self.folder / "clock")
        if setup.journal == "postgres":
            self._start_postgres(stack)
        else:
            self.journal_url = f"sqlite:///{self.sqlite}"
        self._start_leases(stack)
        Mesh.migrate(self.journal_url)
        self._make_books()

    def _start_postgres(self, stack: ExitStack) -> None:
        settings = list(_POSTGRES)
        if self.network is not None:
            access = stack.enter_context(_access_file())
            settings += [("listen_addresses", f"127.0.0.1,{STORE}"), ("hba_file", str(access))]
        folder = self.disk.folder if self.disk is not None else self.folder / "postgres"
        self.postgres = stack.enter_context(Postgres(folder, settings=settings))
        self.journal_url = self.postgres.create_database(DATABASE)
        if self.network is not None:
            self.journal_url = self.journal_url.replace("127.0.0.1", STORE)
        else:
            self.postgres_wire = stack.enter_context(PostgresWire(self.postgres.port))

    def _start_leases(self, stack: ExitStack) -> None:
        match self.setup.leases:
            case "journal":
                return
            case "redis":
                settings = list(_AOF)
                if self.network is not None:
                    settings += [("bind", f"127.0.0.1 {STORE}"), ("protected-mode", "no")]
                environment = None if self.clock is None else self.clock.environment
                server = Redis("valkey", self.folder / "redis", aof=True, settings=settings, environment=environment)
                self.redis = server
                stack.enter_context(server)
                if self.network is not None:
                    server.heard_at = STORE
                else:
                    self.redis_wire = stack.enter_context(RedisWire(server.port))
                self.leases_url = server.url
            case "sentinel":
                self.sentinels = stack.enter_context(SentinelServers("valkey", self.folder / "redis"))
                self.leases_url = self.sentinels.url
            case "cluster":
                self.cluster = stack.enter_context(ClusterServers("valkey", self.folder / "redis", replicas=3))
                self.leases_url = self.cluster.url

    def _make_books(self) -> None:
        if self.postgres is not None:
            self.postgres.execute(BOOKS, database=DATABASE)
            return
        assert self.sqlite is not None
        with sqlite3.connect(self.sqlite) as connection:
            connection.execute(BOOKS)
        connection.close()


@contextmanager
def _access_file() -> Iterator[Path]:
    """Where the server's own user can read it: it lets our nodes in."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        access = Path(folder) / "access"
        access.write_text(f"host all all {SUBNET} trust\nhost all all 127.0.0.1/32 trust\n")
        access.chmod(0o644)
        yield access
