"""A workflow with cron triggers, and nodes that look at one store: each its own process, as it were."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, cron, manual, step, today
from squidmesh.config import MeshConfig
from squidmesh.memory import MemoryBackend
from squidmesh.ports.backend import Backend
from squidmesh.runtime.engine import Engine
from squidmesh.testing.clock import VirtualClock
from squidmesh.workflow.registry import Registry
from tests.unit.runtime.rig import Notices, Port

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Nightly(BaseModel):
    ring_id: str = "one-ring"
    day: date = today()


class ByHand(BaseModel):
    ring_id: str
    day: date = date(2026, 1, 1)


def watch(ring_id: str, day: str, context: Context) -> dict[str, Any]:
    found = context.schedule
    return {"window": None if found is None else found.window.isoformat(), "seen": [ring_id, day]}


class Beacon(Workflow):
    version = "1"
    hourly = cron("0 * * * *", timezone="Asia/Kathmandu", payload=Nightly, missed="all")
    once = cron("30 21 * * *", timezone="Etc/UTC", payload=Nightly, idempotency="skip_duplicate")
    light = manual(ByHand)
    watch = step(watch)


class KeptMemory(MemoryBackend):
    def close(self) -> None:
        """It outlives the mesh."""


class _Ported:
    """A backend whose journal is the given port."""

    def __init__(self, backend: Backend, store: Any) -> None:
        self._backend = backend
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def journal(self) -> Any:
        return self._store

    def close(self) -> None:
        """As above."""


class Site:
    """One memory and one virtual clock. Each :meth:`node` is a mesh of its own; ``ports`` are their journals."""

    def __init__(self, start: datetime = START) -> None:
        self.clock = VirtualClock(start)
        self.backend = KeptMemory("memory://", clock=self.clock)
        self.journal = self.backend.journal()
        self.ports: list[Port] = []
        self.observer = Notices()

    def node(self, *workflows: type[Workflow]) -> Mesh:
        registry, config = Registry(workflows or [Beacon]), MeshConfig()
        port = Port(self.journal)
        self.ports.append(port)

        def open_engine() -> Engine:
            return Engine(
                journal=_Ported(self.backend, port),
                leases=None,
                registry=registry,
                config=config,
                observer=self.observer,
                heartbeat_thread=False,
            )

        return Mesh("site", registry=registry, config=config, open_engine=open_engine)

    def go_to(self, moment: datetime) -> None:
        self.clock.advance(moment - self.now)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now() / 1e6, UTC)


def windows_of(mesh: Mesh) -> list[str]:
    """Of all runs that a trigger has started, oldest first, in UTC."""
    runs = [mesh.inspect_run(row.run_id) for row in mesh.list_runs(limit=1000).runs]
    return sorted(f"{run.trigger} {run.schedule.window.astimezone(UTC):%d %H:%M}" for run in runs if run.schedule)
