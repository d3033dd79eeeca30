"""How many runs there are, by status. Where counting is dear, everybody is told the same number for a while: all who
look together cost the store a hundredth of its time at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_CHEAP = 0.02
"""Seconds. What takes no longer is asked each time."""
_REST = 100
"""How many times as long as it took a number is good for."""
_MOST = 200
"""Workflows of which a number is kept."""


class Counted:
    """Thread-safe; whoever asks while another counts waits for that. ``count``: the mesh's own verb."""

    def __init__(
        self, count: Callable[[str | None], dict[str, int]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[str | None, tuple[float, dict[str, int]]] = {}

    def of(self, workflow: str | None) -> dict[str, int]:
        """Of all workflows where it is None. Raises what the verb raises."""
        with self._lock:
            began = self._monotonic()
            until, found = self._known.get(workflow, (began, {}))
            if began < until:
                return found
            self._known.pop(workflow, None)
            found = self._count(workflow)
            ended = self._monotonic()
            if ended - began > _CHEAP:
                if len(self._known) >= _MOST:
                    self._known.pop(next(iter(self._known)))
                self._known[workflow] = (ended + (ended - began) * _REST, found)
            return found
