"""Waiting for something to be so, within bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

PAUSE = 0.02


class NeverSo(RuntimeError):
    """What was waited for did not come about; the message says what and how long."""


def until(condition: Callable[[], Any], what: str, *, within: float = 30.0) -> None:
    """Raises :class:`NeverSo`."""
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        if time.monotonic() > ends:
            raise NeverSo(f"waited {within:g} s for {what}")
        turn.wait(PAUSE)
