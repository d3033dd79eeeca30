"""Moving a mesh from one lease backend to another (protocol 3.9), while its runs are open.

Nobody claims in between. What is claimed already may end: to complete needs no plane, only the claim. When the last of
it has ended, or the longest of its leases is over, the new backend takes over: every open attempt is offered to it, a
claimed one as the claim that holds it. Whoever dies on the way leaves the row as *moving*; the same call goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from msgspec import structs

from squidmesh.clock import duration
from squidmesh.errors import WrongPlane
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import JournalStore, Plane
from squidmesh.ports.lease_backend import LeaseBackend, Marker
from squidmesh.runtime import chance
from squidmesh.runtime.engine import Engine

_PAGE = 1000
_LOOK = 0.2
"""Seconds between two looks at what is still claimed."""

Progress = Callable[[str], None]
"""Is told, in a sentence, how far it has come."""


def move(engine: Engine, *, tell: Progress) -> list[str]:
    """Makes the engine's lease backend the one that delivers the mesh's work, and offers it all that is open. What was
    done, in words: nothing where it is that backend already. Raises ``WrongPlane`` where it works for another mesh.
    """
    store, leases = engine.store, engine.leases
    plane = store.plane()
    if plane is None or (not plane.moving and _is(plane, leases)):
        engine.membership.join()
        return []
    _require_free(plane, leases)
    closed = structs.replace(plane, kind=leases.kind, name=leases.name, epoch=plane.epoch + 1, moving=True)
    _set(store, plane, closed)
    tell(f"nobody claims any more; from {plane.name} to {leases.name}")
    _wait_for_claims(store, tell)
    incarnation = _mark(leases, plane.mesh)
    _set(store, closed, structs.replace(closed, epoch=closed.epoch + 1, incarnation=incarnation, moving=False))
    done = engine.reconciler.everything()
    if not leases.in_journal:
        tell(f"{done.offered} open attempts in {done.queues} queues offered")
    return [f"leases: {leases.name}"]


def _is(plane: Plane, leases: LeaseBackend) -> bool:
    if plane.kind != leases.kind:
        return False
    marker = None if leases.in_journal else leases.marker()
    return plane.name == leases.name or (marker is not None and marker.incarnation == plane.incarnation)


def _require_free(plane: Plane, leases: LeaseBackend) -> None:
    marker = None if leases.in_journal else leases.marker()
    if marker is not None and marker.mesh != plane.mesh:
        raise WrongPlane(f"{leases.name} works for another mesh; allowed is a memory that is empty, or this mesh's own")


def _set(store: JournalStore, expected: Plane, new: Plane) -> None:
    if not store.set_plane(expected, new):
        raise WrongPlane("somebody else moves this mesh at the same time; allowed is one move: look, and call again")


def _mark(leases: LeaseBackend, mesh: str) -> str | None:
    """A new life of the new backend's memory, whatever it still knows of an older one."""
    if leases.in_journal:
        return None
    new = Marker(mesh=mesh, incarnation=chance.new_name())
    if not leases.set_marker(leases.marker(), new):
        raise WrongPlane(f"{leases.name} was taken by another mesh in this moment; allowed is a memory of its own")
    return new.incarnation


def _wait_for_claims(store: JournalStore, tell: Progress) -> None:
    """Until what was claimed has ended; at most for the longest of its leases."""
    claimed = {row.item: row for row in _claimed(store)}
    if not claimed:
        return
    longest = max(duration(row.lease or 0) for row in claimed.values())
    tell(f"{len(claimed)} claimed: waiting for them to end, at most {longest.total_seconds():g} s")
    ends = time.monotonic() + longest.total_seconds()
    pause = threading.Event()
    while claimed and time.monotonic() < ends:
        pause.wait(_LOOK)
        now = {row.item: row.claim_hash for row in store.attempts(list(claimed))}
        claimed = {item: row for item, row in claimed.items() if now.get(item) == row.claim_hash}
    tell(f"{len(claimed)} still claimed" if claimed else "nothing is claimed")


def _claimed(store: JournalStore) -> Iterator[AttemptRow]:
    after = ""
    while rows := store.open_attempts(limit=_PAGE, after=after):
        yield from (row for row in rows if row.owner is not None)
        after = rows[-1].item
