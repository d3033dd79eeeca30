"""Read by mypy --strict in `test_async_mesh.py`: the coroutines have the verbs' own types."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from pydantic import BaseModel

from squidmesh import AsyncMesh, Run, RunList, Workflow, manual, step


class Leave(BaseModel):
    ring_id: str


class Errand(Workflow):
    version = "1"
    leave = manual(Leave)
    walk = step(lambda: None)


async def errand() -> None:
    async with AsyncMesh.connect("memory://", workflows=[Errand], threads=4) as mesh:
        assert_type(mesh, AsyncMesh)
        run = await mesh.start_run(Errand.leave, Leave(ring_id="one-ring"), key="one", delay=timedelta(seconds=1))
        assert_type(run, Run)
        assert_type(await mesh.list_runs(status="waiting"), RunList)
        assert_type(await mesh.execute_next(), Run | None)
        async with mesh.worker(concurrency=2) as worker:
            assert_type(worker.running, bool)
            assert_type(await mesh.wait_for(run.run_id, timeout=60), Run)
            assert_type(await worker.drain(), bool)
