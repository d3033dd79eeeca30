"""The work of a simulated fleet: small workflows that reach every kind of step, and what their steps may do.

What a step does beside its work is a mishap of the script: ``fail``, ``give up``, ``snooze``, ``retry later``,
``slow``, or ``die`` (its process is killed in the middle of it).
"""

from __future__ import annotations

from pydantic import BaseModel

from chaos.simulator.virtual import Stage
from squidmesh import (
    Context,
    RetryPolicy,
    Workflow,
    approval,
    event,
    fixed,
    manual,
    pause,
    step,
    wait,
    wait_for_children,
)

RETRY = RetryPolicy(max_attempts=3, backoff=fixed(1))


class Order(BaseModel):
    name: str


def make_workflows(stage: Stage) -> list[type[Workflow]]:
    """Their steps act on the stage's present world."""

    def work(name: str, context: Context) -> None:
        stage.world.act(context, name)

    def undo(name: str, context: Context) -> None:
        stage.world.act(context, name)

    def write(name: str, context: Context) -> None:
        context.connection.write(f"{context.run_id}/{context.step}")
        stage.world.act(context, name)
        if name.endswith("+"):
            context.start_child_run(Kid.go, Order(name=f"{name}.kid"), key="kid")

    def send_out(name: str, context: Context) -> None:
        for key in ("a", "b"):
            context.start_child_run(Kid.go, Order(name=f"{name}.{key}"), key=key)
        stage.world.act(context, name)

    class Line(Workflow):
        """Linear, with a wait, retries and an error route."""

        version = "1"
        timeout = 400
        go = manual(Order)
        first = step(work, retry=RETRY)
        second = step(work)
        rest = wait(2)
        third = step(work, retry=RETRY, timeout=20)
        home = step(work, retry=RETRY)
        flow = (first >> second >> rest >> third, third.on_error(home))

    class Fork(Workflow):
        """A join of three, and compensations."""

        version = "1"
        go = manual(Order)
        left = step(work, retry=RETRY, compensate=undo, compensate_retry=RETRY)
        right = step(work, compensate=undo, compensate_retry=RETRY)
        nap = wait(1)
        join = step(work, after=[left, right, nap], compensate=undo)
        last = step(work, after=[join])

    class Gates(Workflow):
        """An approval with a deadline, an event and a pause, and a join of all."""

        version = "1"
        go = manual(Order)
        ask = approval(timeout=60)
        horn = event("horn")
        begin = step(work)
        hold = pause(after=[begin])
        end = step(work, after=[ask, horn, hold], retry=RETRY)

    class Kid(Workflow):
        version = "1"
        go = manual(Order)
        play = step(work, retry=RETRY)

    class Family(Workflow):
        """Two children, and the wait for their end."""

        version = "1"
        go = manual(Order)
        out = step(send_out, retry=RETRY)
        back = wait_for_children(output="kids", after=[out])
        rejoice = step(work, after=[back])

    class Pay(Workflow):
        """A step that writes in the journal's own transaction, between two others."""

        version = "1"
        go = manual(Order)
        quote = step(work, concurrency_key="name")
        pay = step(write, transaction=True, retry=RETRY)
        tell = step(work, priority=2)
        flow = quote >> pay >> tell

    return [Line, Fork, Gates, Kid, Family, Pay]


STARTED = ("Line", "Fork", "Gates", "Family", "Pay")
"""Those that clients start; the others are children."""
