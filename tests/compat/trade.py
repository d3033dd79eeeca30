"""The work of a mixed fleet: a retry, a wait, a child run, two queues, and what kills its worker until it is mended.

Imported by both versions: it says only what both know.
"""

import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, RetryPolicy, Workflow, fixed, manual, step, wait, wait_for_children


class Order(BaseModel):
    number: int
    poison: bool = False


def note(context: Context) -> None:
    """Into the ledger, which is no part of the product: what the world outside has seen, and of whom."""
    line = f"{context.idempotency_key} {context.run_id}/{context.step} {os.getpid()}\n"
    ledger = os.open(os.environ["COMPAT_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line.encode())
    finally:
        os.close(ledger)


def pick(number: int, context: Context) -> None:
    note(context)
    context.start_child_run(Gift, Order(number=number), key="gift")
    time.sleep(0.01)


def charge(number: int, poison: bool, context: Context) -> dict[str, int]:
    note(context)
    time.sleep(0.02)
    if poison and not Path(os.environ["COMPAT_MENDED"]).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if number % 5 == 0 and context.attempt == 1:
        raise ConnectionError("the gateway hung up")
    return {"charged": number}


def ship(context: Context) -> None:
    note(context)
    time.sleep(0.01)


class Gift(Workflow):
    version = "1"
    send = manual(Order)
    wrapped = step(ship)


class Trade(Workflow):
    version = "1"
    strike = manual(Order)
    picked = step(pick)
    rest = wait(0.2)
    charged = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.3)))
    gifts = wait_for_children(output="gifts")
    shipped = step(ship, queue="slow")
    flow = (picked >> rest >> charged >> gifts >> shipped,)
