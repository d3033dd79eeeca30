"""Logs that a machine reads: one JSON object a line, with the run, step and attempt that it is about.

While the code of a step runs, its ids are bound as context variables: so the lines of the step's own loggers, of the
standard library or of structlog, carry them too. No payload and no claim id is ever among them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import Token
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from squidmesh.errors import InvalidInput
from squidmesh.ids import parse_attempt_key
from squidmesh.journal.facts import StepError
from squidmesh.ports.instrument import Instrument, StepOutcome, StepSeen

_FIELDS = "squidmesh"
"""The attribute of a log record that holds its event's fields."""


class StepContext(Instrument):
    """Binds a step's ids while its code runs (``structlog.contextvars``)."""

    def step_begins(self, step: StepSeen) -> Mapping[str, Token[Any]]:
        return structlog.contextvars.bind_contextvars(
            run_id=step.run_id,
            workflow=step.workflow,
            step=step.step,
            attempt=step.attempt,
            delivery=step.delivery,
            fence=step.fence,
            owner=step.owner,
        )

    def step_ends(
        self, step: StepSeen, begun: Any, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        structlog.contextvars.reset_contextvars(**begun)


class StepFilter(logging.Filter):
    """For a host's own handlers and formatters: each record gets the ids of the step that it comes from, as attributes
    (``%(run_id)s``), or empty ones. Needs a :class:`StepContext` that observes the mesh.
    """

    _NAMES = ("run_id", "workflow", "step", "attempt", "delivery", "fence", "owner")

    def filter(self, record: logging.LogRecord) -> bool:
        bound = structlog.contextvars.get_contextvars()
        for name in self._NAMES:
            if not hasattr(record, name):
                setattr(record, name, bound.get(name, ""))
        return True


def json_formatter() -> logging.Formatter:
    """One JSON object a record: ``timestamp`` (UTC), ``level``, ``logger``, ``event``, and the event's fields."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            _told,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
    )


def json_to_stderr(level: int) -> None:
    """Everything that is logged in this process becomes JSON on stderr, unless the app has handlers of its own for its
    loggers: those it keeps. structlog is led into the same stream, unless the app has configured it.
    """
    handler = _Stderr()
    handler.setFormatter(json_formatter())
    ours = logging.getLogger("squidmesh")
    for former in [former for former in ours.handlers if isinstance(former, _Stderr)]:
        ours.removeHandler(former)
    ours.addHandler(handler)
    ours.setLevel(level)
    ours.propagate = False
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(min(root.level or level, level))
    if not structlog.is_configured():
        structlog.configure(
            processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


class _Stderr(logging.Handler):
    """To stderr as it is when something is said; a line in one write, so that two threads' lines do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n"
        except Exception:
            self.handleError(record)
            return
        sys.stderr.write(line)
        sys.stderr.flush()


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _told(logger: object, method: str, event: EventDict) -> MutableMapping[str, Any]:
    """The fields of one of our own records; an item's key is told in its parts too."""
    record = event.get("_record")
    fields: dict[str, Any] = dict(getattr(record, _FIELDS, None) or {})
    if fields and isinstance(record, logging.LogRecord):
        event["event"] = fields.pop("event", None) or record.getMessage()
    for name, value in {**_parts(fields.get("item")), **fields}.items():
        event["message" if name in ("event", "level", "timestamp", "logger", "_record") else name] = value
    return event


def _parts(item: object) -> dict[str, Any]:
    if not isinstance(item, str):
        return {}
    try:
        run_id, step, attempt = parse_attempt_key(item)
    except InvalidInput:
        return {}
    return {"run_id": run_id, "step": step, "attempt": attempt}
