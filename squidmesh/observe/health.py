"""Whether a worker process lives, and whether it is ready: what an orchestrator asks before it ends or trusts one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from squidmesh.ports.vitals import Vitals, WorkerSigns

_LEAST_PATIENCE = timedelta(seconds=1)


class Health:
    """Thread-safe. ``signs`` of the worker; ``look`` at the stores, bounded in time, raises where they are away.

    *Live*: the pump turned lately. One that waits for a store that is away is alive: a new process would wait too.
    *Ready*: live, not leaving, and the stores answer. A worker that is not ready claims nothing, and loses nothing.
    """

    def __init__(self, signs: Callable[[], WorkerSigns], look: Callable[[], Vitals]) -> None:
        self._signs = signs
        self._look = look
        self._leaving = False

    def leave(self) -> None:
        """Not ready from now on: it was told to go. (A worker that drains is not ready, whoever told it.)"""
        self._leaving = True

    def not_live(self) -> str | None:
        """Why it should be ended; None where it is well."""
        signs = self._signs()
        if signs.failed is not None:
            return f"the pump has ended: {signs.failed}"
        if signs.quiet is None:
            return None  # not started yet: whoever starts it knows how long that may take
        if not signs.running:
            return None if self._goes(signs) else "the pump has ended"
        patience = max(signs.patience, _LEAST_PATIENCE)
        if signs.quiet > patience:
            return f"the pump has not turned for {signs.quiet.total_seconds():.1f} s; allowed is {patience}"
        return None

    def troubles(self) -> list[str]:
        """What its roles have to tell: they keep it neither from its life nor from its work."""
        return [f"{role}: {why}" for role, why in self._signs().roles.items() if why is not None]

    def not_ready(self) -> str | None:
        """Why nobody should count on it; None where it works."""
        signs = self._signs()
        if self._goes(signs):
            return "draining"
        if signs.quiet is None:
            return "not started yet"
        if (why := self.not_live()) is not None:
            return why
        try:
            found = self._look()
        except Exception as error:  # of whatever driver: the question is whether the stores answer
            return f"the journal does not answer: {error}"
        return None if found.trouble is None else f"the leases do not answer: {found.trouble}"

    def _goes(self, signs: WorkerSigns) -> bool:
        return self._leaving or signs.draining
