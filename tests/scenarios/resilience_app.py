"""Runs that stand still in each way, in a mesh over the servers of the example's shop."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

from examples.shop.settings import Settings
from squidmesh import Context, Mesh, RetryPolicy, Workflow, approval, event, fixed, manual, pause, step, wait
from squidmesh import wait_for_children as children

LATER = 25.0
"""Seconds until what waits for a moment is due: the restarts take about as long."""
ENDS = "CREATE TABLE shop.ends (run_id text NOT NULL)"
"""No key: a second row of a run would be seen."""


class Number(BaseModel):
    number: int


def begin(number: int) -> None: ...


def fail_once(context: Context) -> None:
    if context.attempt == 1:
        raise ConnectionError("not now")


def start_child(number: int, context: Context) -> None:
    context.start_child_run(Paused.asked, Number(number=number), key="child")


def end(context: Context) -> None:
    """In one transaction with the end of the run."""
    context.connection.execute("INSERT INTO shop.ends VALUES (%s)", (context.run_id,))


class Queued(Workflow):
    version = "1"
    asked = manual(Number)
    begin = step(begin)
    end = step(end, queue="stopped", transaction=True)
    flow = begin >> end


class Delayed(Workflow):
    version = "1"
    asked = manual(Number)
    end = step(end, transaction=True)


class Retrying(Workflow):
    version = "1"
    asked = manual(Number)
    fail_once = step(fail_once, retry=RetryPolicy(max_attempts=2, backoff=fixed(LATER)))
    end = step(end, transaction=True)
    flow = fail_once >> end


class Waiting(Workflow):
    version = "1"
    asked = manual(Number)
    rest = wait(LATER)
    end = step(end, transaction=True)
    flow = rest >> end


class Asked(Workflow):
    version = "1"
    asked = manual(Number)
    review = approval(output="decision")
    end = step(end, transaction=True)
    flow = review >> end


class Paused(Workflow):
    version = "1"
    asked = manual(Number)
    hold = pause()
    end = step(end, transaction=True)
    flow = hold >> end


class Listening(Workflow):
    version = "1"
    asked = manual(Number)
    word = event("word", timedelta(days=1))
    end = step(end, transaction=True)
    flow = word >> end


class Parent(Workflow):
    """Waits for a child that is paused."""

    version = "1"
    asked = manual(Number)
    start_child = step(start_child)
    child = children(output="children")
    end = step(end, transaction=True)
    flow = start_child >> child >> end


class Probe(Workflow):
    """New work, which does not stand still."""

    version = "1"
    asked = manual(Number)
    begin = step(begin)
    end = step(end, transaction=True)
    flow = begin >> end


STANDS: dict[type[Workflow], str] = {
    Queued: "queue_paused",
    Delayed: "delayed_start",
    Retrying: "retry",
    Waiting: "wait",
    Asked: "approval",
    Paused: "pause",
    Listening: "event",
    Parent: "children",
}
"""Each kind, and why it stands still."""


def connected(settings: Settings) -> Mesh:
    kinds = [*STANDS, Probe]
    return Mesh.connect(settings.database, leases=settings.redis, workflows=kinds, lease=settings.lease, sweep=1)
