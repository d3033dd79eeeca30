"""The app that the compose file and the example overlay run; yours takes its place.

Where its stores are is told by the environment, so the same image serves every stage.
"""

import os

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Workflow, complete, cron, exponential, manual, step, wait


class Order(BaseModel):
    order_id: str
    amount: int


class Tick(BaseModel):
    """Every field of a cron payload has a default."""

    note: str = "on the minute"


def reserve(order_id: str) -> dict[str, str]:
    return {"reservation": f"shelf-{order_id}"}


def charge(order_id: str, amount: int, context: Context) -> dict[str, str]:
    return {"charged_under": context.idempotency_key}


def ship(reservation: str) -> dict[str, str]:
    return {"parcel": f"from {reservation}"}


def count(note: str) -> dict[str, str]:
    return {"counted": note}


class Fulfil(Workflow):
    """Reserve, wait a moment, charge, ship."""

    version = "1"
    placed = manual(Order)
    reserve = step(reserve)
    settle = wait(1)
    charge = step(charge, retry=RetryPolicy(max_attempts=3, backoff=exponential(min=1, max=30)))
    ship = step(ship, irreversible=True)
    flow = reserve >> settle >> charge >> ship


class Stocktaking(Workflow):
    """Each minute, so that one sees the clock at work."""

    version = "1"
    minutely = cron("* * * * *", timezone="Etc/UTC", payload=Tick)
    count = step(count)
    flow = count >> complete


mesh = Mesh.connect(
    os.environ["SQUIDMESH_URL"],
    leases=os.environ.get("SQUIDMESH_LEASES"),
    workflows=[Fulfil, Stocktaking],
)
