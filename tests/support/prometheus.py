"""A real Prometheus, which scrapes what a test tells it to: on the loopback, in a folder of its own."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
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

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=_PATIENCE) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """Debian's, installed where we may. It scrapes each second."""
    (program,) = files_of("prometheus", "bin/prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: squidmesh\n"
        f"    file_sd_configs: [{{files: ['{folder / 'targets.json'}'], refresh_interval: 1s}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Prometheus(folder, port)
    server.scrape([])
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *options, "--enable-feature=exemplar-storage"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + _PATIENCE
        while not server.is_ready():
            assert process.poll() is None and time.monotonic() < end, (folder / "prometheus.log").read_text()[-2000:]
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE)
