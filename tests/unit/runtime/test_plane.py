"""Protocol 3.9: one lease backend delivers a mesh's work, and who has another one is refused."""

import threading
from contextlib import contextmanager

import pytest
from msgspec import structs
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step
from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable, WrongPlane
from squidmesh.ids import ThreadId
from squidmesh.memory import MemoryLeases
from squidmesh.memory.wakeup import MemoryWakeup
from squidmesh.ports.backend import Reading
from squidmesh.ports.bell import Bell
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.ports.lease_backend import Marker
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.plane import Membership
from squidmesh.workflow.registry import Registry
from tests.support.recovery import in_batches
from tests.unit.planning.errand import Errand
from tests.unit.runtime.rig import LEASE, Notices, Port, Rig
from tests.unit.runtime.test_intake import Worker, offered


@pytest.fixture
def rig():
    return Rig()


class Elsewhere(MemoryLeases):
    name = "another memory"


class InTheJournal(MemoryLeases):
    in_journal = True
    kind = "journal"
    name = "the journal"

    def marker(self):
        raise AssertionError("journal leases have none")


def member(rig, leases=None):
    return Membership(rig.store, rig.leases if leases is None else leases, Notices())


def test_the_first_to_claim_founds_the_plane(rig):
    assert rig.membership.epoch() == 1
    plane = rig.journal.plane()
    assert (plane.kind, plane.name, plane.epoch, plane.moving) == ("memory", "memory", 1, False)
    assert rig.leases.inner.marker() == Marker(mesh=plane.mesh, incarnation=plane.incarnation)


def test_journal_leases_need_no_marker(rig):
    assert member(rig, InTheJournal(rig.clock)).epoch() == 1
    assert rig.journal.plane().incarnation is None


def test_the_next_one_finds_all_as_it_should_be(rig):
    rig.membership.join()
    plane, marker = rig.journal.plane(), rig.leases.inner.marker()
    assert member(rig).epoch() == 1
    assert (rig.journal.plane(), rig.leases.inner.marker()) == (plane, marker)


def test_an_epoch_that_is_known_is_not_asked_for(rig):
    rig.membership.epoch()
    asked = dict(rig.store.calls)
    for _ in range(3):
        rig.membership.epoch()
    assert rig.store.calls == asked


def test_who_has_another_kind_of_backend_is_refused(rig):
    rig.membership.join()
    with pytest.raises(WrongPlane, match="delivered by memory, not by the journal; allowed is leases="):
        member(rig, InTheJournal(rig.clock)).epoch()


def test_who_has_another_memory_of_the_same_kind_is_refused(rig):
    """Empty though it is: else two backends would deliver the same work."""
    rig.membership.join()
    other = Elsewhere(rig.clock)
    with pytest.raises(WrongPlane, match="delivered by memory, not by another memory"):
        member(rig, other).epoch()
    assert other.marker() is None


def test_the_same_memory_under_another_name_is_known_by_its_marker(rig):
    rig.membership.join()
    other = Elsewhere(rig.clock)
    other.set_marker(None, rig.leases.inner.marker())
    assert member(rig, other).epoch() == 1


def test_a_memory_that_works_for_another_mesh_is_left_alone(rig):
    theirs = Marker(mesh="mordor", incarnation="1")
    rig.leases.inner.set_marker(None, theirs)
    with pytest.raises(WrongPlane, match="works for another mesh; allowed is"):
        rig.membership.epoch()
    assert rig.leases.inner.marker() == theirs


def test_an_emptied_memory_is_adopted(rig):
    rig.membership.join()
    before = rig.journal.plane()
    rig.leases.inner.forget_everything()
    assert rig.membership.join() == 1
    after = rig.journal.plane()
    assert after.incarnation != before.incarnation
    assert rig.leases.inner.marker() == Marker(mesh=before.mesh, incarnation=after.incarnation)
    assert rig.observer.events == ["lease_backend_adopted"], "of the first time nobody need be told"


def test_an_older_memory_that_came_back_is_adopted(rig):
    rig.membership.join()
    old = rig.leases.inner.marker()
    rig.leases.inner.forget_everything()
    rig.membership.join()
    rig.leases.inner.set_marker(rig.leases.inner.marker(), old)
    rig.membership.join()
    assert rig.leases.inner.marker().incarnation == rig.journal.plane().incarnation != old.incarnation


def test_a_memory_that_another_mesh_has_taken_meanwhile_is_left_alone(rig):
    rig.membership.join()
    plane = rig.journal.plane()
    rig.leases.inner.forget_everything()
    theirs = Marker(mesh="mordor", incarnation="1")
    rig.leases.inner.set_marker(None, theirs)
    with pytest.raises(WrongPlane, match="works for another mesh"):
        rig.membership.join()
    assert (rig.leases.inner.marker(), rig.journal.plane()) == (theirs, plane)


def test_who_found_the_only_memory_taken_may_take_another(rig):
    """No plane is founded on what belongs to another mesh."""
    rig.leases.inner.set_marker(None, Marker(mesh="mordor", incarnation="1"))
    with pytest.raises(WrongPlane):
        rig.membership.epoch()
    assert rig.journal.plane() is None
    assert member(rig, Elsewhere(rig.clock)).epoch() == 1


def test_who_dies_between_the_row_and_the_marker_is_made_up_for(rig):
    rig.leases.fail("set_marker", BackendUnavailable("gone"))
    with pytest.raises(BackendUnavailable):
        rig.membership.epoch()
    assert member(rig).epoch() == 1
    assert rig.leases.inner.marker().incarnation == rig.journal.plane().incarnation


def test_nobody_claims_while_the_mesh_is_moved(rig):
    rig.membership.join()
    plane = rig.journal.plane()
    rig.journal.set_plane(plane, structs.replace(plane, name="redis://there", epoch=2, moving=True))
    assert rig.membership.epoch() == 1, "it has not heard of it yet"
    rig.membership.leave()
    with pytest.raises(WrongPlane, match="is being moved to redis://there"):
        rig.membership.epoch()


def test_a_backend_that_can_not_be_asked_is_no_wrong_one(rig):
    rig.leases.fail("marker", BackendUnavailable("away"))
    with pytest.raises(BackendUnavailable):
        rig.membership.epoch()
    assert rig.membership.epoch() == 1


def test_many_who_join_at_once_agree(rig):
    leases = MemoryLeases(rig.clock)
    start = threading.Barrier(6)
    epochs = []

    def join():
        start.wait()
        epochs.append(Membership(Port(rig.journal), leases, Notices()).join())

    threads = [threading.Thread(target=join) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert epochs == [1] * 6
    plane = rig.journal.plane()
    assert leases.marker() == Marker(mesh=plane.mesh, incarnation=plane.incarnation)


# ------------------------------------------------------------------------------------------------- recording a claim


def moved(rig):
    """What ``migrate --leases`` does to the row, and back again."""
    plane = rig.journal.plane()
    rig.journal.set_plane(plane, structs.replace(plane, epoch=plane.epoch + 1))


def test_a_claim_of_the_old_epoch_is_refused_and_the_next_one_joins_anew(rig):
    rig.start("a")
    worker = Worker(rig, Errand)
    offered(rig)
    grants = worker.ask()
    moved(rig)
    assert worker.take(grants) == [None]
    assert rig.observer.events[-1] == "claim_refused"
    assert rig.revision("a") == 1
    rig.clock.advance(LEASE)
    (assignment,) = worker.take()
    assert assignment is not None
    assert rig.leases.inner.items("slow").items[0].floor == 2
    assert worker.intake.epoch == 2


class Nothing(BaseModel):
    pass


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_what_was_done_under_the_old_epoch_counts_but_nothing_goes_on_from_it(rig, in_the_middle):
    """The step has run. Only the claim on the next one, which comes with its completion, is refused."""

    def walk():
        if in_the_middle:
            moved(rig)

    class Journey(Workflow):
        version = "1"
        go = manual(Nothing)
        first, second = step(walk), step(lambda: None)
        flow = (first >> second,)

    engine = Engine(
        journal=Stores(rig),
        leases=None,
        registry=Registry([Journey]),
        config=MeshConfig(lease=LEASE),
        observer=rig.observer,
        heartbeat_thread=False,
    )
    mesh = Mesh("moved", registry=engine.registry, config=engine.config, open_engine=lambda: engine)
    run = mesh.start_run(Journey)
    in_batches(mesh)
    rig.clock.advance(LEASE)
    in_batches(mesh)
    assert mesh.inspect_run(run.run_id).status == "completed"
    (history,) = rig.journal.read([ThreadRead(thread=ThreadId(run.run_id))], whole=True)
    first_done = next(entry.body for entry in history.tail if b"AttemptCompleted" in entry.body)
    assert (b"AttemptClaimed" in first_done) is not in_the_middle
    assert rig.observer.events == ["claim_refused"] * in_the_middle


class Stores:
    """The rig's ports, as a backend of both."""

    url = "memory://"

    def __init__(self, rig):
        self.journal, self.leases = lambda: rig.journal, lambda: rig.leases.inner

    def wakeup(self, queues=()):
        return MemoryWakeup(Bell())

    def starts_announced(self):
        return None

    def migrations(self, *, every=False):
        return []

    def doctor(self, *, now=None):
        return []

    @contextmanager
    def reading(self):
        yield Reading(journal=self.journal(), leases=self.leases())

    def migrate(self):
        return []

    def close(self):
        """They are the rig's."""
