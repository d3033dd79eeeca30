"""The demo's processes: the gateway, three workers, a Redis if it is asked for, and what befalls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from squidmesh.demo.app import JOURNAL_VARIABLE, LEASES_VARIABLE
from squidmesh.demo.workflow import GATEWAY_VARIABLE
from squidmesh.testing.servers import Server, available

WORKERS = 3
SLOTS = 4
_GRACE = 20.0


@dataclass(slots=True)
class WorkerProcess:
    name: str
    process: subprocess.Popen[bytes]
    killed: bool = False

    @property
    def state(self) -> str:
        if self.killed:
            return "killed"
        return "running" if self.process.poll() is None else f"ended ({self.process.returncode})"


@dataclass(slots=True)
class Fleet:
    """Everything that runs beside this process. A context manager: what it started, it ends, by process id."""

    folder: Path
    seed: int
    gateway_url: str = ""
    redis: Server | None = None
    workers: list[WorkerProcess] = field(default_factory=list)
    _gateway: subprocess.Popen[str] | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def ledger(self) -> Path:
        return self.folder / "gateway-ledger.db"

    @property
    def journal_url(self) -> str:
        return f"sqlite:///{self.folder / 'journal.db'}"

    @property
    def leases_url(self) -> str | None:
        return None if self.redis is None else self.redis.url

    def start_redis(self) -> Server:
        """On loopback, with an append-only file, in the demo's own folder. Raises ``NoServer``."""
        kinds = available()
        self.redis = Server("valkey" if "valkey" in kinds or not kinds else kinds[0], self.folder / "redis", aof=True)
        self._open.enter_context(self.redis)
        return self.redis

    def start_gateway(self) -> None:
        """Waits for the line that tells its address."""
        log = self._open.enter_context((self.folder / "gateway.log").open("w"))
        asked = [sys.executable, "-m", "squidmesh.demo.gateway", "--ledger", str(self.ledger), "--port", "0"]
        self._gateway = subprocess.Popen(
            [*asked, "--seed", str(self.seed)], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert self._gateway.stdout is not None
        line = self._gateway.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"the gateway did not start; see {self.folder / 'gateway.log'}")
        self.gateway_url = line.split()[-1]

    def start_workers(self) -> None:
        told = {JOURNAL_VARIABLE: self.journal_url, GATEWAY_VARIABLE: self.gateway_url}
        if self.leases_url is not None:
            told[LEASES_VARIABLE] = self.leases_url
        asked = [sys.executable, "-m", "squidmesh", "--app", "squidmesh.demo.app:mesh", "worker"]
        for number in range(1, WORKERS + 1):
            log = self._open.enter_context((self.folder / f"worker-{number}.log").open("wb"))
            process = subprocess.Popen(
                [*asked, "--concurrency", str(SLOTS)], env=os.environ | told, stdout=log, stderr=log
            )
            self.workers.append(WorkerProcess(name=f"worker {number}", process=process))

    def freeze(self, worker: WorkerProcess, *, frozen: bool) -> None:
        """Stops a worker in its tracks, or lets it go on, so that one can look at what it holds."""
        worker.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL: no goodbye, no clean-up, its leases end by themselves."""
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        worker.killed = True

    def stop_workers(self) -> list[int]:
        """Drains those that live; their exit codes."""
        living = [worker for worker in self.workers if not worker.killed]
        for worker in living:
            worker.process.terminate()
        return [worker.process.wait(_GRACE) for worker in living]

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes: list[subprocess.Popen[bytes] | subprocess.Popen[str]] = [w.process for w in self.workers]
        if self._gateway is not None:
            processes.append(self._gateway)
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._gateway is not None and self._gateway.stdout is not None:
            self._gateway.stdout.close()
        self._open.close()
