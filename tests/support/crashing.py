"""Both ports, wrapped so that the process dies before or after any chosen call of theirs.

Every call is counted by the wrapper itself, whatever its name, so a call that is added to a port can not be missed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from squidmesh.clock import Instant
from squidmesh.ports.backend import Backend, Finding, Migration, Reading
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.lease_backend import LeaseBackend

PORTS: dict[str, type] = {"journal": JournalStore, "leases": LeaseBackend}


class ProcessDied(BaseException):
    """The process is gone: nothing of it may do anything any more."""


class Plan:
    """``die(place)`` is asked before and after each port call; places are ``journal.commit before`` and the like."""

    def __init__(self, die: Callable[[int, str], bool] = lambda count, place: False) -> None:
        self._die = die
        self.places: list[str] = []
        self.dead = False

    def reach(self, place: str) -> None:
        assert not self.dead, f"{place}: a dead process goes on"
        self.places.append(place)
        if self._die(len(self.places), place):
            self.dead = True
            raise ProcessDied(place)


class Port:
    """Stands in for one port of one process."""

    def __init__(self, name: str, inner: object, plan: Plan) -> None:
        self._name, self._inner, self._plan = name, inner, plan

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "close":
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._plan.reach(f"{self._name}.{name} before")
            answer = found(*args, **kwargs)
            self._plan.reach(f"{self._name}.{name} after")
            return answer

        return call


class CrashingBackend:
    """A backend whose ports follow the plan."""

    def __init__(self, inner: Backend, plan: Plan) -> None:
        self._inner, self._plan = inner, plan

    @property
    def url(self) -> str:
        return self._inner.url

    def journal(self) -> Any:
        return Port("journal", self._inner.journal(), self._plan)

    def leases(self) -> Any:
        return Port("leases", self._inner.leases(), self._plan)

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return self._inner.migrations(every=every)

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        return self._inner.doctor(now=now)

    def reading(self) -> AbstractContextManager[Reading]:
        return self._inner.reading()

    def migrate(self) -> list[str]:
        return self._inner.migrate()

    def wakeup(self, queues: Sequence[str] = ()) -> Any:
        return self._inner.wakeup(queues)

    def starts_announced(self) -> Any:
        return self._inner.starts_announced()

    def close(self) -> None:
        self._inner.close()


def port_methods() -> set[str]:
    """Every method of both ports, as ``journal.commit``."""
    return {
        f"{port}.{name}"
        for port, protocol in PORTS.items()
        for name, member in vars(protocol).items()
        if callable(member) and not name.startswith("_") and name != "close"
    }
