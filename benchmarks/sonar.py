"""What Sonar's pages cost, with few runs in the journal and with a million, in SQLite and in PostgreSQL: no page may
grow with history.

The journals of a kind are asked in turn: what else the machine does hurts them alike.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import psycopg
from pydantic import BaseModel
from starlette.testclient import TestClient

from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh import Mesh, Workflow, approval, manual, step
from squidmesh.sonar import Visitor, app
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.processes import NoServer

_SAMPLES = 15
_HERE = "http://127.0.0.1"
_FILL = Path(__file__).with_name("sonar_fill.sql")
_ROOM = (("shared_buffers", "256MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h"))


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


@dataclass(frozen=True, slots=True)
class Filled:
    """A journal with so many runs that have ended, under its URL."""

    url: str
    runs: int


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    sizes = (scale.grown[0][0], scale.grown[1][0])
    return [_sqlite(sizes, scale, folder, printer), _postgres(sizes, scale, folder, printer)]


def _sqlite(sizes: Sequence[int], scale: Scale, folder: Path, printer: Printer) -> Table:
    filled = []
    for size in sizes:
        printer.progress(f"sonar, SQLite: {size:,} runs")
        path = folder / f"sonar-{size}.db"
        Mesh.migrate(f"sqlite:///{path}")
        fill(path, size)
        filled.append(Filled(f"sqlite:///{path}", size))
    return _compared("sonar, SQLite", filled, scale)


def _postgres(sizes: Sequence[int], scale: Scale, folder: Path, printer: Printer) -> Table:
    try:
        with Postgres(folder / "sonar-postgres", durable=True, settings=_ROOM) as server:
            filled = []
            for size in sizes:
                printer.progress(f"sonar, PostgreSQL: {size:,} runs")
                url = server.create_database(f"sonar_{size}")
                Mesh.migrate(url)
                fill_postgres(url, size)
                filled.append(Filled(url, size))
            return _compared("sonar, PostgreSQL", filled, scale)
    except NoServer as error:
        return Table(name="sonar, PostgreSQL", title="Sonar", columns=("not measured",), rows=((str(error),),))


def _compared(name: str, filled: Sequence[Filled], scale: Scale) -> Table:
    with ExitStack() as stack:
        pages = [stack.enter_context(_pages(one)) for one in filled]
        rows = []
        for page in pages[0]:
            small, large = _beside([found[page] for found in pages], scale.repeats)
            rows.append((page, small, large, large.median / small.median))
    few, many = (f"{one.runs:,} runs" for one in filled)
    title = f"S{name[1:]}: one page, in ms, with {few} and with {many} in the journal"
    return Table(name=name, title=title, columns=("page", few, many, "ratio"), rows=tuple(rows))


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
def _pages(filled: Filled) -> Iterator[dict[str, Page]]:
    """By name, what loads each."""
    with Mesh.connect(filled.url, workflows=[Fulfil]) as mesh:
        runs = [mesh.start_run(Fulfil.place, Order(number=number)) for number in range(60)]
        for _ in range(50):
            mesh.execute_next()
        pages = app(mesh, auth=lambda request: Visitor(actor="bench", role="operator"))
        tenants = app(mesh, auth=lambda request: Visitor(actor="bench", queues=("orders", "rare")))
        with TestClient(pages, base_url=_HERE) as client, TestClient(tenants, base_url=_HERE) as tenant:
            found = {name: _loads(client, asked) for name, asked in _asked(mesh, runs[0].run_id).items()}
            found |= {
                f"runs, for a tenant of {one}": _loads(tenant, f"/runs?queue={one}") for one in ("orders", "rare")
            }
            yield found


def _asked(mesh: Mesh, run_id: str) -> dict[str, str]:
    active, started = (mesh.list_runs(limit=900, by=by).next for by in ("active", "started"))
    return {
        "runs": "/runs",
        "runs, a page behind a cursor": f"/runs?by=active&after={active}",
        "runs, by start": "/runs?by=started",
        "runs, by start, a page behind a cursor": f"/runs?by=started&after={started}",
        "runs, completed": "/runs?status=completed",
        "runs, failed": "/runs?status=failed",
        "runs, failed, by start": "/runs?status=failed&by=started",
        "runs, paused": "/runs?status=paused",
        "runs, of a workflow": "/runs?workflow=Workflow3",
        "runs, of a rare queue": "/runs?queue=rare",
        "runs, of a rare queue, by activity": "/runs?queue=rare&by=active",
        "runs, of a rare queue, by start": "/runs?queue=rare&by=started",
        "runs, by key": "/runs?text=order-000000007",
        "runs, since 2020": "/runs?since=2020-01-01T00:00",
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


def fill_postgres(url: str, runs: int) -> None:
    """As :func:`fill`, as the table is after a while: autovacuum has been there."""
    script = (resources.files("benchmarks") / "postgres_fill.sql").read_text()
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), {"first": 0, "finished": runs, "open": 0})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
