"""``today()``: a payload's default that is the date of a cron window, wherever and whenever the run really starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any

from pydantic import Field

from squidmesh.errors import InvalidPayload

# pydantic calls a default's factory without a word of ours: this is how the date reaches it, for one validation.
_window_date: ContextVar[date | None] = ContextVar("squidmesh_window_date", default=None)


def today() -> Any:
    """``day: date = today()`` in a payload of a cron trigger: the date of the window, in the trigger's timezone.

    It is computed once, when the run starts, and recorded with the payload. A start by hand stands for no window: it
    says the date, or is refused.
    """
    return Field(default_factory=_today)


def _today() -> date:
    day = _window_date.get()
    if day is None:
        message = "today() is the date of a cron window, and a start by hand has none; allowed is a payload with a date"
        raise InvalidPayload(message, field="payload")
    return day


@contextmanager
def standing_for(day: date) -> Iterator[None]:
    """Within it, ``today()`` is that date."""
    token = _window_date.set(day)
    try:
        yield
    finally:
        _window_date.reset(token)
