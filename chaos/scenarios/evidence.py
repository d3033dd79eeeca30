"""Gathers what the judge reads when a fleet has come to rest: its stores are still up, its workers have left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from chaos.evidence import Evidence, Settings, StoreJournal, dump_backend, histories_in, ledger_in, texts_in
from chaos.faults.fault import World
from chaos.fleet.settings import LEASE, MAX_DELIVERIES, SWEEP
from chaos.fleet.stores import Stores
from chaos.fleet.workers import HISTORY
from chaos.judge import judge
from chaos.redis_values import values_of
from chaos.verdict import Verdict
from chaos.workload.flows import SLOW
from chaos.workload.robot import planted
from squidmesh import Mesh
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock

_INSPECTED = 200
QUEUES = ("default", SLOW)


def gather(world: World, *, seed: int, rested: float, not_applicable: Mapping[str, str]) -> Verdict:
    """``rested``: seconds for which stores and workers were up without a break, at the end."""
    stores = world.stores
    clock = SystemClock()
    journal = open_backend(stores.journal_url, clock=clock)
    leases = journal if stores.leases_url is None else open_backend(stores.leases_url, clock=clock, field="leases")
    try:
        evidence = Evidence(
            journal=StoreJournal(journal.journal()),
            backend=dump_backend(leases.leases(), QUEUES, up_for=timedelta(seconds=rested)),
            histories=histories_in(world.folder / HISTORY),
            ledger=ledger_in(world.folder / "ledger"),
            searched=_searched(world),
            planted={"the token of an order": planted(seed).encode()},
            settings=Settings(
                lease=timedelta(seconds=LEASE),
                sweep=timedelta(seconds=SWEEP),
                max_deliveries=MAX_DELIVERIES,
                patience=timedelta(seconds=60),
            ),
            all_recorded=not stores.setup.old,
            all_deeds=True,
        )
        return judge(evidence, not_applicable=not_applicable)
    finally:
        journal.close()
        if leases is not journal:
            leases.close()


def _searched(world: World) -> Iterator[tuple[str, bytes]]:
    """Logs, values of the Redis, and what an inspection shows by default."""
    yield from texts_in(_logs(world.folder))
    yield from _values(world.stores)
    yield from _inspections(world.mesh)


def _logs(folder: Path) -> list[Path]:
    return sorted([*(folder / "logs").glob("*.log"), *folder.glob("*/server.log"), *folder.glob("*/*/server.log")])


def _values(stores: Stores) -> Iterator[tuple[str, bytes]]:
    """What every key of the lease backend holds."""
    if stores.sentinels is not None:
        yield from values_of(stores.sentinels.primary().url)
    elif stores.leases_url is not None:
        yield from values_of(stores.leases_url)


def _inspections(mesh: Mesh) -> Iterator[tuple[str, bytes]]:
    for run in mesh.list_runs(limit=_INSPECTED).runs:
        shown = f"{run} {mesh.inspect_run(run.run_id)} {mesh.explain_run(run.run_id)}"
        yield f"inspection of {run.run_id}", shown.encode()
