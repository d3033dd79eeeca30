"""A backend package: what stands behind a URL scheme (entry-point group ``squidmesh.backends``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from squidmesh.clock import Clock
from squidmesh.ports.journal_store import JournalStore, Wakeup
from squidmesh.ports.lease_backend import LeaseBackend


class Backend(Protocol):
    """One technology at one address. Opening it touches nothing; each method connects when it is called."""

    @property
    def url(self) -> str:
        """The address in full: it names the same store from wherever, and whenever, it is opened again."""
        ...

    def migrate(self) -> list[str]:
        """Brings the schema up to date, creating what is missing; returns the names of the migrations applied."""
        ...

    def journal(self) -> JournalStore:
        """Raises ``SchemaOutOfDate``, ``SchemaTooNew``, ``ForeignStore``, ``StoreDamaged``, ``BackendUnavailable``, or
        ``InvalidUrl``.
        """
        ...

    def leases(self) -> LeaseBackend:
        """The lease backend at this address: journal leases where the journal's own database keeps them."""
        ...

    def wakeup(self, queues: Sequence[str] = ()) -> Wakeup:
        """For one sleeper, who waits for work of these queues and closes it. A backend that can not tell queues apart
        wakes for any.
        """
        ...

    def starts_announced(self) -> Wakeup | None:
        """For one sleeper, who closes it: ends its wait when a transaction of a host's in which runs were started
        (:meth:`JournalStore.joined`) has committed, in whatever process. What is announced between two waits ends the
        next one, and a sleeper who is away for long holds nobody up. None where no host can start runs so: all other
        starts tell the lease backend themselves.
        """
        ...

    def close(self) -> None:
        """Closes all that was handed out and is still open."""
        ...


class BackendFactory(Protocol):
    """What the entry point names. ``clock`` is used by embedded backends only; servers have clocks of their own.

    Raises ``InvalidUrl``. What is relative in the URL is resolved here, and never again.
    """

    def __call__(self, url: str, *, clock: Clock) -> Backend: ...
