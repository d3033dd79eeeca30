"""What journal leases promise besides (protocol 3.9): they change in the transaction of the entry that changes them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh.errors import RecordedClaim
from squidmesh.ids import ClaimId, claim_hash
from squidmesh.ports.journal_store import Conflict, Group
from squidmesh.ports.lease_backend import Beat, Claim, Handover, Release, Settlement
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.lease_suite import LEASE, SECOND, claim, claim_one, claimed, item, key, keys, listed
from squidmesh.testing.planes import JournalPlane


class JournalLeaseSuite:
    """Provide ``plane``: a journal and its leases, both new and empty."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def plane(self, clock: VirtualClock) -> JournalPlane:
        raise NotImplementedError("a backend's tests provide the fixture `plane`")

    def record(self, plane: JournalPlane, granted: Claim) -> None:
        """What a worker's commit of ``AttemptClaimed`` does to the agenda."""
        plane.write(granted.item, put=[plane.claimed_row(item("ring"), granted)])

    def test_leases_stand_in_the_journal(self, plane: JournalPlane) -> None:
        assert plane.leases.in_journal
        assert plane.leases.kind == "journal"
        assert plane.leases.marker() is None

    def test_an_offer_is_the_agenda_row(self, plane: JournalPlane) -> None:
        plane.leases.offer([item("ring")])
        assert claim(plane).claims == ()

        plane.write(key("ring"), put=[plane.row(item("ring"))])
        assert claimed(claim(plane)) == keys("ring")

    def test_recording_a_claim_leaves_its_lease_as_it_is(self, plane: JournalPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        self.record(plane, granted)

        assert claim(plane).claims == ()
        assert plane.leases.heartbeat([granted]) == [Beat.EXTENDED]
        clock.advance(LEASE)
        assert claim_one(plane, "sam@2").fence == granted.fence + 1

    def test_a_takeover_that_was_not_recorded_can_be_given_back(self, plane: JournalPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        self.record(plane, claim_one(plane, "frodo@1"))
        clock.advance(LEASE)
        plane.leases.release([Release(claim=claim_one(plane, "sam@1"))])

        assert claim_one(plane, "gandalf@1").fence == 3

    def test_a_conflict_changes_no_lease(self, plane: JournalPlane) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, lembas = claim(plane).claims
        late = plane.group(ring.item, leases=[Settlement(claim=ring), Release(claim=lembas)])
        plane.write(ring.item)  # somebody else was faster

        (answer,) = plane.journal.commit([late])

        assert isinstance(answer, Conflict)
        assert plane.leases.heartbeat([ring, lembas]) == [Beat.EXTENDED, Beat.EXTENDED]

    def test_a_group_of_several_runs_changes_the_leases_of_all(self, plane: JournalPlane) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, lembas = claim(plane).claims
        both = (
            plane.group(ring.item, remove=[ring.item], leases=[Settlement(claim=ring)]),
            plane.group(lembas.item, remove=[lembas.item], leases=[Settlement(claim=lembas)]),
        )

        plane.journal.commit([Group(appends=both[0].appends + both[1].appends, leases=both[0].leases + both[1].leases)])

        assert plane.leases.heartbeat([ring, lembas]) == [Beat.GONE, Beat.GONE]

    def test_a_release_rides_in_the_commit(self, plane: JournalPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        later = plane.row(item("ring", floor=granted.fence, delay=10 * SECOND))
        plane.write(granted.item, put=[later], leases=[Release(claim=granted, delay=10 * SECOND)])

        assert plane.leases.heartbeat([granted]) == [Beat.LOST]
        assert claim(plane).next_due == 10 * SECOND
        clock.advance(10 * SECOND)
        assert claim_one(plane).fence == granted.fence + 1

    def test_a_release_as_another_claim_rides_in_the_commit(self, plane: JournalPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane, "gollum@1")
        frodo = RecordedClaim(owner="frodo@1", claim_hash=claim_hash("f:0"), generation=0, fence=4, lease=LEASE)
        plane.write(granted.item, leases=[Release(claim=granted, as_claim=frodo)])

        assert claim(plane).claims == ()
        clock.advance(LEASE)
        assert claim_one(plane).fence == 5

    def test_a_row_that_is_removed_takes_its_lease_along(self, plane: JournalPlane, clock: VirtualClock) -> None:
        """A cancel, say: nobody settles."""
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.write(granted.item, remove=[granted.item])

        assert plane.leases.heartbeat([granted]) == [Beat.GONE]
        assert claim(plane).next_due is None
        assert plane.leases.stats(["default"])[0].leased == 0

    def test_a_later_generation_is_free_of_the_lease_of_an_earlier_one(self, plane: JournalPlane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.publish(item("ring", generation=1, floor=granted.fence))

        assert plane.leases.heartbeat([granted]) == [Beat.LOST]
        again = claim_one(plane)
        assert (again.generation, again.fence) == (1, granted.fence + 1)

    def test_nothing_is_handed_over_that_is_not_on_the_agenda(self, plane: JournalPlane) -> None:
        plane.publish(item("ring"))
        handover = Handover(item=item("moria"), claim_id=ClaimId("next:0"), fence=1)
        plane.leases.settle([Settlement(claim=claim_one(plane), handover=handover)])

        assert [one.key for one in listed(plane)] == keys("ring")
        assert plane.leases.stats(["default"])[0].leased == 0

    def test_an_item_keeps_its_place_when_its_row_is_written_again(self, plane: JournalPlane) -> None:
        plane.publish(item("ring"), item("lembas"))
        plane.publish(item("ring"))

        assert claimed(claim(plane)) == keys("ring", "lembas")

    def test_a_row_that_was_moved_to_later_is_not_claimed_before(
        self, plane: JournalPlane, clock: VirtualClock
    ) -> None:
        """I7."""
        plane.publish(item("ring"))
        plane.publish(item("ring", delay=5 * SECOND))

        assert claim(plane).claims == ()
        clock.advance(timedelta(seconds=5))
        assert claimed(claim(plane)) == keys("ring")
