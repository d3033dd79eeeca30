"""Which lease backend delivers a mesh's work, and whether it is this process's (protocol 3.9).

The plane is one row of the journal; a backend with a memory of its own carries a marker that says whose it is. Only
those who claim or reconcile join. Two backends that both deliver would do no harm to the journal, where fences decide;
but each attempt might run twice, so whoever has another backend than the plane's is refused.
"""

from __future__ import annotations

import threading

from msgspec import structs

from squidmesh.errors import WrongPlane
from squidmesh.ports.journal_store import JournalStore, Plane
from squidmesh.ports.lease_backend import LeaseBackend, Marker
from squidmesh.ports.observer import Observer
from squidmesh.runtime import chance

_ROUNDS = 100
"""Others who join in the same moment, before this is a fault."""


class Membership:
    """Of one process, in the plane of its journal. Thread-safe."""

    def __init__(self, store: JournalStore, leases: LeaseBackend, observer: Observer) -> None:
        self._store = store
        self._leases = leases
        self._observer = observer
        self._lock = threading.Lock()
        self._epoch: int | None = None

    def epoch(self) -> int:
        """The epoch under which this process claims; joins when it has not, or has left. Raises ``WrongPlane``, or
        what the stores raise.
        """
        epoch = self._epoch
        return self.join() if epoch is None else epoch

    def leave(self) -> None:
        """The journal knows of another epoch: the next claim joins anew."""
        self._epoch = None

    def join(self) -> int:
        """Looks whether this backend is the plane's, makes it so where there is no plane yet or the backend's memory
        is empty, and tells the epoch. A few reads where nothing has changed; a reconciler asks before each pass.
        """
        with self._lock:
            self._epoch = None
            for _ in range(_ROUNDS):
                plane = self._store.plane()
                if plane is None:
                    self._found()
                elif self._is_here(plane):
                    self._epoch = plane.epoch
                    return plane.epoch
            raise WrongPlane("the plane of this mesh does not come to rest; allowed is one lease backend at a time")

    def _found(self) -> None:
        """The first one: from now on there is a plane. Not where this memory belongs to somebody already."""
        if not self._leases.in_journal and self._leases.marker() is not None:
            if self._store.plane() is None:  # else somebody else has founded it in this moment, and marked it
                raise _of_another_mesh(self._leases)
            return
        first = Plane(mesh=chance.new_name(), kind=self._leases.kind, name=self._leases.name, epoch=1)
        self._store.set_plane(None, first)

    def _is_here(self, plane: Plane) -> bool:
        """Whether all is as it should be. Where it was not, but could be mended, it is looked at again."""
        known, marker = recognise(plane, self._leases)
        if not known:
            self._adopt(plane, marker)
        return known

    def _adopt(self, plane: Plane, marker: Marker | None) -> None:
        """The memory is empty, or an older one has come back: it begins a new life. The row first: whoever loses the
        race there looks again, and who dies in between leaves a marker that fits no row, which is adopted again.
        """
        adopted = structs.replace(plane, name=self._leases.name, incarnation=chance.new_name())
        if not self._store.set_plane(plane, adopted):
            return
        self._leases.set_marker(marker, Marker(mesh=plane.mesh, incarnation=adopted.incarnation or ""))
        if plane.incarnation is not None:
            self._observer.notice("lease_backend_adopted", backend=self._leases.name, empty=marker is None)


def recognise(plane: Plane, leases: LeaseBackend) -> tuple[bool, Marker | None]:
    """Whether this backend is the plane's and its memory is the one that is known; and its marker. Where it is empty,
    or an older one has come back, whoever claims next adopts it. ``WrongPlane`` where it may not deliver this mesh's
    work.
    """
    if plane.moving:
        raise WrongPlane(f"this mesh is being moved to {plane.name}; allowed is nobody until that is done")
    if plane.kind != leases.kind:
        raise _elsewhere(plane, leases)
    if leases.in_journal:
        return True, None
    marker = leases.marker()
    if marker is not None and marker.mesh != plane.mesh:
        raise _of_another_mesh(leases)
    if marker is not None and marker.incarnation == plane.incarnation:
        return True, marker
    if plane.name != leases.name and plane.incarnation is not None:
        raise _elsewhere(plane, leases)
    return False, marker


def _of_another_mesh(leases: LeaseBackend) -> WrongPlane:
    return WrongPlane(
        f"{leases.name} works for another mesh; allowed is a memory of this mesh's own, such as another"
        " database number or ?prefix="
    )


def _elsewhere(plane: Plane, leases: LeaseBackend) -> WrongPlane:
    return WrongPlane(
        f"this mesh's work is delivered by {plane.name}, not by {leases.name}; allowed is leases= with that one, or to"
        " move the mesh with squidmesh migrate --leases"
    )
