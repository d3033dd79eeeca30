"""A backend package: what stands behind a URL scheme (entry-point group ``squidmesh.backends``)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from squidmesh.clock import Clock, Instant
from squidmesh.ports.journal_store import JournalStore, Wakeup
from squidmesh.ports.lease_backend import LeaseBackend

Level = Literal["ok", "warning", "refused"]
"""Of a finding. ``warning``: it works, and somebody should know. ``refused``: it does not work like that."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a doctor has looked at: what was ``found`` and what is ``wanted``, in a sentence or a word each.
    ``name``: dotted, stable, for programs. Never a password.
    """

    name: str
    level: Level
    found: str
    wanted: str


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step from schema ``number - 1`` to ``number``. ``sql``: its script, as it stands in its file."""

    number: int
    name: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What stands at an address, for looking only: nobody writes through it. ``journal`` is None where it holds none;
    ``leases`` are those at the same address.
    """

    journal: JournalStore | None
    leases: LeaseBackend


class Backend(Protocol):
    """One technology at one address. Opening it touches nothing; each method connects when it is called."""

    @property
    def url(self) -> str:
        """The address in full: it names the same store from wherever, and whenever, it is opened again."""
        ...

    def migrate(self) -> list[str]:
        """Brings the schema up to date, creating what is missing; returns the names of the migrations applied."""
        ...

    def migrations(self, *, every: bool = False) -> list[Migration]:
        """Those that :meth:`migrate` would apply, in order; ``every``: also those that were applied. Changes nothing,
        and raises what :meth:`migrate` would.
        """
        ...

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        """Looks at what stands there, and changes nothing. Raises nothing: what can not be looked at is a finding, too.
        ``now``: the journal's time, where it is known; a server with a clock of its own tells how far they are apart.
        """
        ...

    def reading(self) -> AbstractContextManager[Reading]:
        """Nothing is made or migrated. Raises what :meth:`journal` would, and ``SchemaOutOfDate`` where that would make
        something.
        """
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


def is_served(backend: Backend) -> bool:
    """Whether another process does its work, so that threads of this one go on while that commits. A backend says so
    by a member of this name; one that does not works in this process.
    """
    return bool(getattr(backend, "is_served", False))


def nobody_listens(journal: JournalStore) -> None:
    """Told to the journal of a mesh whose leases are elsewhere: pumps sleep on the words of that backend, so a journal
    that says words of its own (:meth:`Backend.wakeup`) can spare them. The words of a host's transaction are others.
    """
    spare = getattr(journal, "nobody_listens", None)
    if spare is not None:
        spare()


def tells_at_home(journal: JournalStore) -> bool:
    """Whether a commit that makes work claimable has woken who sleeps on its journal's words in this process when it
    returns. A journal says so by a member of this name.
    """
    return bool(getattr(journal, "tells_at_home", False))


class BackendFactory(Protocol):
    """What the entry point names. ``clock`` is used by embedded backends only; servers have clocks of their own.

    Raises ``InvalidUrl``. What is relative in the URL is resolved here, and never again.
    """

    def __call__(self, url: str, *, clock: Clock) -> Backend: ...
