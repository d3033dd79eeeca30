"""A real Alertmanager with the configuration of ``deploy/prometheus``, and somebody who writes down what it says."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.debian import files_of
from tests.support.prometheus import started

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "alertmanager.yml"
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Alertmanager:
    address: str

    def firing(self) -> dict[str, set[str]]:
        """The states, ``active`` or ``suppressed``, of what has not been resolved, by the name of the alert."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=_PATIENCE) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        found: dict[str, set[str]] = {}
        for alert in alerts:
            found.setdefault(alert["labels"]["alertname"], set()).add(alert["status"]["state"])
        return found

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=_PATIENCE) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """Debian's, alone on the loopback."""
    (program,) = files_of("prometheus-alertmanager", "bin/prometheus-alertmanager")
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = Alertmanager(f"127.0.0.1:{free.getsockname()[1]}")
    options = [
        f"--config.file={CONFIG}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={server.address}",
        "--cluster.listen-address=",
    ]
    with started(program, options, folder / "alertmanager.log", server.is_ready):
        yield server


class Watch:
    """What an Alertmanager said, look by look. A context manager."""

    def __init__(self, server: Alertmanager, every: float = 0.5) -> None:
        self._server = server
        self._every = every
        self._looks: list[tuple[float, dict[str, set[str]]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join(_PATIENCE)

    def fires(self, name: str, *, within: float) -> float:
        """How many seconds it took."""
        return self._until(lambda told: name in told, f"{name} fires", within)

    def is_over(self, *names: str, within: float) -> float:
        """How many seconds it took until none of them was there any more."""
        return self._until(lambda told: not any(name in told for name in names), f"{names} are over", within)

    def was(self, name: str, state: str) -> bool:
        return any(state in told.get(name, ()) for _, told in self._looks)

    def _until(self, true: Callable[[dict[str, set[str]]], bool], what: str, within: float) -> float:
        began = time.monotonic()
        while True:
            at, told = self._looks[-1] if self._looks else (0.0, {})
            if at >= began and true(told):
                return at - began
            assert time.monotonic() < began + within, f"{what}: not within {within} s; there is {sorted(told)}"
            assert self._thread.is_alive(), "nobody looks any more"
            time.sleep(0.1)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            told = self._server.firing()
            self._looks.append((time.monotonic(), told))
