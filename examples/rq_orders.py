"""Orders, durable, on the RQ workers that a team has already: RQ runs steps, the journal knows how far each order is.

This file is three things at once: the application, what RQ's workers preload (``rq worker -c``), and a program that
starts all there is to start. It needs a Redis: ``REDIS_URL=redis://localhost:6379 python -m examples.rq_orders``.
"""

from __future__ import annotations

import os
import subprocess
import sys

from pydantic import BaseModel
from squidmesh_rq import Bridge

from squidmesh import Context, Mesh, RetryPolicy, Workflow, fixed, manual, step, wait

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379")  # RQ reads these two from the file that -c names
QUEUES = ["squidmesh-default"]


class Order(BaseModel):
    order_id: str
    amount: int


def reserve(order_id: str) -> dict[str, str]:
    return {"shelf": f"shelf-{order_id}"}


def charge(order_id: str, amount: int, context: Context) -> dict[str, str]:
    """The provider is away when it is asked for the first time. The key is the same for every attempt."""
    if context.attempt == 1:
        raise ConnectionError("the payment provider hung up")
    return {"charged": f"{amount} cents under a key of {len(context.idempotency_key)} characters"}


def ship(shelf: str) -> dict[str, str]:
    return {"shipped": f"from {shelf}"}


class Fulfil(Workflow):
    version = "1"
    placed = manual(Order)
    reserve = step(reserve)
    charge = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.2)))
    cool_off = wait(0.2)
    ship = step(ship)
    flow = reserve >> charge >> cool_off >> ship


mesh = Mesh.connect(
    os.environ.get("ORDERS_JOURNAL", "sqlite:///orders.db"), workflows=[Fulfil], lease=5, reconcile_every=0.1
)


def main() -> None:
    command = [sys.executable, "-m", "rq.cli", "worker", "-c", "examples.rq_orders"]
    command += ["--serializer", "rq.serializers.JSONSerializer", "--quiet"]
    environment = {**os.environ, "SQUIDMESH_APP": "examples.rq_orders:mesh"}
    with mesh, Bridge(mesh, REDIS_URL):
        run = mesh.start_run(Fulfil.placed, Order(order_id="17", amount=4200), key="order-17")
        worker = subprocess.Popen(command, env=environment)
        try:
            ended = mesh.wait_for(run.run_id, timeout=60)
        finally:
            worker.terminate()
            worker.wait(30)
        history = mesh.inspect_run(run.run_id, history=True)
    for attempt in history.attempts:
        print(f"{attempt.step} took {attempt.attempt} of its attempts")
    print(ended.status, ended.output)


if __name__ == "__main__":
    main()
