"""The journal in a real PostgreSQL; leases in it too, or in a real Redis."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from squidmesh import Mesh
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.servers import Server
from tests.scenarios.deal import BOOKS, Deal
from tests.scenarios.fleet import WORKERS, Fleet, Verdict, until

DATABASE = "fleet"


class PostgresFleet(Fleet):
    """``port``: of what stands between the workers and the server; we ask the server itself. ``limits``: seconds that
    they wait for it, by their names in ``squidmesh_postgres.pool``. ``tablespace``: where the journal's tables are.
    """

    app = "tests.scenarios.postgres_app:mesh"
    workflow = Deal
    steps = ("picked", "charged", "booked", "shipped")

    def __init__(
        self,
        folder: Path,
        server: Postgres,
        *,
        redis: Server | None = None,
        port: int | None = None,
        limits: Mapping[str, float] | None = None,
        sweep: float = 3.0,
        tablespace: str | None = None,
        workers: int = WORKERS,
    ) -> None:
        url = server.create_database(DATABASE)
        if tablespace is not None:
            server.execute(f"ALTER DATABASE {DATABASE} SET default_tablespace = {tablespace}")
        super().__init__(folder, url=url, leases=redis.url if redis else None, workers=workers)
        self.server = server
        self._through = url.replace(f":{server.port}/", f":{port or server.port}/")
        self._limits = dict(limits or {})
        self._sweep = sweep

    def __enter__(self) -> Self:
        Mesh.migrate(self.url)
        self.server.execute(BOOKS, database=DATABASE)
        super().__enter__()
        until(lambda: all("worker_started" in self.log(worker) for worker in self.workers), "the workers", within=60)
        return self

    def told(self) -> dict[str, str]:
        return super().told() | {
            "SCENARIO_URL": self._through,
            "SCENARIO_LIMITS": json.dumps(self._limits),
            "SCENARIO_SWEEP": str(self._sweep),
        }

    def judge(self) -> Verdict:
        """Besides: what a transactional step books is there once a run, and every worker is one of the first."""
        new = self.runs[len(self._judged) :]
        verdict = super().judge()
        rows = self.server.execute("SELECT run_id, count(*) FROM booked GROUP BY run_id", database=DATABASE)
        booked = {run_id: count for run_id, count in rows if run_id in set(new)}
        assert booked == dict.fromkeys(new, 1), "rows of a step's transaction"
        assert "Traceback" not in self.logs(), "a thread that ends by surprise"
        assert len(self.workers) == self._size
        assert [worker.poll() for worker in self.workers] == [None] * self._size, "they went on by themselves"
        return verdict
