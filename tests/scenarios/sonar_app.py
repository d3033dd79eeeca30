"""Workflows that show each thing that Sonar's pages can show, and a mesh of them for ``--app``."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from squidmesh import (
    Context,
    GiveUp,
    Mesh,
    RetryPolicy,
    Workflow,
    approval,
    cron,
    event,
    exponential,
    fixed,
    manual,
    pause,
    secret,
    step,
    value,
    wait,
    wait_for_children,
)


def _at_once(*_: object) -> None:
    """Takes no time."""


spend: Callable[[float], None] = _at_once
"""What a step does that takes so many seconds. Whoever tells a story lets its clock go on."""


class Journey(BaseModel):
    ring_id: str = Field(description="Which ring is carried")
    bearer: str = "Frodo"
    pace: Literal["walk", "ride"] = "walk"
    companions: list[str] = ["Sam"]
    rations: int = Field(default=12, ge=0)
    hidden: bool = True
    password: Annotated[str | None, secret] = None


class Nightly(BaseModel):
    ring_id: str = "one-ring"


class Nothing(BaseModel):
    pass


class Note(BaseModel):
    text: str = ""


class Route(BaseModel):
    kind: str


def pack_lembas(bearer: str, rations: int) -> dict[str, int]:
    """Counts the bread, and some more."""
    spend(1 + rations % 7)
    return {"loaves": rations * 2}


def cross_moria(ring_id: str, context: Context) -> Route:
    """Takes the short way, where there is one."""
    spend(3 + len(ring_id) % 11 + context.attempt)
    if ring_id == "cursed":
        raise ConnectionError("a shadow and a flame: the bridge of Khazad-dum does not answer")
    return Route(kind="road" if ring_id == "lost" else "mine")


def walk_home(bearer: str) -> str:
    """Says nothing to anybody."""
    spend(2.5)
    return f"{bearer} is home"


def reach_mordor(ring_id: str) -> str:
    """Throws it in."""
    spend(4)
    return f"{ring_id} is gone"


class RingErrand(Workflow):
    """Carry a ring to Mordor; walk home when Moria says no."""

    version = "2026-11-22"
    leave_shire = manual(Journey)
    nightly = cron("30 21 * * 1-5", timezone="Europe/London", payload=Nightly, idempotency="return_existing_run")

    pack = step(pack_lembas, output="provisions", input={"bearer": "bearer", "rations": "rations"})
    council = approval(output="council")
    moria = step(cross_moria, output="route", retry=RetryPolicy(max_attempts=3, backoff=exponential(min=0.05, max=0.2)))
    home = step(walk_home, output="end")
    mordor = step(reach_mordor, output="end", irreversible=True)

    flow = (
        pack >> council >> moria,
        council.on_reject(home),
        moria.to(home, when=value("route.kind") == "road"),
        moria.to(mordor),
        moria.on_error(home, recovery="compensation"),
    )


def _no(**_: object) -> None:
    raise GiveUp("the eagles are not coming")


def give_back() -> str:
    raise GiveUp("Bilbo has hidden it")


class Feast(Workflow):
    """Everything at once; when the cake fails, what was done is undone."""

    version = "3"
    invite = manual(Nothing)
    tents = step(lambda: {"tents": 12}, compensate=lambda: {"tents": 0})
    fireworks = step(lambda: {"rockets": 40}, compensate=give_back)
    ale = step(lambda: {"barrels": 9})
    cake = step(lambda: _no(), after=[tents, fireworks, ale])


class Letter(Workflow):
    """One letter, which is held until somebody lets it go."""

    version = "1"
    send = manual(Note)
    hold = pause()
    post = step(lambda text: {"sent": text})
    flow = hold >> post


def invite_all(context: Context) -> None:
    for name in ("Merry", "Pippin"):
        context.start_child_run(Letter, Note(text=f"Dear {name}"), key=name)


class Invitations(Workflow):
    """Letters to all, an answer from one, and some sleep."""

    version = "1"
    begin = manual(Nothing)
    write = step(invite_all)
    answers = wait_for_children(output="answers")
    reply = event("owl", timeout=timedelta(hours=2), output="owl")
    sleep = wait(timedelta(hours=8))
    flow = write >> answers >> reply >> sleep


def doomed(context: Context) -> None:
    """Kills its process, as long as a file stands in its way."""
    stone = os.environ.get("SONAR_STONE")
    if stone and os.path.exists(stone):  # noqa: PTH110
        os._exit(9)


class Ferry(Workflow):
    """Crosses the river, if the process survives it."""

    version = "1"
    board = manual(Nothing)
    cross = step(doomed, isolation="process", retry=RetryPolicy(max_attempts=2, backoff=fixed(0.1)))


burn: Callable[[], None] = _at_once
"""What a beacon does. Whoever wants to see a worker at work lets it take its time."""


class Beacon(Workflow):
    """Calls for aid."""

    version = "1"
    kindle = manual(Nothing)
    light = step(lambda: burn())


WORKFLOWS = [RingErrand, Feast, Letter, Invitations, Ferry, Beacon]


def connect(url: str, **settings: object) -> Mesh:
    return Mesh.connect(url, workflows=WORKFLOWS, **{"max_deliveries": 1, **settings})  # type: ignore[arg-type]


mesh = connect(os.environ.get("SONAR_STORE", "memory://"), lease=1.0)
