"""How many runs there are, by status. Where counting is dear, everybody is told the same number for a while: all who
look together cost the store a hundredth of its time at most.

The mesh counts all queues together. For one queue alone its newest thousand runs are looked at, which costs the same
whatever there is behind them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from squidmesh import Mesh

_CHEAP = 0.02
"""Seconds. What takes no longer is asked each time."""
_REST = 100
"""How many times as long as it took a number is good for."""
_MOST = 200
"""Workflows of which a number is kept."""
NEWEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """``queue`` is None for all queues. ``newest``: of how many runs alone, where there are more."""

    by_status: dict[str, int]
    queue: str | None = None
    newest: int | None = None


def of_queue(mesh: Mesh, queue: str, workflow: str | None) -> Counts:
    page = mesh.list_runs(queue=queue, limit=NEWEST)
    found = Counter(run.status for run in page.runs if workflow in (None, run.workflow))
    return Counts(by_status=dict(found), queue=queue, newest=None if page.next is None else len(page.runs))


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
