"""What type checkers must see in a workflow. Checked by mypy in test_typing.py, and run by test_authoring.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar, assert_type

from pydantic import BaseModel

from squidmesh.workflow.authoring import (
    Cron,
    FunctionDeclaration,
    Manual,
    Routes,
    Workflow,
    approval,
    complete,
    cron,
    manual,
    step,
    value,
    wait,
)
from squidmesh.workflow.definition import Condition, Definition
from squidmesh.workflow.registry import Registry
from squidmesh.workflow.retry import RetryPolicy, exponential
from squidmesh.workflow.validation import define


class LeaveShire(BaseModel):
    ring_id: str
    bearer: str = "Frodo"


class Nightly(BaseModel):
    ring_id: str = "one-ring"


def pack_lembas(ring_id: str) -> dict[str, int]:
    return {"bread": len(ring_id)}


async def cross_moria(bread: int) -> None: ...


def walk_home(bearer: str) -> dict[str, object]:
    return {"route": {"kind": "road", "bearer": bearer}}


class RingErrand(Workflow):
    """Carry a ring to Mordor."""

    version = "2026-11-22"
    name = "errand"

    leave_shire = manual(LeaveShire)
    nightly = cron("0 21 * * 1-5", timezone="Etc/UTC", payload=Nightly, idempotency="return_existing_run")

    pack = step(pack_lembas, input=["ring_id"])
    rest = wait(timedelta(seconds=30))
    council = approval(output="council")
    moria = step(
        cross_moria,
        input={"bread": "bread"},
        retry=RetryPolicy(max_attempts=3, backoff=exponential(min=1, max=30)),
    )
    home = step(walk_home, queue="slow", priority=9, irreversible=True, compensatable=False)

    flow = (
        pack >> rest >> council >> moria >> complete,
        council.on_reject(home),
        moria.on_error(home, recovery="compensation"),
        home.to(complete, when=value("route.kind") == "road"),
    )


class OneRoute(Workflow):
    version = "1"
    start = manual(LeaveShire)
    pack = step(pack_lembas)
    home = step(walk_home)
    flow = pack >> home


class ListOfRoutes(Workflow):
    version = "1"
    start = manual(LeaveShire)
    pack = step(pack_lembas)
    home = step(walk_home)
    flow = [pack.to(home, when=value("bread").in_([1, 2, "many"])), pack >> complete]  # noqa: RUF012


class NoRoutes(Workflow):
    version = "1"
    start = manual(LeaveShire)
    pack = step(pack_lembas)


P = TypeVar("P", bound=BaseModel)


def start_run(target: Manual[P], payload: P) -> P:
    return payload


assert_type(RingErrand.leave_shire, Manual[LeaveShire])
assert_type(RingErrand.nightly, Cron[Nightly])
assert_type(RingErrand.nightly.payload, type[Nightly])
assert_type(RingErrand.leave_shire.payload, type[LeaveShire])
assert_type(RingErrand.leave_shire.workflow, type[Workflow])
assert_type(RingErrand.pack, FunctionDeclaration)
assert_type(RingErrand.pack >> RingErrand.home >> complete, Routes)
assert_type(value("a.b") == "c", Condition)
assert_type(value("a.b") != 1, Condition)
assert_type(value("a.b") > 1.5, Condition)
assert_type(value("a.b") < "c", Condition)
assert_type(value("a.b").exists(), Condition)
assert_type(start_run(RingErrand.leave_shire, LeaveShire(ring_id="one-ring")), LeaveShire)
assert_type(define(RingErrand), Definition)
Registry([RingErrand, OneRoute, ListOfRoutes, NoRoutes]).of(RingErrand.nightly)


def mistakes() -> None:
    """Each is found: mypy reports an ignore that it did not need."""
    start_run(RingErrand.leave_shire, Nightly())  # type: ignore[misc]
    start_run(RingErrand.nightly, Nightly())  # type: ignore[arg-type]
    cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, missed="some")  # type: ignore[arg-type]
    RingErrand.pack.to("home")  # type: ignore[arg-type]
    RingErrand.pack.on_error(complete, recovery="prayer")  # type: ignore[arg-type]
    complete.__rshift__(RingErrand.pack)  # type: ignore[operator]
    value("a").__gt__([1])  # type: ignore[operator]
    manual(dict)  # type: ignore[type-var]
