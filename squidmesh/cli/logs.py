"""What the runtime notices goes to stderr: one line an event, ``key=value`` after it, or one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_LOGGER = logging.getLogger("squidmesh")


def format_option(command: F) -> F:
    """``--log-format``, for what runs for long."""
    option = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        envvar="SQUIDMESH_LOG_FORMAT",
        show_envvar=True,
        help="json: one object a line, with the run, step and attempt; also for what steps log.",
    )
    return option(command)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = dict(getattr(record, "squidmesh", {}))
        said = fields.pop("event", None) or record.getMessage()  # the runtime's own message has its fields in it
        told = "".join(f" {name}={_value(value)}" for name, value in fields.items())
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z {record.levelname:<7} {said}{told}"


class _Stderr(logging.Handler):
    """To stderr as it is when something is said."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


def to_stderr(level: int = logging.WARNING, form: str = "text") -> None:
    """Unless the app has set up logging of its own. Called again, it changes the level."""
    if form == "json":
        from squidmesh.observe.logs import json_to_stderr

        for handler in [handler for handler in _LOGGER.handlers if isinstance(handler.formatter, _Line)]:
            _LOGGER.removeHandler(handler)
        json_to_stderr(level)
        return
    ours = any(isinstance(handler.formatter, _Line) for handler in _LOGGER.handlers)
    if ours:
        _LOGGER.setLevel(level)
    if ours or _LOGGER.handlers or logging.getLogger().handlers:
        return
    handler = _Stderr()
    handler.setFormatter(_Line())
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level)


def info(event: str, **fields: object) -> None:
    """An event of the command line itself."""
    _LOGGER.info(event, extra={"squidmesh": fields})


def warning(event: str, **fields: object) -> None:
    _LOGGER.warning(event, extra={"squidmesh": fields})


def _value(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text else json.dumps(text)
