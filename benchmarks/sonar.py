"""What Sonar's pages cost, with few runs in the journal and with a million: no page may grow with history.

Both journals are asked in turn: what else the machine does hurts them alike.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from pydantic import BaseModel
from starlette.testclient import TestClient

from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Mesh, Workflow, approval, manual, step
from squidmesh.sonar import Visitor, app

_SAMPLES = 15
_FILL = Path(__file__).with_name("sonar_fill.sql")


class Order(BaseModel):
    number: int = 0


class Fulfil(Workflow):
    """What is open, and opened."""

    version = "1"
    place = manual(Order)
    check = step(lambda number: {"checked": number})
    legal = approval()
    ship = step(lambda: None)
    flow = check >> legal >> ship


Page = Callable[[], object]


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    few, many = scale.grown[0][0], scale.grown[1][0]
    with ExitStack() as stack:
        pages = []
        for size in (few, many):
            printer.progress(f"sonar: {size:,} runs")
            pages.append(stack.enter_context(_pages(folder / f"sonar-{size}.db", size)))
        rows = []
        for name in pages[0]:
            small, large = _beside([found[name] for found in pages], scale.repeats)
            ratio = large.median / small.median
            rows.append((name, small, large, ratio))
    title = f"Sonar: one page, in ms, with {few:,} and with {many:,} runs in the journal"
    columns = ("page", f"{few:,} runs", f"{many:,} runs", "ratio")
    return [Table(name="sonar", title=title, columns=columns, rows=tuple(rows))]


def _beside(pages: Sequence[Page], repeats: int) -> list[Figure]:
    medians: list[list[float]] = [[] for _ in pages]
    for _ in range(repeats):
        taken: list[list[float]] = [[] for _ in pages]
        for _ in range(_SAMPLES):
            for page, times in zip(pages, taken, strict=True):
                began = time.perf_counter()
                page()
                times.append((time.perf_counter() - began) * 1e3)
        for found, times in zip(medians, taken, strict=True):
            found.append(statistics.median(times))
    return [Figure(tuple(found)) for found in medians]


@contextmanager
def _pages(path: Path, size: int) -> Iterator[dict[str, Page]]:
    """By name, what loads each."""
    url = f"sqlite:///{path}"
    Mesh.migrate(url)
    fill(path, size)
    with Mesh.connect(url, workflows=[Fulfil]) as mesh:
        runs = [mesh.start_run(Fulfil.place, Order(number=number)) for number in range(60)]
        for _ in range(50):
            mesh.execute_next()
        pages = app(mesh, auth=lambda request: Visitor(actor="bench", role="operator"))
        with TestClient(pages, base_url="http://127.0.0.1") as client:
            yield {name: _loads(client, asked) for name, asked in _asked(mesh, runs[0].run_id, size).items()}


def _asked(mesh: Mesh, run_id: str, size: int) -> dict[str, str]:
    cursor = mesh.list_runs(limit=1000).next
    assert cursor is not None or size <= 1000
    return {
        "runs": "/runs",
        "runs, a page behind a cursor": f"/runs?after={cursor}" if cursor else "/runs",
        "runs, completed": "/runs?status=completed",
        "runs, failed": "/runs?status=failed",
        "runs, paused": "/runs?status=paused",
        "runs, of a workflow": "/runs?workflow=Workflow3",
        "runs, of a rare queue": "/runs?queue=rare",
        "runs, by key": "/runs?text=order-000000007",
        "runs, since yesterday": "/runs?since=2020-01-01T00:00",
        "one run": f"/runs/{run_id}",
        "queues": "/queues",
        "workers": "/workers",
        "dead letters": "/dead-letters",
        "cron": "/cron",
        "workflows": "/workflows",
        "pulse": "/pulse",
    }


def _loads(client: TestClient, path: str) -> Page:
    def load() -> None:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text

    load()
    return load


def fill(path: Path, runs: int) -> None:
    """So many that have ended. ``path`` is a journal of this version's schema."""
    asked = {"runs": runs, "now": int(time.time() * 1e6)}
    statements = _FILL.read_text().split("-- name: ")[1:]
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement.partition("\n")[2], {name: asked[name] for name in asked})
