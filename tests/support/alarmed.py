"""An app that does what makes alerts fire: its steps fail, hold, kill and hang as they are told.

``squidmesh --app tests.support.alarmed:mesh worker``, with ALARMED_URL and ALARMED_LEASES.
"""

import os
import signal
import threading
import time

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Workflow, cron, fixed, log, manual, step

LEASE = 3.0
HELD = 1.5
"""Seconds that a step holds its slot when it is told to."""


class Order(BaseModel):
    what: str = "quick"


class Hanging:
    """In the middle of a turn of the pump it never comes back."""

    def notice(self, event: str, /, **fields: object) -> None:
        if event == "workflow_log" and fields.get("message") == "hang":
            threading.Event().wait()


def work(what: str, context: Context) -> None:
    if what == "snag" and context.attempt == 1:
        raise ValueError("it was busy")
    if what == "fail":
        raise ValueError("it never works")
    if what == "hold":
        time.sleep(HELD)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


class Work(Workflow):
    version = "1"
    placed = manual(Order)
    tick = cron("* * * * *", timezone="Etc/UTC", payload=Order)
    work = step(work, retry=RetryPolicy(max_attempts=2, backoff=fixed(0.05)))


class Stuck(Workflow):
    version = "1"
    placed = manual(Order)
    hang = log("hang")


def connected(url: str, leases: str | None) -> Mesh:
    return Mesh.connect(
        url,
        leases=leases,
        workflows=[Work, Stuck],
        lease=LEASE,
        idle_poll=0.2,
        reconcile_every=0.2,
        sweep=2,
        max_deliveries=2,
        observer=Hanging() if os.environ.get("ALARMED_HANGS") else None,
    )


mesh = connected(os.environ.get("ALARMED_URL", "memory://"), os.environ.get("ALARMED_LEASES"))
