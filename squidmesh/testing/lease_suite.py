"""What every lease backend promises, on every plane. A backend's tests subclass this and provide ``plane``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count

import pytest
from msgspec import structs

from squidmesh.errors import RecordedClaim, UsageError
from squidmesh.ids import AttemptKey, ClaimId, attempt_key, claim_hash, derived_id
from squidmesh.ports.lease_backend import Beat, Claim, Grants, Handover, Item, QueueStats, Release, Settlement
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.planes import Plane
from squidmesh.testing.threads import together

SECOND = timedelta(seconds=1)
LEASE = 60 * SECOND
NONE = timedelta(0)

_requests = count()


def key(name: str) -> AttemptKey:
    return attempt_key(derived_id("thread", name), "pack", 1)


def item(
    name: str,
    *,
    queue: str = "default",
    priority: int = 5,
    delay: timedelta = NONE,
    floor: int = 0,
    generation: int = 0,
    recorded: RecordedClaim | None = None,
    concurrency: tuple[str, int] | None = None,
) -> Item:
    """``concurrency``: key and limit."""
    return Item(
        key=key(name),
        queue=queue,
        priority=priority,
        delay=delay,
        floor=floor,
        generation=generation,
        recorded=recorded,
        concurrency_key=concurrency[0] if concurrency else None,
        concurrency_limit=concurrency[1] if concurrency else None,
    )


def claim(
    plane: Plane,
    *queues: str,
    owner: str = "sam@1",
    limit: int = 10,
    lease: timedelta = LEASE,
    request: str | None = None,
    only: str | None = None,
    skip: Sequence[str] = (),
) -> Grants:
    return plane.leases.claim(
        queues or ("default",),
        owner=owner,
        limit=limit,
        lease=lease,
        request_id=request or f"request-{next(_requests)}",
        item=None if only is None else key(only),
        skip=skip,
    )


def claim_one(plane: Plane, owner: str = "sam@1", *, lease: timedelta = LEASE) -> Claim:
    (granted,) = claim(plane, owner=owner, lease=lease).claims
    return granted


def listed(plane: Plane, queue: str = "default", *, page: int = 1000) -> list[Item]:
    """All items of the queue, each once, read page by page."""
    found: dict[AttemptKey, Item] = {}
    after: str | None = None
    for _ in range(10_000):
        read = plane.leases.items(queue, after=after, limit=page)
        found |= {one.key: one for one in read.items}
        after = read.next
        if after is None:
            return list(found.values())
    raise AssertionError("the pages never end")


def claimed(grants: Grants) -> list[AttemptKey]:
    return [granted.item for granted in grants.claims]


def keys(*names: str) -> list[AttemptKey]:
    return [key(name) for name in names]


class LeaseBackendSuite:
    """Provide ``plane``: a new, empty backend, behind one of :mod:`squidmesh.testing.planes`; and :meth:`stored`."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def plane(self, clock: VirtualClock) -> Plane:
        raise NotImplementedError("a backend's tests provide the fixture `plane`")

    def stored(self, plane: Plane) -> str:
        """Everything that the backend keeps, as text, for the search after secrets."""
        raise NotImplementedError("a backend's tests say what it keeps")

    # ---------------------------------------------------------------------------------------------------- takeover

    def test_when_an_owner_dies_its_lease_ends_and_another_claims_with_a_greater_fence(
        self, plane: Plane, clock: VirtualClock
    ) -> None:
        plane.publish(item("ring"))
        dead = claim_one(plane, "frodo@1")
        assert claim(plane, owner="sam@1").claims == ()

        clock.advance(LEASE)
        taken_over = claim_one(plane, "sam@1")

        assert taken_over.item == dead.item
        assert taken_over.fence > dead.fence
        assert plane.leases.heartbeat([dead, taken_over]) == [Beat.LOST, Beat.EXTENDED]

    def test_an_item_has_at_most_one_live_lease(self, plane: Plane, clock: VirtualClock) -> None:
        """I6."""
        plane.publish(item("ring"))
        claim_one(plane, "frodo@1")

        for _ in range(3):
            clock.advance(LEASE / 4)
            assert claim(plane, owner="sam@1").claims == ()
            assert claim(plane, owner="frodo@1").claims == ()

    def test_fences_never_repeat(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        fences = []
        for turn in range(6):
            granted = claim_one(plane, f"owner@{turn}")
            fences.append(granted.fence)
            if turn % 2:
                plane.leases.release([Release(claim=granted)])
            else:
                clock.advance(LEASE)

        assert fences == sorted(set(fences))

    def test_a_fence_is_above_the_floor_of_its_item(self, plane: Plane) -> None:
        """Protocol 3.5.1: also for a backend that counts from nothing."""
        plane.publish(item("ring", floor=41))

        assert claim_one(plane).fence == 42

    # ------------------------------------------------------------------------------------------------------- order

    def test_order_is_priority_then_visibility_then_arrival(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(
            item("late", priority=5, delay=3 * SECOND),
            item("first-come", priority=5, delay=2 * SECOND),
            item("second-come", priority=5, delay=2 * SECOND),
            item("unimportant", priority=9),
            item("important", priority=0, delay=4 * SECOND),
        )
        clock.advance(10 * SECOND)

        expected = keys("important", "first-come", "second-come", "late", "unimportant")
        assert claimed(claim(plane, limit=2)) + claimed(claim(plane, limit=1)) == expected[:3]
        assert claimed(claim(plane)) == expected[3:]

    def test_an_item_whose_lease_ended_goes_back_to_its_place(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        claim_one(plane)
        clock.advance(LEASE)
        plane.publish(item("lembas"))

        assert claimed(claim(plane)) == keys("ring", "lembas")

    def test_nothing_is_claimed_before_it_is_visible(self, plane: Plane, clock: VirtualClock) -> None:
        """I7."""
        plane.publish(item("ring", delay=10 * SECOND))
        assert claim(plane).claims == ()
        clock.advance(10 * SECOND - timedelta(microseconds=1))
        assert claim(plane).claims == ()

        clock.advance(timedelta(microseconds=1))

        assert claimed(claim(plane)) == keys("ring")

    def test_an_urgent_item_that_is_delayed_holds_nothing_up(self, plane: Plane) -> None:
        plane.publish(item("urgent", priority=0, delay=SECOND), item("calm", priority=9))

        assert claimed(claim(plane)) == keys("calm")

    def test_items_of_skipped_steps_are_passed_over_and_stay_for_others(self, plane: Plane) -> None:
        strange = structs.replace(item("ring"), key=attempt_key(derived_id("thread", "ring"), "smelt", 1))
        plane.publish(strange, item("sword"))
        assert claimed(claim(plane, limit=1, skip=["smelt"])) == keys("sword")
        assert claimed(claim(plane, skip=["smelt", "forge"])) == []
        assert claimed(claim(plane, skip=["forge"])) == [strange.key]

    def test_no_more_than_the_limit_is_granted(self, plane: Plane) -> None:
        plane.publish(*(item(f"orc-{number}") for number in range(5)))

        assert claimed(claim(plane, limit=0)) == []
        assert claimed(claim(plane, limit=2)) == keys("orc-0", "orc-1")
        assert claimed(claim(plane, limit=9)) == keys("orc-2", "orc-3", "orc-4")
        assert claimed(claim(plane, limit=9)) == []

    # ------------------------------------------------------------------------------------------------------ queues

    def test_only_the_named_queues_are_claimed_from(self, plane: Plane) -> None:
        plane.publish(item("ring", queue="mordor"), item("lembas"))

        grants = claim(plane, "default", "rohan")

        assert [(granted.item, granted.queue) for granted in grants.claims] == [(key("lembas"), "default")]
        assert claimed(claim(plane, "mordor")) == keys("ring")

    def test_queues_are_served_in_turns(self, plane: Plane) -> None:
        """A full queue does not keep another one from being served, however small the limit."""
        for queue in ("gondor", "rohan"):
            plane.publish(*(item(f"{queue}-{number}", queue=queue) for number in range(8)))

        four = claim(plane, "gondor", "rohan", limit=4)
        ones = [granted.queue for _ in range(4) for granted in claim(plane, "gondor", "rohan", limit=1).claims]

        assert sorted(granted.queue for granted in four.claims) == ["gondor", "gondor", "rohan", "rohan"]
        assert set(ones) == {"gondor", "rohan"}
        of_gondor = [granted.item for granted in four.claims if granted.queue == "gondor"]
        assert of_gondor == keys("gondor-0", "gondor-1")

    def test_what_one_queue_does_not_need_another_one_gets(self, plane: Plane) -> None:
        plane.publish(item("beacon", queue="gondor"), *(item(f"rider-{n}", queue="rohan") for n in range(4)))

        assert sorted(claimed(claim(plane, "gondor", "rohan", limit=4))) == sorted(
            keys("beacon", "rider-0", "rider-1", "rider-2")
        )

    # -------------------------------------------------------------------------------------------- one certain item

    def test_one_certain_item_may_be_claimed(self, plane: Plane) -> None:
        plane.publish(item("lembas"), item("ring"))

        assert claimed(claim(plane, only="ring")) == keys("ring")
        assert claimed(claim(plane, only="ring")) == []
        assert claimed(claim(plane)) == keys("lembas")

    def test_a_certain_item_is_claimed_by_the_same_rules(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("late", delay=SECOND), item("ring", queue="mordor"))

        assert claim(plane, only="late").claims == ()
        assert claim(plane, only="ring").claims == ()
        assert claim(plane, only="nothing").claims == ()
        clock.advance(SECOND)
        assert claimed(claim(plane, only="late")) == keys("late")

    # ---------------------------------------------------------------------------------------------------- requests

    def test_the_same_request_again_gets_the_same_claims(self, plane: Plane, clock: VirtualClock) -> None:
        """Protocol 3.5.7: the answer was lost, the claims were not."""
        plane.publish(*(item(f"orc-{number}", priority=number) for number in range(3)))
        first = claim(plane, limit=2, request="r")
        clock.advance(LEASE / 2)

        again = claim(plane, limit=2, request="r")

        assert len(first.claims) == 2
        assert again.claims == first.claims
        assert [granted.fence for granted in again.claims] == [granted.fence for granted in first.claims]
        assert claimed(claim(plane)) == keys("orc-2")

    def test_a_request_is_repeated_by_its_owner_only(self, plane: Plane) -> None:
        plane.publish(item("ring"), item("lembas"))
        claim(plane, limit=1, owner="frodo@1", request="r")

        assert claimed(claim(plane, limit=1, owner="sam@1", request="r")) == keys("lembas")

    def test_a_request_that_is_repeated_after_its_lease_is_a_new_one(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        (first,) = claim(plane, request="r").claims
        clock.advance(LEASE)

        (second,) = claim(plane, request="r").claims

        assert second.fence > first.fence

    def test_claim_ids_are_the_request_id_and_a_number(self, plane: Plane) -> None:
        plane.publish(item("ring"), item("lembas"))

        granted = claim(plane, request="a-request").claims

        assert [one.claim_id for one in granted] == ["a-request:0", "a-request:1"]
        assert {(one.owner, one.lease, one.incarnation) for one in granted} == {
            ("sam@1", LEASE, plane.leases.incarnation("default"))
        }

    def test_no_claim_id_is_stored_or_shown(self, plane: Plane) -> None:
        """I19, protocol 3.5.8."""
        plane.publish(item("ring"))
        (granted,) = claim(plane, request="the-secret-request").claims

        assert "the-secret-request" not in self.stored(plane)
        assert "the-secret-request" not in f"{granted!r} {granted}"
        assert granted.item in self.stored(plane)

    # -------------------------------------------------------------------------------------------------- heartbeats

    def test_a_heartbeat_extends_the_lease_to_its_full_length(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        for _ in range(5):
            clock.advance(LEASE * 0.9)
            assert plane.leases.heartbeat([granted]) == [Beat.EXTENDED]

        clock.advance(LEASE * 0.9)
        assert claim(plane, owner="gollum@1").claims == ()
        clock.advance(LEASE * 0.1)
        assert claimed(claim(plane, owner="gollum@1")) == keys("ring")

    def test_a_lease_that_ended_is_not_revived(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        clock.advance(LEASE)

        assert plane.leases.heartbeat([granted]) == [Beat.LOST]
        assert claimed(claim(plane)) == keys("ring")

    def test_a_lease_that_was_released_is_lost(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.leases.release([Release(claim=granted)])

        assert plane.leases.heartbeat([granted]) == [Beat.LOST]

    def test_a_settled_item_is_gone(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.settle(Settlement(claim=granted))

        assert plane.leases.heartbeat([granted]) == [Beat.GONE]
        clock.advance(2 * LEASE)
        assert claim(plane).claims == ()

    def test_an_unknown_item_is_gone(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        unknown = Claim(
            item=key("nothing"),
            queue="default",
            owner="sam@1",
            claim_id=ClaimId("nothing:0"),
            generation=0,
            fence=1,
            lease=LEASE,
            incarnation=granted.incarnation,
        )

        assert plane.leases.heartbeat([unknown]) == [Beat.GONE]

    def test_heartbeats_are_answered_in_order(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(*(item(f"orc-{number}") for number in range(4)))
        settled, lost, *live = claim(plane).claims
        plane.settle(Settlement(claim=settled))
        plane.leases.release([Release(claim=lost)])

        answers = plane.leases.heartbeat([live[0], lost, settled, live[1]])

        assert answers == [Beat.EXTENDED, Beat.LOST, Beat.GONE, Beat.EXTENDED]
        assert plane.leases.heartbeat([]) == []

    def test_claim_id_and_fence_must_both_match(self, plane: Plane, clock: VirtualClock) -> None:
        """Protocol 3.5.3."""
        plane.publish(item("ring"))
        (old,) = claim(plane, request="r").claims
        clock.advance(LEASE)
        (new,) = claim(plane, request="r").claims  # the same claim id, another fence
        forged = Claim(
            item=new.item,
            queue=new.queue,
            owner=new.owner,
            claim_id=ClaimId("forged:0"),
            generation=new.generation,
            fence=new.fence,
            lease=new.lease,
            incarnation=new.incarnation,
        )

        assert plane.leases.heartbeat([old, forged, new]) == [Beat.LOST, Beat.LOST, Beat.EXTENDED]
        plane.leases.release([Release(claim=old), Release(claim=forged)])
        plane.leases.settle([Settlement(claim=old), Settlement(claim=forged)])
        clock.advance(LEASE / 2)
        assert plane.leases.heartbeat([new]) == [Beat.EXTENDED]
        clock.advance(LEASE / 2)
        assert plane.leases.heartbeat([old, forged]) == [Beat.LOST, Beat.LOST]
        clock.advance(LEASE / 2)
        assert claimed(claim(plane)) == keys("ring"), "only its own heartbeats extend a lease"

    # ------------------------------------------------------------------------------------------------------ settle

    def test_a_settled_item_is_never_delivered_again(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        plane.settle(Settlement(claim=claim_one(plane)))

        clock.advance(2 * LEASE)

        assert claim(plane).claims == ()
        assert listed(plane) == []

    def test_a_lease_that_ended_may_be_settled_while_nobody_took_over(self, plane: Plane, clock: VirtualClock) -> None:
        """Protocol 3.5.3: what makes a claim stale is a newer one, not the clock."""
        plane.publish(item("ring"))
        granted = claim_one(plane)
        clock.advance(2 * LEASE)

        plane.settle(Settlement(claim=granted))

        assert claim(plane).claims == ()

    def test_a_settlement_brings_new_work(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)

        plane.settle(Settlement(claim=granted, offers=(item("moria"), item("mordor", delay=SECOND))))

        assert claimed(claim(plane)) == keys("moria")
        clock.advance(SECOND)
        assert claimed(claim(plane)) == keys("mordor")

    def test_a_stale_settlement_ends_nothing_but_its_offers_count(self, plane: Plane, clock: VirtualClock) -> None:
        """Protocol 3.5.3: the offers state what the journal holds already."""
        plane.publish(item("ring"))
        stale = claim_one(plane, "frodo@1")
        clock.advance(LEASE)
        current = claim_one(plane, "sam@1")

        plane.settle_stale(Settlement(claim=stale, offers=(item("moria"),)))

        assert plane.leases.heartbeat([current]) == [Beat.EXTENDED]
        assert claimed(claim(plane)) == keys("moria")

    def test_a_hand_over_creates_an_item_that_is_leased_to_the_same_owner(
        self, plane: Plane, clock: VirtualClock
    ) -> None:
        plane.publish(item("pack"))
        granted = claim_one(plane, "sam@1")

        plane.settle(self._handing_over(granted, "moria", fence=1))

        handed_over = _holder("moria", owner="sam@1", claim_id="next:0", fence=1)
        assert claim(plane, owner="gollum@1").claims == ()
        assert plane.leases.heartbeat([granted, handed_over]) == [Beat.GONE, Beat.EXTENDED]
        clock.advance(LEASE)
        taken_over = claim_one(plane, "gollum@1")
        assert (taken_over.item, taken_over.fence) == (key("moria"), 2)

    def test_a_hand_over_raises_the_counter_to_its_fence(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("pack"))
        plane.settle(self._handing_over(claim_one(plane), "moria", fence=7))
        clock.advance(LEASE)

        assert claim_one(plane).fence == 8

    def test_a_stale_settlement_hands_over_all_the_same(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("pack"))
        stale = claim_one(plane, "frodo@1")
        clock.advance(LEASE)
        current = claim_one(plane, "sam@1")

        plane.settle_stale(self._handing_over(stale, "moria", fence=1))

        handed_over = _holder("moria", owner="frodo@1", claim_id="next:0", fence=1)
        assert plane.leases.heartbeat([current, handed_over]) == [Beat.EXTENDED, Beat.EXTENDED]

    def test_a_late_hand_over_takes_no_lease_away(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("pack"))
        granted = claim_one(plane, "frodo@1")
        settlement = self._handing_over(granted, "moria", fence=1)
        plane.settle(settlement)
        clock.advance(LEASE)
        current = claim_one(plane, "sam@1")

        plane.leases.settle([settlement])

        assert plane.leases.heartbeat([current]) == [Beat.EXTENDED]
        clock.advance(LEASE)
        assert claim_one(plane).fence == 3

    def _handing_over(self, granted: Claim, to: str, *, fence: int) -> Settlement:
        return Settlement(claim=granted, handover=Handover(item=item(to), claim_id=ClaimId("next:0"), fence=fence))

    # ----------------------------------------------------------------------------------------------------- release

    def test_a_released_item_is_visible_at_once(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        released = claim_one(plane, "frodo@1")

        plane.leases.release([Release(claim=released)])

        assert claim_one(plane, "sam@1").fence > released.fence

    def test_an_item_may_be_released_for_later(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, _ = claim(plane).claims

        plane.leases.release([Release(claim=ring, delay=10 * SECOND)])

        assert claim(plane).claims == ()
        clock.advance(10 * SECOND)
        assert claimed(claim(plane)) == keys("ring")

    def test_a_release_raises_the_floor(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        plane.leases.release([Release(claim=claim_one(plane), floor=9)])

        assert claim_one(plane).fence == 10

    def test_a_stale_release_changes_nothing(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        stale = claim_one(plane, "frodo@1")
        clock.advance(LEASE)
        current = claim_one(plane, "sam@1")
        other = RecordedClaim(owner="gollum@1", claim_hash=claim_hash("g"), generation=0, fence=9, lease=LEASE)

        plane.leases.release([Release(claim=stale, floor=50), Release(claim=stale, as_claim=other)])

        assert plane.leases.heartbeat([current]) == [Beat.EXTENDED]
        clock.advance(LEASE)
        assert claim_one(plane).fence == current.fence + 1

    def test_a_release_as_another_claim_leaves_the_item_to_that_one(self, plane: Plane, clock: VirtualClock) -> None:
        """Protocol 3.5.2: the journal knows a holder who is probably well."""
        plane.publish(item("ring"))
        refused = claim_one(plane, "gollum@1")
        holder = _holder("ring", owner="frodo@1", claim_id="frodos:0", fence=5, lease=30 * SECOND)

        plane.leases.release([Release(claim=refused, as_claim=_recorded(holder))])

        assert claim(plane, owner="sam@1").claims == ()
        clock.advance(29 * SECOND)
        assert plane.leases.heartbeat([refused, holder]) == [Beat.LOST, Beat.EXTENDED]
        clock.advance(29 * SECOND)
        assert claim(plane, owner="sam@1").claims == ()
        clock.advance(SECOND)
        assert claim_one(plane, "sam@1").fence == 6

    def test_a_release_that_is_repeated_changes_nothing(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        released = claim_one(plane)
        plane.leases.release([Release(claim=released, delay=10 * SECOND)])
        clock.advance(9 * SECOND)
        plane.leases.release([Release(claim=released, delay=10 * SECOND)])
        clock.advance(SECOND)

        assert claimed(claim(plane)) == keys("ring")

    # ------------------------------------------------------------------------------------------------------- hints

    def test_next_due_tells_when_an_item_becomes_visible(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("later", delay=9 * SECOND), item("soon", delay=4 * SECOND, priority=9))
        plane.publish(item("elsewhere", queue="mordor", delay=SECOND))

        assert claim(plane).next_due == 4 * SECOND
        clock.advance(3 * SECOND)
        assert claim(plane).next_due == SECOND
        assert claim(plane, "default", "mordor", limit=1).next_due is None, "the limit was reached"

    def test_next_due_tells_when_a_lease_ends(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("late", delay=2 * LEASE))
        claim(plane, owner="frodo@1")
        clock.advance(10 * SECOND)

        assert claim(plane, owner="sam@1").next_due == LEASE - 10 * SECOND

    def test_next_due_tells_when_a_release_comes_back(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        plane.leases.release([Release(claim=claim_one(plane), delay=7 * SECOND)])

        assert claim(plane).next_due == 7 * SECOND

    def test_next_due_is_unknown_where_there_is_nothing_to_wait_for(self, plane: Plane) -> None:
        plane.publish(item("elsewhere", queue="mordor", delay=SECOND))

        assert claim(plane).next_due is None

    # ------------------------------------------------------------------------------------------------------- lists

    def test_stats_count_what_is_ready_delayed_and_leased(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(*(item(f"orc-{number}") for number in range(5)), item("late", delay=90 * SECOND))
        plane.publish(item("elsewhere", queue="mordor"))
        clock.advance(10 * SECOND)
        first, second, third = claim(plane, limit=3).claims
        plane.leases.release([Release(claim=first, delay=50 * SECOND)])

        assert plane.leases.stats(["default", "nowhere"]) == [
            QueueStats(queue="default", ready=2, delayed=2, leased=2, oldest_ready=10 * SECOND),
            QueueStats(queue="nowhere", ready=0, delayed=0, leased=0, oldest_ready=None),
        ]
        plane.settle(Settlement(claim=second))
        clock.advance(LEASE)
        assert plane.leases.heartbeat([third]) == [Beat.LOST]
        (stats,) = plane.leases.stats(["default"])
        assert (stats.ready, stats.delayed, stats.leased) == (4, 1, 0)

    def test_items_are_listed_page_by_page(self, plane: Plane) -> None:
        plane.publish(*(item(f"orc-{number}", floor=number) for number in range(5)), item("ring", queue="mordor"))
        expected = sorted(key(f"orc-{number}") for number in range(5))

        assert sorted(one.key for one in listed(plane, page=3)) == expected
        assert {one.key: one.floor for one in listed(plane, page=2)} == {key(f"orc-{n}"): n for n in range(5)}
        assert listed(plane, "nowhere") == []

    def test_listed_items_tell_what_was_offered(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring", priority=3, delay=9 * SECOND, floor=4, generation=2))
        clock.advance(2 * SECOND)

        assert listed(plane) == [item("ring", priority=3, delay=7 * SECOND, floor=4, generation=2)]

    def test_a_generation_is_carried_by_the_claim(self, plane: Plane) -> None:
        plane.publish(item("ring", generation=2, floor=4))

        granted = claim_one(plane)

        assert (granted.generation, granted.fence) == (2, 5)

    def test_an_incarnation_has_a_name(self, plane: Plane) -> None:
        assert plane.leases.incarnation("default")
        assert plane.leases.incarnation("default") == plane.leases.incarnation("default")

    # --------------------------------------------------------------------------------------------------- operators

    def test_a_paused_queue_grants_nothing(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring", queue="mordor"), item("lembas"), item("late", queue="mordor", delay=9 * SECOND))
        plane.pause("mordor")
        plane.pause("mordor")

        assert plane.leases.paused(["default", "mordor", "rohan"]) == {"mordor"}
        assert claimed(claim(plane, "default", "mordor", limit=2)) == keys("lembas")
        assert claim(plane, "mordor").claims == ()
        assert claim(plane, "mordor").next_due is None, "time alone changes nothing"
        assert claim(plane, "mordor", only="ring").claims == ()
        plane.resume("mordor")
        assert plane.leases.paused(["default", "mordor", "rohan"]) == frozenset()
        assert claimed(claim(plane, "mordor")) == keys("ring")
        plane.resume("mordor")

    def test_what_is_leased_on_a_paused_queue_goes_on(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, lembas = claim(plane, request="r").claims
        plane.pause("default")

        assert claim(plane, request="r").claims == (ring, lembas), "the answer was lost, the claims were not"
        assert plane.leases.heartbeat([ring, lembas]) == [Beat.EXTENDED, Beat.EXTENDED]
        plane.settle(Settlement(claim=ring))
        plane.leases.release([Release(claim=lembas)])
        assert claim(plane).claims == ()
        plane.resume("default")
        assert claimed(claim(plane)) == keys("lembas")

    def test_stats_count_what_is_paused(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        plane.pause("default")

        assert [one.ready for one in plane.leases.stats(["default"])] == [1]

    # -------------------------------------------------------------------------------------- concurrency limits

    def test_no_more_leases_live_at_once_than_the_limit_of_their_key(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 2)) for n in range(5)), item("sam"))

        granted = claim(plane)
        assert claimed(granted) == keys("frodo-0", "frodo-1", "sam")
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=granted.claims[0]))
        assert claimed(claim(plane)) == keys("frodo-2")
        plane.leases.release([Release(claim=granted.claims[1], delay=SECOND)])
        assert claimed(claim(plane)) == keys("frodo-3")
        assert claim(plane).claims == ()

    def test_a_lease_that_ended_counts_no_more(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(3)))
        dead = claim_one(plane)
        assert claim(plane).claims == ()
        clock.advance(LEASE)

        taken_over = claim_one(plane)
        assert taken_over.item == dead.item
        assert claim(plane).claims == ()
        plane.settle_stale(Settlement(claim=dead))
        assert claim(plane).claims == (), "a stale settlement ends no lease"
        plane.settle(Settlement(claim=taken_over))
        assert claimed(claim(plane)) == keys("frodo-1")

    def test_a_late_settlement_frees_what_waited(self, plane: Plane, clock: VirtualClock) -> None:
        """The lease had ended, nobody had taken over yet."""
        plane.publish(item("frodo-0", concurrency=("frodo", 1)), item("frodo-1", concurrency=("frodo", 1)))
        late = claim_one(plane)
        assert claim(plane).claims == ()
        clock.advance(LEASE)
        plane.settle(Settlement(claim=late))

        assert claimed(claim(plane)) == keys("frodo-1")

    def test_concurrency_keys_are_counted_by_queue(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{q}", queue=q, concurrency=("frodo", 1)) for q in ("gondor", "rohan")))
        plane.publish(item("sam", queue="gondor", concurrency=("sam", 1)))

        assert sorted(claimed(claim(plane, "gondor", "rohan"))) == sorted(keys("frodo-gondor", "frodo-rohan", "sam"))

    def test_what_a_limit_holds_back_keeps_its_place(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(3)))
        granted = claim_one(plane)
        assert claim(plane).claims == ()
        plane.publish(item("sam"), item("urgent", priority=0, concurrency=("frodo", 1)))
        plane.settle(Settlement(claim=granted))

        assert claimed(claim(plane, limit=3)) == keys("urgent", "sam")

    def test_a_crowd_with_one_key_holds_nobody_up(self, plane: Plane) -> None:
        plane.publish(*(item(f"orc-{n}", concurrency=("orc", 1)) for n in range(300)), item("sam", priority=9))
        got = []
        while grants := claim(plane, limit=2).claims:
            got += [granted.item for granted in grants]

        assert sorted(got) == sorted(keys("orc-0", "sam"))

    def test_a_hand_over_counts(self, plane: Plane) -> None:
        plane.publish(item("pack", concurrency=("frodo", 1)), item("other", concurrency=("frodo", 1)))
        packed = claim_one(plane)
        handover = Handover(item=item("ring", concurrency=("frodo", 1)), claim_id=ClaimId("frodos:0"), fence=1)
        plane.settle(Settlement(claim=packed, handover=handover))

        assert claim(plane).claims == ()

    def test_listed_items_tell_their_concurrency(self, plane: Plane) -> None:
        plane.publish(item("ring", concurrency=("frodo", 3)))

        assert listed(plane) == [item("ring", concurrency=("frodo", 3))]

    def test_what_had_a_free_place_in_view_and_goes_lets_the_next_try(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(4)))
        first = claim_one(plane)
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=first))
        plane.withdraw(key("frodo-1"))
        (third,) = claim(plane).claims
        assert third.item == key("frodo-2")
        plane.withdraw(key("frodo-3"))
        plane.settle(Settlement(claim=third))
        assert claim(plane).claims == ()
        assert listed(plane) == []

    def test_a_lease_that_ends_without_a_word_leaves_its_place_to_whom_its_item_is_passed_over_by(
        self, plane: Plane, clock: VirtualClock
    ) -> None:
        """Who has no function for the dead holder's step has one for those that wait behind it."""
        dead_letter_step = structs.replace(item("frodo-0", concurrency=("frodo", 1)), key=attempt_key("r", "smelt", 1))
        plane.publish(dead_letter_step, item("frodo-1", concurrency=("frodo", 1)))
        assert len(claim(plane).claims) == 1
        assert claim(plane, skip=["smelt"]).claims == ()
        clock.advance(LEASE)
        assert claimed(claim(plane, skip=["smelt"])) == keys("frodo-1")

    def test_whoever_waits_longest_for_a_key_goes_first(self, plane: Plane, clock: VirtualClock) -> None:
        for n in range(5):
            plane.publish(item(f"frodo-{n}", concurrency=("frodo", 1)))
            clock.advance(SECOND)
        order = []
        while grants := claim(plane).claims:
            (granted,) = grants
            order.append(granted.item)
            assert claim(plane).claims == ()
            plane.settle(Settlement(claim=granted))
        assert order == keys(*(f"frodo-{n}" for n in range(5)))

    def test_places_are_filled_again_where_limits_of_one_key_differ(self, plane: Plane) -> None:
        """One that may only run as the first comes to its turn at last, and leaves room for two more behind it."""
        plane.publish(*(item(f"f-{n}", concurrency=("frodo", 3)) for n in range(3)))
        live = list(claim(plane).claims)
        plane.publish(item("alone", concurrency=("frodo", 1)))
        plane.publish(*(item(f"f-{n}", concurrency=("frodo", 3)) for n in range(3, 9)))
        assert claim(plane).claims == ()
        for one in list(live):
            plane.settle(Settlement(claim=one))
            live.remove(one)
            live += [granted for _ in range(5) for granted in claim(plane).claims]
            assert len(live) <= 3
        assert len(live) == 3

    def test_a_claim_of_one_item_keeps_its_limit(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(3)))
        first = claim_one(plane)
        assert claim(plane, only="frodo-2").claims == ()
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=first))
        (third,) = claim(plane, only="frodo-2").claims
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=third))
        assert claimed(claim(plane)) == keys("frodo-1")

    def test_a_claim_of_one_item_out_of_turn_takes_no_later_place_from_those_that_wait(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 2)) for n in range(5)))
        first, second = claim(plane).claims
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=first))
        assert claimed(claim(plane, only="frodo-3")) == keys("frodo-3")
        assert claim(plane).claims == ()
        plane.settle(Settlement(claim=second))
        (third,) = claim(plane).claims
        assert third.item == key("frodo-2")
        plane.settle(Settlement(claim=third))
        assert claimed(claim(plane)) == keys("frodo-4")

    def test_what_waits_for_its_key_counts_as_ready(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 1)) for n in range(3)))
        claim_one(plane)
        assert claim(plane).claims == ()
        clock.advance(SECOND)
        (stats,) = plane.leases.stats(["default"])
        assert (stats.ready, stats.leased, stats.oldest_ready) == (2, 1, SECOND)

    def test_many_who_claim_at_once_keep_the_limit(self, plane: Plane) -> None:
        plane.publish(*(item(f"frodo-{n}", concurrency=("frodo", 3)) for n in range(40)))
        answers = together(4, lambda n: claim(plane, owner=f"owner@{n}", limit=20).claims)
        assert sum(map(len, answers)) == 3

    # ------------------------------------------------------------------------------------------------ dead letters

    def test_a_shelved_item_is_gone(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"), item("lembas"))
        ring, lembas = claim(plane).claims

        plane.shelve(ring)

        assert plane.leases.heartbeat([ring, lembas]) == [Beat.GONE, Beat.EXTENDED]
        clock.advance(2 * LEASE)
        assert claimed(claim(plane)) == keys("lembas")

    def test_a_stale_claim_shelves_nothing(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        stale = claim_one(plane)
        clock.advance(LEASE)
        current = claim_one(plane)

        plane.leases.shelve([stale])

        assert plane.leases.heartbeat([current]) == [Beat.EXTENDED]

    def test_nothing_is_adopted_that_was_not_forgotten(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(*(item(f"orc-{number}") for number in range(3)))
        live, settled, ended = claim(plane).claims
        plane.settle(Settlement(claim=settled))
        plane.leases.release([Release(claim=ended)])

        assert plane.leases.adopt([live, settled, ended]) == [Beat.EXTENDED, Beat.GONE, Beat.LOST]
        assert plane.leases.adopt([]) == []
        assert claimed(claim(plane)) == [ended.item]

    # -------------------------------------------------------------------------------------- leases that lapse

    def test_leases_that_end_without_a_word_are_counted(self, plane: Plane, clock: VirtualClock) -> None:
        """3.5.5: the backend's own count, which only makes a suspect of an item."""
        plane.publish(item("ring"))
        counted = []
        for number in range(4):
            counted.append(claim_one(plane, f"sam@{number}").lapsed)
            clock.advance(LEASE)
        assert counted == [0, 1, 2, 3]

    def test_the_same_request_is_told_the_same_count(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        claim_one(plane)
        clock.advance(LEASE)
        first = claim(plane, owner="sam@2", request="again")
        assert claim(plane, owner="sam@2", request="again").claims == first.claims
        assert [granted.lapsed for granted in first.claims] == [1]

    def test_a_release_is_a_word(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring"))
        claim_one(plane)
        clock.advance(LEASE)
        plane.leases.release([Release(claim=claim_one(plane, "sam@2"))])
        assert claim_one(plane, "sam@3").lapsed == 0

    # ----------------------------------------------------------------------------------------------------- the end

    def test_closed_leases_say_so_and_nobody_need_try_again(self, plane: Plane) -> None:
        plane.publish(item("ring"))
        granted = claim_one(plane)
        plane.leases.close()
        uses: list[Callable[[], object]] = [
            lambda: claim(plane),
            lambda: plane.leases.heartbeat([granted]),
            lambda: plane.leases.settle([Settlement(claim=granted)]),
            lambda: plane.leases.release([Release(claim=granted)]),
            lambda: plane.leases.items("default"),
            lambda: plane.leases.stats(["default"]),
        ]
        for use in uses:
            with pytest.raises(UsageError, match="is closed") as refused:
                use()
            assert refused.value.code == "store_closed"
        plane.leases.close()

    # ------------------------------------------------------------------------------------------------- concurrency

    def test_two_owners_never_get_one_item_twice(self, plane: Plane) -> None:
        """I6."""
        crowd = [f"orc-{number}" for number in range(60)]
        plane.publish(*(item(name) for name in crowd))

        def work(worker: int) -> list[AttemptKey]:
            got: list[AttemptKey] = []
            while claims := claim(plane, owner=f"owner@{worker}", limit=4, request=f"r-{worker}-{len(got)}").claims:
                got += [granted.item for granted in claims]
            return got

        got: Sequence[AttemptKey] = [one for part in together(4, work) for one in part]

        assert sorted(got) == sorted(keys(*crowd))

    def test_one_request_that_is_sent_twice_at_once_is_granted_once(self, plane: Plane) -> None:
        plane.publish(*(item(f"orc-{number}") for number in range(20)))

        answers = together(4, lambda _: claim(plane, limit=5, request="r"))

        assert {granted.item for answer in answers for granted in answer.claims} == set(claimed(answers[0]))
        assert len(answers[0].claims) == 5


def _holder(name: str, *, owner: str, claim_id: str, fence: int, lease: timedelta = LEASE) -> Claim:
    """A claim that no call of ``claim`` granted: the journal knows it."""
    return Claim(
        item=key(name),
        queue="default",
        owner=owner,
        claim_id=ClaimId(claim_id),
        generation=0,
        fence=fence,
        lease=lease,
        incarnation="journal",
    )


def _recorded(holder: Claim) -> RecordedClaim:
    return RecordedClaim(
        owner=holder.owner,
        claim_hash=holder.hash,
        generation=holder.generation,
        fence=holder.fence,
        lease=holder.lease,
    )
