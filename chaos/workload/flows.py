"""Workflows that touch everything: routes, retries, joins, sagas, gates, children, timers, transactions, secrets.

Each step writes into the ledger (:mod:`chaos.ledger`), which is no part of the product. Steps of compensations too.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

from chaos.ledger import Ledger
from squidmesh import (
    Context,
    GiveUp,
    RetryPolicy,
    Snooze,
    Workflow,
    approval,
    cron,
    event,
    fixed,
    manual,
    secret,
    step,
    wait,
    wait_for_children,
)

LEDGER, MENDED, JOURNAL = "CHAOS_LEDGER", "CHAOS_MENDED", "CHAOS_JOURNAL"
"""In the environment of a worker: two folders, and the journal's URL."""
SLOW = "slow"
"""The other queue."""
BRIEF = 0.01
"""Seconds that a step takes."""
BOOKED = "chaos_booked"
BOOKS = f"CREATE TABLE {BOOKED} (run_id text NOT NULL, number integer NOT NULL)"
"""No key: a second row of a run would be seen."""


@functools.cache
def _ledger(pid: int) -> Ledger:
    """Of this process: a step may run in a child."""
    return Ledger(Path(os.environ[LEDGER]), process=f"steps-{pid}")


@contextmanager
def noted(context: Context) -> Iterator[None]:
    with _ledger(os.getpid()).step(context):
        time.sleep(BRIEF)
        yield


class Order(BaseModel):
    number: int
    token: Annotated[str, secret] = ""


class Receipt(BaseModel):
    amount: int
    code: Annotated[str, secret] = ""


# --------------------------------------------------------------------------------- a path, with a wait and a retry


def pick(number: int, context: Context) -> None:
    with noted(context):
        pass


def charge(number: int, token: str, context: Context) -> Receipt:
    with noted(context):
        if number % 5 == 0 and context.attempt == 1:
            raise ConnectionError("the gateway hung up")
        if number % 97 == 0:
            raise GiveUp("there is no such card")
        return Receipt(amount=number, code=token)


def ship(number: int, receipt: Receipt, context: Context) -> None:
    with noted(context):
        assert receipt.amount == number


def apologise(number: int, context: Context) -> None:
    with noted(context):
        pass


class Parcel(Workflow):
    """Pick, rest, charge, ship; a charge that fails for good is followed by an apology."""

    version = "1"
    sent = manual(Order)
    picked = step(pick)
    rest = wait(0.1)
    charged = step(charge, output="receipt", retry=RetryPolicy(max_attempts=3, backoff=fixed(0.2)))
    shipped = step(ship, queue=SLOW)
    excused = step(apologise)
    flow = (picked >> rest >> charged >> shipped, charged.on_error(excused, recovery="undo"))


# ------------------------------------------------------------------------------------------- a graph with a join


def bake(number: int, context: Context) -> dict[str, int]:
    with noted(context):
        return {"cakes": number}


def brew(number: int, context: Context) -> dict[str, int]:
    with noted(context):
        if number % 7 == 0 and context.fence == 1:  # at its first claim
            raise Snooze(after=0.2)
        return {"barrels": number}


def invite(number: int, context: Context) -> dict[str, int]:
    with noted(context):
        return {"guests": number}


def serve(cakes: int, barrels: int, guests: int, context: Context) -> dict[str, int]:
    with noted(context):
        return {"served": cakes + barrels + guests}


class Feast(Workflow):
    """Three at once, and one that comes after all of them. No two loads for one kitchen are brewed at a time."""

    version = "1"
    planned = manual(Order)
    baked = step(bake)
    brewed = step(brew, concurrency_key="number", retry=RetryPolicy(max_attempts=2, backoff=fixed(0.1)))
    invited = step(invite, queue=SLOW)
    served = step(serve, after=[baked, brewed, invited])


# ------------------------------------------------------------------------------------------- a saga that is undone


def reserve(number: int, context: Context) -> dict[str, int]:
    with noted(context):
        return {"seat": number}


def release(step_output: dict[str, int], context: Context) -> None:
    with noted(context):
        if step_output["seat"] % 6 == 0 and context.attempt == 1:
            raise ConnectionError("the airline does not answer")


def board(number: int, context: Context) -> dict[str, int]:
    with noted(context):
        return {"bed": number}


def vacate(context: Context) -> None:
    with noted(context):
        pass


def depart(number: int, context: Context) -> None:
    with noted(context):
        if number % 3 == 0:
            raise GiveUp("the road is closed")


class Trip(Workflow):
    """Every third one fails at the end, and is undone from there."""

    version = "1"
    booked = manual(Order)
    flight = step(
        reserve, output="flight", compensate=release, compensate_retry=RetryPolicy(max_attempts=4, backoff=fixed(0.1))
    )
    hotel = step(board, output="hotel", compensate=vacate)
    road = step(depart, queue=SLOW)
    flow = (flight >> hotel >> road,)


# ------------------------------------------------------------------------------------------------------- gates


class Consent(Workflow):
    """A person decides, and then something has to happen outside."""

    version = "1"
    asked = manual(Order)
    prepared = step(pick)
    council = approval(output="council", timeout=120)
    word = event("word", timeout=120, output="word")
    done = step(apologise)
    refused = step(apologise)
    flow = (
        prepared >> council >> word >> done,
        council.on_reject(refused),
        council.on_timeout(refused),
        word.on_timeout(refused),
    )


# ----------------------------------------------------------------------------------------------------- children


def send_gifts(number: int, context: Context) -> None:
    with noted(context):
        for gift in ("first", "second"):
            context.start_child_run(Gift.given, Order(number=number), key=gift)


class Gift(Workflow):
    version = "1"
    given = manual(Order)
    wrapped = step(pick)


class Family(Workflow):
    """Two children, and a step when both have ended."""

    version = "1"
    gathered = manual(Order)
    gifts = step(send_gifts)
    home = wait_for_children(output="gifts")
    thanks = step(apologise)
    flow = (gifts >> home >> thanks,)


# ------------------------------------------------------------------------------------------ the journal's own database


def book(number: int, context: Context) -> None:
    with noted(context):
        place, mark = (f"public.{BOOKED}", "%s") if _on_postgres() else (BOOKED, "?")
        context.connection.execute(f"INSERT INTO {place} VALUES ({mark}, {mark})", (context.run_id, number))


def _on_postgres() -> bool:
    return os.environ[JOURNAL].startswith("postgres")


class Booking(Workflow):
    """What it writes into the journal's own database is there once."""

    version = "1"
    made = manual(Order)
    begun = step(pick)
    entered = step(book, transaction=True)
    told = step(apologise)
    flow = (begun >> entered >> told,)


# ------------------------------------------------------------------------------------------------------- poison


class Bite(BaseModel):
    name: str
    kind: str = "kill"


def bite(name: str, kind: str, context: Context) -> None:
    """Ends its process, until somebody has mended it: a file of that name says so."""
    with noted(context):
        if not (Path(os.environ[MENDED]) / name).exists():
            if kind == "segfault":
                ctypes.string_at(0)
            os.kill(os.getpid(), signal.SIGKILL)


class Poison(Workflow):
    version = "1"
    swallowed = manual(Bite)
    bitten = step(bite)


# ------------------------------------------------------------------------------------------------------- the clock


class Chime(BaseModel):
    number: int = 1


class Bell(Workflow):
    """Once a minute, whoever looks at the clock."""

    version = "1"
    struck = cron("* * * * *", timezone="Etc/UTC", payload=Chime)
    rung = step(pick)


WORKFLOWS: tuple[type[Workflow], ...] = (Parcel, Feast, Trip, Consent, Family, Gift, Booking, Poison, Bell)
