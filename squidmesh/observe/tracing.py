"""Traces with OpenTelemetry (``pip install "squidmesh[otel]"``): one from the start of a run through all of its steps,
whatever processes they run in.

``Mesh.observe(Tracing())``, in the processes that start runs and in those that carry them out. Where spans go is the
host's own affair: its tracer provider and exporters. Without a provider nothing is recorded.

The context of the start is kept with the run, in the words of W3C Trace Context. Each delivery of an attempt is a span
below it, and the current one while the step's code runs. What a step raised is told by type and code; its text stays
in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from dataclasses import dataclass

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from squidmesh.errors import SquidMeshError
from squidmesh.journal.facts import StepError
from squidmesh.ports.instrument import Instrument, StepOutcome, StepSeen

_NAME = "squidmesh"
_FIELD = "traceparent"
_WORDS = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class _Begun:
    span: Span
    token: Token[context.Context]


class Tracing(Instrument):
    """``provider``: by default the one of this process."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=provider)

    @contextmanager
    def starting(self, workflow: str, *, replays: str | None) -> Iterator[str | None]:
        old = trace.get_current_span(_read(replays)).get_span_context() if replays else None
        links = [Link(old)] if old is not None and old.is_valid else []
        attributes = {"squidmesh.workflow": workflow}
        with self._tracer.start_as_current_span(
            f"start {workflow}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            links=links,
            record_exception=False,  # its text may be anybody's
            set_status_on_exception=False,
        ) as span:
            try:
                yield self.traceparent()
            except SquidMeshError as error:
                span.set_status(Status(StatusCode.ERROR, error.code))
                raise

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _WORDS.inject(carrier)
        return carrier.get(_FIELD)

    def step_begins(self, step: StepSeen) -> _Begun:
        above = _read(step.traceparent)
        span = self._tracer.start_span(
            f"{step.workflow}.{step.step}",
            context=above,
            kind=SpanKind.CONSUMER,
            attributes={
                "squidmesh.run_id": step.run_id,
                "squidmesh.workflow": step.workflow,
                "squidmesh.step": step.step,
                "squidmesh.attempt": step.attempt,
                "squidmesh.delivery": step.delivery,
                "squidmesh.fence": step.fence,
                "squidmesh.owner": step.owner,
                "squidmesh.queue": step.queue,
                "squidmesh.waited_seconds": step.waited,
            },
        )
        return _Begun(span, context.attach(trace.set_span_in_context(span, above)))

    def step_ends(
        self, step: StepSeen, begun: object, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        assert isinstance(begun, _Begun)
        begun.span.set_attribute("squidmesh.outcome", outcome)
        if error is not None:
            said = {"exception.type": error.type, "squidmesh.error_code": error.code}
            begun.span.add_event("exception", said)
        if outcome in ("failed", "lost"):
            begun.span.set_status(Status(StatusCode.ERROR, error.code if error is not None else outcome))
        begun.span.end()
        context.detach(begun.token)


def _read(traceparent: str | None) -> context.Context:
    """The context that the words stand for; that of this thread where there are none."""
    return _WORDS.extract({} if traceparent is None else {_FIELD: traceparent})
