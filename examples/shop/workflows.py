"""What becomes of an order, of a parcel, and of each night."""

from __future__ import annotations

import time
from datetime import date, timedelta

from pydantic import BaseModel

from examples.shop import store
from examples.shop.settings import Settings
from squidmesh import (
    Context,
    GiveUp,
    Mesh,
    RetryPolicy,
    Workflow,
    approval,
    cron,
    exponential,
    manual,
    step,
    today,
    value,
    wait_for_children,
)

LARGE = 50_000
"""Cents. Above that, somebody looks at an order before it is charged."""
IN_A_PARCEL = 10


class Order(BaseModel):
    number: int
    item: str
    quantity: int
    cents: int
    stolen_card: bool = False


class Parcel(BaseModel):
    number: int
    pieces: int


class Night(BaseModel):
    """When a window comes, nobody is there to give a value."""

    night: date = today()


def book(number: int, item: str, quantity: int, context: Context) -> None:
    """In one transaction with the step's end: booked once, or not at all."""
    if not store.book(context.connection, number, item, quantity):
        raise GiveUp(f"there are not {quantity} {item} in stock")


def give_back(number: int) -> None:
    with store.opened(Settings.read().database) as shop:
        store.give_back(shop, number)
        store.close(shop, number, "cancelled")


def charge(number: int, cents: int, stolen_card: bool, context: Context) -> None:
    """At the bank, under one key for all attempts: whoever dies here has charged once."""
    settings = Settings.read()
    if stolen_card:
        raise GiveUp("the bank says no")
    with store.opened(settings.database) as bank:
        store.pay(bank, context.idempotency_key, number, cents)
    time.sleep(settings.bank_seconds)


def refund(number: int) -> None:
    with store.opened(Settings.read().database) as bank:
        store.pay_back(bank, number)


def turn_down(number: int, context: Context) -> None:
    store.close(context.connection, number, "cancelled")


def decline() -> None:
    """The order fails, and what it had booked is given back."""
    raise GiveUp("nobody approved it")


def pack(number: int, quantity: int, context: Context) -> None:
    """A child run for each parcel. A retry of this step finds the same ones."""
    for first in range(0, quantity, IN_A_PARCEL):
        parcel = Parcel(number=number, pieces=min(IN_A_PARCEL, quantity - first))
        context.start_child_run(Deliver.packed, parcel, key=f"parcel-{first // IN_A_PARCEL + 1}")


def hand_over(number: int, pieces: int) -> dict[str, str]:
    return {"parcel": f"{pieces} pieces of order {number}"}


def ship(number: int, context: Context) -> None:
    store.close(context.connection, number, "shipped")


def fill_up(context: Context) -> dict[str, int]:
    return {"filled": store.fill_up(context.connection, pieces=20)}


class Deliver(Workflow):
    version = "1"
    packed = manual(Parcel)
    hand_over = step(hand_over)


class Fulfil(Workflow):
    """Book, ask somebody where much is at stake, charge, send each parcel; undo what was done where that fails."""

    version = "1"
    placed = manual(Order)

    book = step(book, transaction=True, compensate=give_back)
    review = approval(output="decision", timeout=timedelta(days=7))
    charge = step(
        charge, compensate=refund, retry=RetryPolicy(max_attempts=5, backoff=exponential(min=0.5, max=30)), timeout=30
    )
    pack = step(pack)
    parcels = wait_for_children(output="parcels")
    ship = step(ship, transaction=True)
    turn_down = step(turn_down, transaction=True)
    decline = step(decline)

    flow = (
        book.to(review, when=value("cents") > LARGE),
        book.to(charge),
        book.on_error(turn_down),
        review >> charge >> pack >> parcels >> ship,
        review.on_reject(decline),
        review.on_timeout(decline),
    )


class Restock(Workflow):
    """Each night, by the clock of Lisbon."""

    version = "1"
    nightly = cron("0 4 * * *", timezone="Europe/Lisbon", payload=Night)
    fill_up = step(fill_up, transaction=True)


def connected(settings: Settings) -> Mesh:
    """Facts in PostgreSQL, work through Redis."""
    return Mesh.connect(
        settings.database, leases=settings.redis, workflows=[Fulfil, Deliver, Restock], lease=settings.lease
    )
