"""The shop on this machine: PostgreSQL and Valkey from wheels, workers and the web host, all ended by their ids."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from examples.shop import store
from examples.shop.settings import Settings
from squidmesh import Mesh
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.processes import free_port, last_words
from squidmesh.testing.servers import Server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
Process = subprocess.Popen[bytes]


class Premises:
    """A context manager: the servers are there and migrated. ``app``: what workers run. Raises ``NoServer``."""

    def __init__(
        self, folder: Path, *, app: str = "examples.shop.main:mesh", lease: float = 10, bank_seconds: float = 0.1
    ) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres")
        self.redis = Server("valkey", folder / "redis")
        self.people = {"sam": "clerk", "rosie": "manager"}
        self.password = secrets.token_urlsafe(9)
        self._app = app
        self._more = {"SHOP_LEASE": str(lease), "SHOP_BANK_SECONDS": str(bank_seconds)}
        self._secret = secrets.token_hex(16)
        self._running: list[Process] = []

    def __enter__(self) -> Premises:
        try:
            self.postgres.start()
            self.redis.start()
            self.postgres.create_database("shop")
            Mesh.migrate(self.settings.database)
            store.migrate(self.settings.database)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.stop()
        self.postgres.close()

    @property
    def environment(self) -> dict[str, str]:
        people = {name: {"password": self.password, "role": role} for name, role in self.people.items()}
        return {
            "SHOP_DATABASE": f"postgresql://postgres@127.0.0.1:{self.postgres.port}/shop",
            "SHOP_REDIS": self.redis.url,
            "SHOP_SECRET": self._secret,
            "SHOP_PEOPLE": json.dumps(people),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
            **self._more,
        }

    @property
    def settings(self) -> Settings:
        return Settings.read(self.environment)

    @property
    def pids(self) -> list[int]:
        return [self.postgres.pid, self.redis.pid, *(process.pid for process in self._running)]

    def start_worker(self) -> Process:
        return self._start("worker", ["-m", "squidmesh", "--app", self._app, "worker", "--with=cron", "--grace=5"])

    def start_web(self) -> str:
        """Its address, when it answers."""
        port = free_port()
        host = ["-m", "uvicorn", "examples.shop.main:web", "--port", str(port), "--log-level", "warning"]
        process = self._start("web", [*host, "--timeout-graceful-shutdown", "1"])
        address = f"http://127.0.0.1:{port}"
        ends = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < ends:
            try:
                urlopen(f"{address}/login", timeout=PATIENCE).close()
            except URLError:
                time.sleep(0.05)
            else:
                return address
        raise RuntimeError(f"the web host does not answer: {last_words(self.folder / 'web.log')}")

    def kill(self, process: Process) -> None:
        """SIGKILL: no goodbye."""
        process.kill()
        process.wait()
        self._running.remove(process)

    def _start(self, name: str, words: list[str]) -> Process:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for us, and we end them in order
            )
        self._running.append(process)
        return process
