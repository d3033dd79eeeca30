"""What a lease backend with a memory of its own promises about offers and tombstones (protocol 3.5.6).

Not for journal leases: there the agenda is the offer, and a closed attempt has no row.
"""

from __future__ import annotations

import pytest

from squidmesh.errors import RecordedClaim
from squidmesh.ids import ClaimId, claim_hash
from squidmesh.ports.lease_backend import (
    Beat,
    Claim,
    Cursor,
    Drop,
    Handover,
    Item,
    LeaseBackend,
    Marker,
    Release,
    Settlement,
)
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.lease_suite import LEASE, SECOND, claim, claim_one, claimed, item, key, keys, listed
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
        incarnation="another-life",
    )


class OfferSuite:
    """Provide ``leases``: a new, empty backend; and :meth:`forget`."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def leases(self, clock: VirtualClock) -> LeaseBackend:
        raise NotImplementedError("a backend's tests provide the fixture `leases`")

    @pytest.fixture
    def plane(self, leases: LeaseBackend) -> OfferPlane:
        return OfferPlane(leases)

    def forget(self, leases: LeaseBackend) -> None:
        """The backend loses all that it held, and begins another life."""
        raise NotImplementedError("a backend's tests make it forget")

    def test_leases_stand_apart_from_the_journal(self, leases: LeaseBackend) -> None:
        assert not leases.in_journal

    def test_an_offer_that_is_repeated_changes_nothing(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        clock.advance(SECOND)
        plane.publish(item("ring", delay=9 * SECOND, priority=9))

        assert claimed(claim(plane)) == keys("ring", "lembas")

    def test_an_item_that_comes_twice_in_one_offer_is_there_once(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"), item("lembas"), item("ring", floor=4), item("ring", floor=4, delay=9 * SECOND))

        (ring, lembas) = sorted(claim(plane).claims, key=lambda one: one.fence, reverse=True)
        assert (ring.item, ring.fence) == (key("ring"), 5), "the third stood above the first, the last above none"
        assert lembas.item == key("lembas")
        plane.leases.settle([Settlement(claim=ring), Settlement(claim=ring), Settlement(claim=lembas)])
        plane.publish(item("ring", floor=5), item("lembas", floor=1))
        assert claim(plane).claims == (), "nothing is left of either"

    def test_a_crowd_is_claimed_and_settled_at_once(self, plane: OfferPlane) -> None:
        plane.publish(*(item(f"orc-{n}", concurrency=("orc", 2) if n % 100 == 0 else None) for n in range(1200)))

        granted = claim(plane, limit=900).claims
        assert len({one.item for one in granted}) == 900
        plane.leases.settle([Settlement(claim=one) for one in granted])
        assert plane.leases.heartbeat(granted[:1]) == [Beat.GONE]
        rest = [one for _ in range(8) for one in self._claimed_and_settled(plane)]
        assert len({one.item for one in (*granted, *rest)}) == 1200, "each of them, once"
        assert len(rest) == 300

    @staticmethod
    def _claimed_and_settled(plane: OfferPlane) -> tuple[Claim, ...]:
        granted = claim(plane, limit=900).claims
        plane.leases.settle([Settlement(claim=one) for one in granted])
        return granted

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

        plane.publish(item("ring", floor=5, delay=SECOND, priority=9))

        assert plane.leases.heartbeat([held]) == [Beat.LOST]
        assert listed(plane) == [item("ring", floor=5, delay=SECOND, priority=9)]
        assert claim(plane).claims == ()
        clock.advance(SECOND)
        assert claim_one(plane).fence == 6

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

        assert listed(plane) == []
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
        assert [one.key for one in listed(plane)] == keys("lembas")
        clock.advance(2 * LEASE)
        plane.publish(item("ring"))
        assert sorted(one.key for one in listed(plane)) == sorted(keys("lembas", "ring"))

    # -------------------------------------------------------------------------------------------- another life

    def test_a_lease_of_another_life_is_forgotten(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        before = plane.leases.incarnation("default")
        self.forget(plane.leases)

        assert plane.leases.incarnation("default") != before
        assert plane.leases.heartbeat([granted]) == [Beat.FORGOTTEN]
        assert listed(plane) == [], "a heartbeat alone brings nothing back"

    def test_a_forgotten_lease_is_adopted(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane, "frodo@1")
        self.forget(plane.leases)
        clock.advance(LEASE / 2)

        assert plane.leases.adopt([granted]) == [Beat.EXTENDED]
        plane.publish(item("ring"))  # what a reconciler knew before the claim was recorded
        clock.advance(LEASE * 0.9)
        assert claim(plane, owner="sam@1").claims == ()
        assert plane.leases.heartbeat([granted]) == [Beat.EXTENDED]
        assert plane.leases.adopt([granted]) == [Beat.EXTENDED], "repeated"
        clock.advance(LEASE)
        assert claim_one(plane, "sam@1").fence == granted.fence + 1
        assert plane.leases.adopt([granted]) == [Beat.LOST]

    def test_an_adopted_lease_is_settled_as_any_other(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        self.forget(plane.leases)
        plane.leases.adopt([granted])
        plane.settle(Settlement(claim=granted))

        assert listed(plane) == []
        assert plane.leases.heartbeat([granted]) == [Beat.GONE]
        assert plane.leases.adopt([granted]) == [Beat.GONE]

    def test_no_lease_is_adopted_over_a_live_one(self, plane: OfferPlane) -> None:
        plane.publish(item("ring", floor=4))
        granted = claim_one(plane)
        self.forget(plane.leases)
        plane.publish(item("ring"))
        other = claim_one(plane, "gollum@1")

        assert plane.leases.heartbeat([granted]) == [Beat.LOST]
        assert plane.leases.adopt([granted]) == [Beat.LOST]
        assert plane.leases.heartbeat([other]) == [Beat.EXTENDED]

    def test_no_lease_is_adopted_at_or_below_what_is_known(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, lembas = claim(plane).claims
        self.forget(plane.leases)
        plane.publish(item("ring", floor=ring.fence), item("lembas", generation=1))

        assert plane.leases.heartbeat([ring, lembas]) == [Beat.LOST, Beat.LOST]
        assert plane.leases.adopt([ring, lembas]) == [Beat.LOST, Beat.LOST]
        assert sorted(claimed(claim(plane))) == sorted(keys("ring", "lembas"))

    def test_no_lease_is_adopted_at_or_below_a_tombstone(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        self.forget(plane.leases)
        plane.settle(Settlement(claim=granted))

        assert plane.leases.heartbeat([granted]) == [Beat.GONE]
        assert plane.leases.adopt([granted]) == [Beat.GONE]
        assert listed(plane) == []

    def test_an_adopted_lease_stands_above_an_older_offer(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring", floor=4))
        granted = claim_one(plane, "frodo@1")
        self.forget(plane.leases)
        plane.publish(item("ring", floor=4, priority=9, concurrency=("mordor", 1)), item("orc", priority=7))

        assert plane.leases.adopt([granted]) == [Beat.EXTENDED]
        assert claimed(claim(plane)) == keys("orc")
        clock.advance(LEASE)
        assert claimed(claim(plane)) == keys("orc", "ring"), "the item is what it was offered as"

    # ----------------------------------------------------------------------------------------- ended otherwise

    def test_a_shelved_item_is_not_brought_back(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.shelve(granted)

        plane.publish(item("ring"), item("ring", floor=granted.fence))
        assert claim(plane).claims == ()
        plane.publish(item("ring", generation=1, floor=granted.fence))
        assert claim_one(plane).fence == granted.fence + 1

    def test_an_item_is_dropped_as_it_was_seen(self, plane: OfferPlane) -> None:
        plane.publish(item("lembas"))
        claim_one(plane)
        plane.publish(item("ring", floor=3))
        plane.leases.drop([_drop(item("ring", floor=3)), _drop(item("nothing"))])

        assert [one.key for one in listed(plane)] == keys("lembas")
        plane.publish(item("ring", floor=3))
        assert claim(plane).claims == (), "its tombstone stands"
        plane.publish(item("ring", floor=4))
        assert claimed(claim(plane)) == keys("ring")

    def test_an_item_that_changed_is_not_dropped(self, plane: OfferPlane) -> None:
        plane.publish(item("ring"), item("lembas"))
        seen = listed(plane)
        ring, _ = claim(plane).claims
        plane.publish(item("lembas", generation=1))
        plane.leases.drop([_drop(one) for one in seen])

        assert plane.leases.heartbeat([ring]) == [Beat.EXTENDED]
        assert claimed(claim(plane)) == keys("lembas")

    def test_a_dropped_item_takes_its_lease_along(self, plane: OfferPlane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.leases.drop([_drop(one) for one in listed(plane)])

        assert plane.leases.heartbeat([granted]) == [Beat.GONE]
        clock.advance(LEASE)
        assert claim(plane).claims == ()

    # -------------------------------------------------------------------------------------------- reconciling

    def test_missing_is_what_is_neither_held_nor_buried(self, plane: OfferPlane) -> None:
        plane.publish(item("held"), item("settled"), item("leased"))
        leased = {granted.item: granted for granted in claim(plane, limit=3).claims}
        plane.settle(Settlement(claim=leased[key("settled")]))
        plane.leases.release([Release(claim=leased[key("held")])])

        asked = [
            item("nothing"),
            item("held"),
            item("settled", floor=1),
            item("elsewhere", queue="mordor"),
            item("leased", floor=1),
            item("settled", floor=2),
            item("leased", generation=1, floor=1),
        ]
        assert plane.leases.missing(asked) == keys("nothing", "elsewhere", "settled", "leased")
        assert plane.leases.missing([]) == []

    def test_an_offer_names_what_is_gone(self, plane: OfferPlane) -> None:
        """In the order of the offer; what is known already is not gone."""
        plane.publish(item("settled"), item("held"), item("dropped", queue="mordor"))
        for granted in claim(plane, "default", "mordor", limit=3).claims:
            if granted.item != key("held"):
                plane.settle(Settlement(claim=granted))
        asked = [
            item("dropped", queue="mordor"),
            item("held"),
            item("settled", floor=1),
            item("new"),
            item("settled", floor=2),
        ]
        assert plane.leases.offer(asked) == [key("dropped"), key("settled")]
        assert plane.leases.offer([item("held"), item("new")]) == []

    def test_a_cursor_is_set_by_comparison(self, plane: OfferPlane) -> None:
        leases = plane.leases
        first, second = (_cursor(leases, "default", position) for position in (7, 2**53 + 1))

        assert leases.cursor("default") is None
        assert not leases.set_cursor("default", expected=first, new=second)
        assert leases.set_cursor("default", expected=None, new=first)
        assert leases.set_cursor("default", expected=None, new=first), "repeated"
        assert not leases.set_cursor("default", expected=None, new=second)
        assert leases.cursor("default") == first
        assert leases.set_cursor("default", expected=first, new=second)
        assert leases.cursor("default") == second
        assert leases.cursor("mordor") is None

    def test_a_cursor_is_lost_with_what_it_vouches_for(self, plane: OfferPlane) -> None:
        first = _cursor(plane.leases, "default", 7)
        plane.leases.set_cursor("default", expected=None, new=first)
        self.forget(plane.leases)

        assert plane.leases.cursor("default") is None
        assert not plane.leases.set_cursor("default", expected=None, new=first), "a pass that began in another life"
        assert plane.leases.cursor("default") is None

    def test_a_marker_is_set_by_comparison(self, plane: OfferPlane) -> None:
        leases = plane.leases
        first, second = Marker(mesh="fellowship", incarnation="1"), Marker(mesh="fellowship", incarnation="2")
        assert leases.marker() is None
        assert not leases.set_marker(first, second)
        assert leases.set_marker(None, first)
        assert leases.set_marker(None, first), "repeated"
        assert not leases.set_marker(None, second)
        assert leases.marker() == first
        assert leases.set_marker(first, second)
        assert leases.marker() == second

    def test_a_marker_is_lost_with_the_memory_that_it_marks(self, plane: OfferPlane) -> None:
        plane.leases.set_marker(None, Marker(mesh="fellowship", incarnation="1"))
        self.forget(plane.leases)
        assert plane.leases.marker() is None

    def test_one_sweeps_at_a_time(self, plane: OfferPlane, clock: VirtualClock) -> None:
        leases = plane.leases
        assert leases.sweep_turn("default", owner="sam@1", period=10 * SECOND)
        assert not leases.sweep_turn("default", owner="frodo@1", period=10 * SECOND)
        assert leases.sweep_turn("mordor", owner="frodo@1", period=10 * SECOND)
        clock.advance(6 * SECOND)
        assert leases.sweep_turn("default", owner="sam@1", period=10 * SECOND)
        clock.advance(6 * SECOND)
        assert not leases.sweep_turn("default", owner="frodo@1", period=10 * SECOND)
        clock.advance(4 * SECOND)
        assert leases.sweep_turn("default", owner="frodo@1", period=10 * SECOND)
        assert not leases.sweep_turn("default", owner="sam@1", period=10 * SECOND)

    # -------------------------------------------------------------------------------------- concurrency limits

    def test_claims_of_one_call_have_ids_of_their_own(self, plane: OfferPlane) -> None:
        """Also where a queue grants less than it seemed to have, and another one more for it."""
        for east, west in (("gondor", "rohan"), ("mordor", "shire")):  # the queue that is served first changes
            plane.publish(*(item(f"{east}-{n}", queue=east, concurrency=("frodo", 1)) for n in range(3)))
            plane.publish(*(item(f"{west}-{n}", queue=west) for n in range(5)))

            granted = claim(plane, east, west, limit=6, request=f"{east}-{west}").claims

            assert sorted(one.queue for one in granted) == sorted([east, *[west] * 5])
            assert len({one.claim_id for one in granted}) == 6
            again = claim(plane, east, west, limit=6, request=f"{east}-{west}").claims
            assert {one.claim_id: one.item for one in again} == {one.claim_id: one.item for one in granted}

    def test_what_is_held_back_can_be_dropped(self, plane: OfferPlane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(4)))
        first = claim_one(plane)
        assert claim(plane).claims == ()
        plane.leases.drop([_drop(item("frodo-1", concurrency=("frodo", 1)))])
        plane.settle(Settlement(claim=first))

        (second,) = claim(plane).claims
        assert second.item == key("frodo-2")
        plane.settle(Settlement(claim=second))
        plane.leases.drop([_drop(item("frodo-3"))])
        assert claim(plane).claims == ()
        assert listed(plane) == []


def _drop(seen: Item) -> Drop:
    return Drop(key=seen.key, queue=seen.queue, generation=seen.generation, fence=seen.floor)


def _cursor(leases: LeaseBackend, queue: str, position: int) -> Cursor:
    return Cursor(incarnation=leases.incarnation(queue), token="a-random-token", position=position)
