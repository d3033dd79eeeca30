"""The work of a scenario: short runs on two queues, with a wait, a retry, and a note of each effect."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, RetryPolicy, Workflow, fixed, manual, step, wait

LEASE = 4.0
"""Seconds."""


class Order(BaseModel):
    number: int
    held: bool = False
    """Its first step goes on for as long as the scenario holds it."""


def note(context: Context) -> None:
    """Into the ledger, which is no part of the product: what the world outside has seen."""
    line = f"{context.idempotency_key} {context.run_id}/{context.step} {os.getpid()}\n"
    ledger = os.open(os.environ["SCENARIO_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line.encode())
    finally:
        os.close(ledger)


def pick(number: int, held: bool, context: Context) -> None:
    note(context)
    time.sleep(0.01)
    while held and Path(os.environ["SCENARIO_HOLD"]).exists():
        time.sleep(0.05)


def charge(number: int, context: Context) -> None:
    note(context)
    time.sleep(0.02)
    if number % 5 == 0 and context.attempt == 1:
        raise ConnectionError("the gateway hung up")


def ship(number: int, context: Context) -> None:
    note(context)
    time.sleep(0.01)


class Sale(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(pick)
    rest = wait(0.2)
    charged = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.3)))
    shipped = step(ship, queue="slow")
    flow = (picked >> rest >> charged >> shipped,)
