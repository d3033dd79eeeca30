"""An app that is watched: what its steps log and do is told on stderr, and it gets stuck when it is told to.

``squidmesh --app tests.support.watched:mesh worker``, with WATCHED_URL, and WATCHED_LEASES where those are elsewhere.
"""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from pydantic import BaseModel

from squidmesh import Context, CronLook, CronLoop, Mesh, RetryPolicy, Workflow, cron, fixed, log, manual, step

LEASE = 2.0
HERE = Path(os.environ.get("WATCHED_FOLDER", "."))


class Order(BaseModel):
    number: int = 0


class Lines(SpanExporter):
    """A line a span, for tests that look over several processes."""

    def export(self, spans: Any) -> SpanExportResult:
        with (HERE / "spans").open("a") as file:
            for span in spans:
                file.write(told(span) + "\n")
        return SpanExportResult.SUCCESS


def told(span: ReadableSpan) -> str:
    parent = "-" if span.parent is None else f"{span.parent.span_id:016x}"
    found = span.get_span_context()
    assert found is not None
    return f"{os.getpid()} {found.trace_id:032x} {found.span_id:016x} {parent} {span.name}"


class Hanging:
    """Logs, as the default one does; but in the middle of a turn it never comes back."""

    def notice(self, event: str, /, **fields: object) -> None:
        if event == "workflow_log" and fields.get("message") == "hang":
            threading.Event().wait()


def pick(number: int) -> None:
    logging.getLogger("shop").warning("picked")
    structlog.get_logger("shop").warning("packed", secret_free=True)
    with trace.get_tracer("shop").start_as_current_span("shelf"):
        pass


def charge(number: int, context: Context) -> None:
    if number == 1 and context.attempt == 1:
        raise ValueError("the card was not read")
    if number == 2:
        raise ValueError("no card")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        time.sleep(1)


class Shop(Workflow):
    version = "1"
    placed = manual(Order)
    tick = cron("* * * * *", timezone="Etc/UTC", payload=Order)
    pick = step(pick)
    charge = step(charge, retry=RetryPolicy(max_attempts=2, backoff=fixed(0.05)), queue="till")
    flow = pick >> charge


class Stuck(Workflow):
    version = "1"
    placed = manual(Order)
    hang = log("hang")


mesh = Mesh.connect(
    os.environ.get("WATCHED_URL", "memory://"),
    leases=os.environ.get("WATCHED_LEASES"),
    workflows=[Shop, Stuck],
    lease=LEASE,
    idle_poll=0.2,
    reconcile_every=0.2,
    sweep=2,
    max_deliveries=2,
    observer=Hanging() if os.environ.get("WATCHED_HANGS") else None,
)

if "WATCHED_CRON_FAILS" in os.environ:

    def fails(loop: CronLoop) -> CronLook:
        raise ArithmeticError("the clock has thirteen hours")

    CronLoop.look = fails  # type: ignore[method-assign, assignment]

if "WATCHED_FOLDER" in os.environ:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Lines()))
    trace.set_tracer_provider(provider)
