"""The fleet of the list of processes, started by hand on loopback: the same commands, with other addresses."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from squidmesh.testing.postgres import Postgres
from squidmesh.testing.postgres_programs import programs
from squidmesh.testing.processes import PATIENCE, PAUSE, free_port, last_words
from squidmesh.testing.servers import binary
from tests.deploy.manifests import DEPLOY, ROOT, Process, topology

TOPOLOGY = topology()
SECRETS = "/run/secrets"
IN_THE_IMAGE = "/opt/squidmesh/image"
IMAGE = DEPLOY / "image"
REDIS = DEPLOY / "redis"
ACL = ROOT / "backends" / "squidmesh_redis" / "users.acl"


class Started:
    """One process of ours, and its log."""

    def __init__(self, command: Sequence[object], environment: dict[str, str], log: Path, *, cwd: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def ends(self, within: float) -> int:
        return self.process.wait(within)

    def told(self) -> list[dict[str, Any]]:
        """Its log: one object a line."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def listens(self) -> str:
        """Its address, once it has told it."""

        def address() -> str | None:
            assert self.process.poll() is None, last_words(self.log)
            return next((line["url"] for line in self.told() if str(line.get("event", "")).endswith("_listens")), None)

        return str(until(address, f"the address in {self.log.name}"))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class ByHand:
    """A context manager. ``folder`` gets secrets, logs and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.redis_port = free_port()
        self.running: dict[str, list[Started]] = {}
        """By the name of the process, in the order of starting."""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as guard:
            guard.callback(self._open.close)
            self._start_postgres()
            make = runpy.run_path(str(DEPLOY / "compose" / "make_secrets.py"))["make"]
            make(self.secrets, postgres=f"127.0.0.1:{self.postgres.port}", redis=f"127.0.0.1:{self.redis_port}")
            self._set_up_postgres()
            self.start_redis()
            guard.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    # ----------------------------------------------------------------------------------------------- the stores

    def _start_postgres(self) -> None:
        command = TOPOLOGY.processes["postgres"].command
        assert command[0] == "postgres" and set(command[1::2]) == {"-c"}
        settings = [(name, value) for name, _, value in (part.partition("=") for part in command[2::2])]
        self.postgres = self._open.enter_context(Postgres(self.folder / "postgres", settings=settings))

    def _set_up_postgres(self) -> None:
        """As the container does at its first start; and everybody but the superuser has to say a password."""
        rules = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]
        values = ", ".join(f"('{rule}')" for rule in rules)
        ((file,),) = self.postgres.execute("SHOW hba_file")
        self.postgres.execute(f"COPY (VALUES {values}) TO '{file}'")
        self.postgres.execute("SELECT pg_reload_conf()")
        psql = programs("18").folder / "bin" / "psql"
        done = subprocess.run(
            [psql, "--no-psqlrc", "--quiet", "--file", DEPLOY / "postgres" / "setup.sql", self.postgres.url],
            env={"PATH": os.environ["PATH"], "SECRETS": str(self.secrets)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def start_redis(self) -> None:
        command = TOPOLOGY.processes["redis"].command
        (self.folder / "redis").mkdir(exist_ok=True)
        here = {
            "/opt/squidmesh/redis/start.sh": str(REDIS / "start.sh"),
            "/opt/squidmesh/redis/redis.conf": str(REDIS / "redis.conf"),
            "valkey-server": str(binary("valkey")),
        }
        settings = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder / "redis")]
        environment = {
            "PATH": os.environ["PATH"],
            "REDIS_PASSWORD_FILE": str(self.secrets / "redis-password"),
            "USERS": str(ACL),
            "ACL_FOLDER": str(self.folder / "redis"),
        }
        words = [*(here.get(part, part) for part in command), *settings]
        started = self._started("redis", words, environment, cwd=self.folder)

        def answers() -> bool:
            assert started.process.poll() is None, last_words(started.log)
            return self.ask_redis("AUTH health none", "PING") == "+OK +PONG"  # not while it reads its file

        until(answers, "Redis")

    def ask_redis(self, *commands: str) -> str:
        """The answers to inline commands, of errors the first word; empty where nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=PATIENCE) as connection:
                connection.sendall("".join(f"{command}\r\n" for command in [*commands, "QUIT"]).encode())
                with connection.makefile("rb") as file:
                    lines = file.read().decode().split("\r\n")
        except ConnectionRefusedError:
            return ""
        return " ".join(line.split()[0] if line.startswith("-") else line for line in lines[:-2])

    # ------------------------------------------------------------------------------------------- what is ours

    def start(self, name: str, *, under: Sequence[object] = (), number: int = 1) -> Started:
        """One instance. ``under``: what stands before its command."""
        process = TOPOLOGY.processes[name]
        entrypoint = [sys.executable, IMAGE / "entrypoint.py"]
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*under, *entrypoint, *map(self._here, process.command)]
        return self._started(name, command, environment | self._told(process), cwd=DEPLOY / "app", number=number)

    def run_once(self, name: str) -> None:
        started = self.start(name)
        assert started.ends(60) == 0, last_words(started.log)
        del self.running[name]

    def mesh(self) -> Any:
        """The app's, as a worker would have it."""
        added = {"SQUIDMESH_URL": self.secret("worker-url"), "SQUIDMESH_LEASES": self.secret("leases-url")}
        former = dict(os.environ)
        os.environ.update(added)
        try:
            return runpy.run_path(str(DEPLOY / "app" / "orders.py"))
        finally:
            os.environ.clear()
            os.environ.update(former)

    def drain(self) -> dict[str, list[int]]:
        """SIGTERM to all that runs, in the reverse of the order in which it started; their exit codes."""
        codes: dict[str, list[int]] = {}
        for name in reversed(TOPOLOGY.processes):
            leaving = self.running.pop(name, [])
            for started in leaving:
                if started.process.poll() is None:
                    started.process.send_signal(signal.SIGTERM)
            if leaving:
                codes[name] = [started.ends(TOPOLOGY.stop_after) for started in leaving]
        return codes

    def _told(self, process: Process) -> dict[str, str]:
        return {name: self._here(value) for name, value in process.environment.items()}

    def _here(self, text: str) -> str:
        moved = {SECRETS: str(self.secrets), IN_THE_IMAGE: str(IMAGE), "0.0.0.0:9464": "127.0.0.1:0"}
        for there, here in moved.items():
            text = text.replace(there, here)
        return text

    def _started(
        self, name: str, command: Sequence[object], environment: dict[str, str], *, cwd: Path, number: int = 1
    ) -> Started:
        started = Started(command, environment, self.folder / f"{name}-{number}.log", cwd=cwd)
        self._open.callback(started.end)
        self.running.setdefault(name, []).append(started)
        return started


def get(url: str) -> tuple[int, str]:
    with urlopen(url, timeout=PATIENCE) as answer:
        return answer.status, answer.read().decode()


def until(condition: Callable[[], Any], what: str, *, within: float = 180.0) -> Any:
    ends = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < ends, f"waited {within} s for {what}"
        time.sleep(PAUSE)
    return found


def calls_of(unit: dict[str, dict[str, list[str]]], analyze: Path) -> list[str]:
    """The system calls that SystemCallFilter= of a unit leaves."""
    allowed: set[str] = set()
    for line in unit["Service"]["SystemCallFilter"]:
        named = {call for group in line.removeprefix("~").split() for call in _expand(group, analyze)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return sorted(allowed)


def _expand(name: str, analyze: Path) -> set[str]:
    if not name.startswith("@"):
        return {name}
    told = subprocess.run([analyze, "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in told.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in _expand(line, analyze)}
