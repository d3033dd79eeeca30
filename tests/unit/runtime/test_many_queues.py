"""Thousands of queues: a claim asks those that are due, and a look of the reconciler is over some of them."""

from datetime import timedelta

import pytest

from squidmesh.config import MeshConfig
from squidmesh.memory import MemoryJournal, MemoryLeases
from squidmesh.runtime.asking import FEW, Asking
from squidmesh.runtime.plane import Membership
from squidmesh.runtime.reconcile import Reconciler
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import item
from squidmesh.testing.planes import JournalPlane, OfferPlane

QUEUES = [f"tenant-{n:04}" for n in range(300)]


class Notices:
    def notice(self, event: str, /, **fields: object) -> None:
        pass


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_a_few_queues_are_all_asked(clock: VirtualClock) -> None:
    asking = Asking(MemoryLeases(clock), QUEUES[:FEW])
    asked = asking.asked("r", {QUEUES[3]}, 4)
    assert asked.queues == (*QUEUES[:3], *QUEUES[4:FEW])
    assert asked.rest is None


def test_of_many_queues_those_are_asked_that_are_due_each_in_its_turn(clock: VirtualClock) -> None:
    leases = MemoryLeases(clock)
    OfferPlane(leases).publish(*(item(queue, queue=queue) for queue in [*QUEUES[:40], "elsewhere"]))
    asking = Asking(leases, QUEUES)
    seen: list[str] = []
    for n in range(10):
        asked = asking.asked(f"request-{n}", (), 4)
        assert asked == asking.asked(f"request-{n}", (), 4), "the same request asks the same queues"
        assert (len(asked.queues), asked.rest) == (4, timedelta(0))
        seen += asked.queues
    assert sorted(seen) == QUEUES[:40]


def _reconciler(journal: MemoryJournal, leases: MemoryLeases, clock: VirtualClock, *, sweep: int = 20) -> Reconciler:
    config = MeshConfig(reconcile_every=timedelta(seconds=1), sweep=timedelta(seconds=sweep))
    observer = Notices()
    return Reconciler(
        journal,
        leases,
        Membership(journal, leases, observer),
        config,
        observer,
        owner="reconciler@1",
        monotonic=lambda: clock.now() / 1e6,
    )


def test_what_is_lost_of_many_queues_is_found_within_the_sweeps_period(clock: VirtualClock) -> None:
    """I11, though a look comes to a queue only every quarter of it."""
    journal, leases = MemoryJournal(clock), MemoryLeases(clock)
    JournalPlane(journal, leases).publish(*(item(queue, queue=queue) for queue in QUEUES))
    reconciler = _reconciler(journal, leases, clock, sweep=22)
    for _ in range(45):  # every queue has been swept; cursors and what became due name nothing any more
        reconciler.look()
        clock.advance(timedelta(seconds=1))
    for round_ in range(7):
        for key in list(leases._items)[round_::13]:
            del leases._items[key]
        for _ in range(22 + 1):
            reconciler.look()
            clock.advance(timedelta(seconds=1))
        assert sum(stats.ready for stats in leases.stats(QUEUES)) == len(QUEUES)


def test_a_look_is_over_some_of_many_queues_and_comes_to_all_within_a_quarter_of_a_sweep(clock: VirtualClock) -> None:
    journal, leases = MemoryJournal(clock), MemoryLeases(clock)
    plane = JournalPlane(journal, leases)
    plane.publish(*(item(queue, queue=queue) for queue in QUEUES))
    reconciler = _reconciler(journal, leases, clock)
    looked = []
    for _ in range(5):
        looked.append(reconciler.look().queues)
        clock.advance(timedelta(seconds=1))
    assert looked == [60] * 5
    assert sum(stats.ready for stats in leases.stats(QUEUES)) == len(QUEUES)
