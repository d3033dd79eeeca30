"""What a lease backend with a memory of its own promises about offers and tombstones (protocol 3.5.6).

Not for journal leases: there the agenda is the offer, and a closed attempt has no row.
"""

from __future__ import annotations

import pytest

from squidmesh.errors import RecordedClaim
from squidmesh.ids import ClaimId, claim_hash
from squidmesh.ports.lease_backend import Beat, Claim, Handover, LeaseBackend, Settlement
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.lease_suite import LEASE, SECOND, claim, claim_one, claimed, item, key, keys
from squidmesh.testing.planes import OfferPlane

_FRODO = RecordedClaim(owner="frodo@1", claim_hash=claim_hash("frodos:0"), generation=0, fence=3, lease=LEASE)


def _frodos_claim(fence: int = 3) -> Claim:
    return Claim(
        item=key("ring"),
        queue="default",
        owner="frodo@1",
        claim_id=ClaimId("frodos:0"),
        generation=0,
        fence=fence,
        lease=LEASE,
        incarnation="another life",
    )


class OfferSuite:
    """Provide ``leases``: a new, empty backend."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def leases(self, clock: VirtualClock) -> LeaseBackend:
        raise NotImplementedError("a backend's tests provide the fixture `leases`")

    @pytest.fixture
    def plane(self, leases: LeaseBackend) -> OfferPlane:
        return OfferPlane(leases)

    def test_leases_stand_apart_from_the_journal(self, leases: LeaseBackend) -> None:
        assert not leases.in_journal

    def test_an_offer_that_is_repeated_changes_nothing(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        clock.advance(SECOND)
        plane.publish(item("ring", delay=9 * SECOND, priority=9))

        assert claimed(claim(plane)) == keys("ring", "lembas")

    def test_a_repeated_offer_neither_ends_nor_extends_a_lease(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        held = claim_one(plane)
        clock.advance(LEASE / 2)
        plane.publish(item("ring"), item("ring", floor=held.fence))

        assert claim(plane).claims == ()
        assert plane.leases.heartbeat([held]) == [Beat.EXTENDED]
        clock.advance(LEASE)
        plane.publish(item("ring", floor=held.fence, recorded=_FRODO))
        assert claimed(claim(plane)) == keys("ring"), "an offer does not revive a lease"

    def test_an_offer_above_the_known_fence_replaces_everything(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        held = claim_one(plane)

        plane.publish(item("ring", queue="mordor", floor=5, delay=SECOND))

        assert plane.leases.heartbeat([held]) == [Beat.LOST]
        assert claim(plane, "default", "mordor").claims == ()
        clock.advance(SECOND)
        assert [(one.queue, one.fence) for one in claim(plane, "default", "mordor").claims] == [("mordor", 6)]

    def test_an_offer_of_a_later_generation_replaces_everything(self, plane: OfferPlane) -> None:
        plane.publish(item("ring", floor=8))
        held = claim_one(plane)
        plane.publish(item("ring", generation=1, floor=held.fence))

        again = claim_one(plane)

        assert plane.leases.heartbeat([held, again]) == [Beat.LOST, Beat.EXTENDED]
        assert (again.generation, again.fence) == (1, held.fence + 1)

    def test_an_offer_with_a_recorded_claim_is_held_by_that_claim(self, plane: OfferPlane, clock: VirtualClock) -> None:
        """Protocol 3.8: a live holder extends it, the end of a dead one's lease is the takeover."""
        plane.publish(item("ring", floor=3, recorded=_FRODO))

        assert claim(plane).claims == ()
        clock.advance(LEASE / 2)
        assert plane.leases.heartbeat([_frodos_claim()]) == [Beat.EXTENDED]
        clock.advance(LEASE)
        assert claim_one(plane).fence == 4

    def test_a_late_offer_does_not_bring_ended_work_back(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        settled = claim_one(plane)
        plane.settle(Settlement(claim=settled))

        plane.publish(item("ring"), item("ring", floor=settled.fence))

        assert claim(plane).claims == ()
        assert plane.leases.heartbeat([settled]) == [Beat.GONE]

    def test_a_later_generation_rises_above_a_tombstone(self, plane: OfferPlane) -> None:
        """A dead letter that an operator sends back to work."""
        plane.publish(item("ring"))
        settled = claim_one(plane)
        plane.settle(Settlement(claim=settled))

        plane.publish(item("ring", generation=1, floor=settled.fence))

        assert claim_one(plane).fence == settled.fence + 1

    def test_a_late_hand_over_does_not_bring_ended_work_back(self, plane: OfferPlane) -> None:
        plane.publish(item("pack"))
        packed = claim_one(plane)
        handover = Handover(item=item("ring"), claim_id=ClaimId("frodos:0"), fence=1)
        plane.settle(Settlement(claim=packed, handover=handover))
        plane.settle(Settlement(claim=_frodos_claim(fence=1)))

        plane.settle(Settlement(claim=packed, handover=handover))

        assert plane.leases.items("default") == []
        assert plane.leases.heartbeat([_frodos_claim(fence=1)]) == [Beat.GONE]

    def test_a_settlement_that_is_repeated_changes_nothing(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        settlement = Settlement(claim=claim_one(plane), offers=(item("moria"),))
        plane.settle(settlement)
        (moria,) = claim(plane).claims

        plane.settle(settlement)

        assert plane.leases.heartbeat([moria]) == [Beat.EXTENDED]
        assert claim(plane).claims == ()

    def test_what_was_forgotten_can_be_settled(self, plane: OfferPlane) -> None:
        """The memory was lost, the journal has the outcome: an offer that is still on its way is no news."""
        plane.settle(Settlement(claim=_frodos_claim()))

        plane.publish(item("ring", floor=3), item("ring"))

        assert claim(plane).claims == ()
        plane.publish(item("ring", floor=4))
        assert claim_one(plane).fence == 5

    def test_tombstones_are_kept_for_two_of_the_longest_leases(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, _ = claim(plane, lease=10 * LEASE).claims
        plane.settle(Settlement(claim=ring))

        clock.advance(19 * LEASE)
        plane.publish(item("ring"))
        assert [one.key for one in plane.leases.items("default")] == keys("lembas")
        clock.advance(2 * LEASE)
        plane.publish(item("ring"))
        assert sorted(one.key for one in plane.leases.items("default")) == sorted(keys("lembas", "ring"))
