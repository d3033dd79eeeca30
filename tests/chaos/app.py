"""What the worker processes of a judged fleet run: each writes its history and its ledger."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from chaos.ledger import Ledger
from chaos.recording import connect
from squidmesh import Context, Mesh, RetryPolicy, Workflow, fixed, manual, step, wait

LEASE, SWEEP, MOST = 1.5, 2.0, 20


class Order(BaseModel):
    number: int = 0


def deed(context: Context) -> None:
    with ledger.step(context):
        time.sleep(0.01)


def charge(number: int, context: Context) -> None:
    with ledger.step(context):
        time.sleep(0.01)
        if number % 4 == 0 and context.attempt == 1:
            raise ConnectionError("the gateway hung up")


class Sale(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(deed)
    rest = wait(0.1)
    charged = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.1)))
    shipped = step(deed)
    flow = (picked >> rest >> charged >> shipped,)


def mesh_in(folder: Path, url: str, leases: str | None, *, process: str) -> Mesh:
    return connect(
        url,
        leases=leases,
        history=folder / "history",
        process=process,
        workflows=[Sale],
        lease=LEASE,
        idle_poll=0.2,
        reconcile_every=0.1,
        sweep=SWEEP,
        max_deliveries=MOST,
    )


if "JUDGED_FOLDER" in os.environ:
    folder = Path(os.environ["JUDGED_FOLDER"])
    ledger = Ledger(folder / "ledger", process=f"worker-{os.getpid()}")
    mesh = mesh_in(folder, os.environ["JUDGED_URL"], os.environ.get("JUDGED_LEASES"), process="worker")
