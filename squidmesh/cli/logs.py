"""What the runtime notices goes to stderr: one line an event, ``key=value`` after it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_LOGGER = logging.getLogger("squidmesh")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "squidmesh", {})
        told = "".join(f" {name}={_value(value)}" for name, value in fields.items())
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z {record.levelname:<7} {record.getMessage()}{told}"


class _Stderr(logging.Handler):
    """To stderr as it is when something is said."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


def to_stderr(level: int = logging.WARNING) -> None:
    """Unless the app has set up logging of its own. Called again, it changes the level."""
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
