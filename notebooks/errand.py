"""The workflow of the notebook ``getting_started``. It stands in a module, so that worker processes can import it."""

import os
import time

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Workflow, approval, fixed, manual, step


class LeaveShire(BaseModel):
    ring_id: str
    bearer: str = "Frodo"
    miles: int = 1800


def pack_lembas(miles: int) -> dict[str, int]:
    return {"lembas": miles // 40}


def cross_moria(lembas: int, context: Context) -> dict[str, int]:
    """Takes its time, so that one can kill the worker in the middle of it."""
    time.sleep(float(os.environ.get("MORIA_SECONDS", "0")))
    return {"lembas": lembas - 9}


def climb(context: Context) -> None:
    """The stairs are slippery."""
    if context.attempt == 1:
        raise ConnectionError("slipped")


def reach_mordor(ring_id: str, bearer: str, lembas: int) -> dict[str, str]:
    return {"told": f"{bearer} has thrown {ring_id} into the fire; {lembas} lembas are left"}


def walk_home() -> None: ...


class RingErrand(Workflow):
    """Carry a ring to Mordor, when the council agrees; else walk home."""

    version = "1"

    leave_shire = manual(LeaveShire)

    pack = step(pack_lembas)
    moria = step(cross_moria)
    council = approval(output="council")
    stairs = step(climb, retry=RetryPolicy(max_attempts=3, backoff=fixed(1)))
    mordor = step(reach_mordor, irreversible=True)
    home = step(walk_home)

    flow = (pack >> moria >> council >> stairs >> mordor, council.on_reject(home))


mesh = Mesh.connect(os.environ.get("ERRAND_URL", "sqlite:///errand.db"), workflows=[RingErrand], lease=3)
