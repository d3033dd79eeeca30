"""A real Prometheus, which scrapes what a test tells it to: on the loopback, in a folder of its own."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.debian import files_of

_PATIENCE = 30.0


class Prometheus:
    def __init__(self, folder: Path, port: int) -> None:
        self._targets = folder / "targets.json"
        self._url = f"http://127.0.0.1:{port}"

    def scrape(self, targets: Sequence[str]) -> None:
        """``HOST:PORT`` each, in place of those before. It reads them again by itself."""
        written = self._targets.with_suffix(".new")
        written.write_text(json.dumps([{"targets": list(targets)}]))
        written.replace(self._targets)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What it gives now: labels and value of each series."""
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{asked}", timeout=_PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        assert found["status"] == "success", found
        return [(series["metric"], float(series["value"][1])) for series in found["data"]["result"]]

    def query_range(
        self, expression: str, begin: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What it gave over a time: labels of each series, and its points."""
        asked = urllib.parse.urlencode({"query": expression, "start": begin, "end": end, "step": step})
        with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{asked}", timeout=_PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        assert found["status"] == "success", found
        return [
            (series["metric"], [(float(at), float(value)) for at, value in series["values"]])
            for series in found["data"]["result"]
        ]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=_PATIENCE) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def prometheus(
    folder: Path, *, every: str = "1s", rules: Sequence[Path] = (), alertmanager: str = ""
) -> Iterator[Prometheus]:
    """Debian's, installed where we may. ``every``: it scrapes; with ``rules``, it looks at those each second, and tells
    the Alertmanager at ``HOST:PORT``.
    """
    (program,) = files_of("prometheus", "bin/prometheus")
    config = folder / "prometheus.yml"
    told = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    found = [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}]
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1s"},
                "rule_files": [str(path) for path in rules],
                "alerting": {"alertmanagers": told},
                "scrape_configs": [{"job_name": "squidmesh", "file_sd_configs": found}],
            }
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Prometheus(folder, port)
    server.scrape([])
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--rules.alert.resend-delay=1s",
    ]
    with started(program, options, folder / "prometheus.log", server.is_ready):
        yield server


@contextmanager
def started(program: Path, options: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """A server of Debian's, which ends by SIGTERM."""
    with log.open("wb") as out:
        process = subprocess.Popen([program, *options], stdout=out, stderr=out)
    try:
        end = time.monotonic() + _PATIENCE
        while not is_ready():
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE)
