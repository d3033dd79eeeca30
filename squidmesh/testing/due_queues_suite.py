"""What every lease backend promises of many queues, on every plane. A backend's tests subclass this and provide
``plane``, as for :class:`squidmesh.testing.lease_suite.LeaseBackendSuite`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import timedelta

import pytest

from squidmesh.ports.lease_backend import DueQueues, Release
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.lease_suite import LEASE, NONE, SECOND, claim, claimed, item, keys
from squidmesh.testing.planes import Plane


def due(plane: Plane, *prefixes: str, names: Collection[str] = (), limit: int = 100) -> DueQueues:
    return plane.leases.due_queues(names, prefixes, limit=limit)


def queues(plane: Plane, *prefixes: str, names: Collection[str] = (), limit: int = 100) -> list[str]:
    return sorted(due(plane, *prefixes, names=names, limit=limit).queues)


class DueQueuesSuite:
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def plane(self, clock: VirtualClock) -> Plane:
        raise NotImplementedError("a backend's tests provide the fixture `plane`")

    def test_queues_are_found_by_name_and_by_prefix(self, plane: Plane) -> None:
        for queue in ("shire", "gondor", "gondor-2", "gondor.3", "gondolin", "mordor"):
            plane.publish(item(queue, queue=queue))

        assert queues(plane, "gondor") == ["gondor", "gondor-2", "gondor.3"]
        assert queues(plane, "gondor-", names=["shire", "rohan"]) == ["gondor-2", "shire"]
        assert queues(plane, names=["mordor"]) == ["mordor"]
        assert queues(plane, "gondor", "gondor-", names=["gondor", "gondor-2"]) == ["gondor", "gondor-2", "gondor.3"]
        assert queues(plane, "") == ["gondolin", "gondor", "gondor-2", "gondor.3", "mordor", "shire"]

    def test_where_nothing_is_there_is_nothing_due(self, plane: Plane) -> None:
        plane.publish(item("ring", queue="shire"))
        nothing = DueQueues(queues=(), next_due=None)

        assert due(plane, "gondor", names=["mordor"]) == nothing
        assert due(plane) == nothing
        assert due(plane, "", limit=0) == nothing

    def test_a_queue_is_due_when_something_of_it_is_visible(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(
            item("late", queue="q-1", delay=50 * SECOND, priority=1), item("soon", queue="q-1", delay=30 * SECOND)
        )
        plane.publish(item("later", queue="q-2", delay=40 * SECOND))

        assert _settled(plane, "q-") == DueQueues(queues=(), next_due=30 * SECOND)
        clock.advance(30 * SECOND)
        assert due(plane, "q-", names=["q-1"], limit=10) == DueQueues(queues=("q-1",), next_due=10 * SECOND)
        clock.advance(10 * SECOND)
        assert queues(plane, "q-") == ["q-1", "q-2"]

    def test_a_lease_that_ends_makes_its_queue_due(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring", queue="q-1"))
        (granted,) = claim(plane, *queues(plane, "q-")).claims

        assert _settled(plane, "q-") == DueQueues(queues=(), next_due=LEASE)
        clock.advance(LEASE / 2)
        plane.leases.heartbeat([granted])
        clock.advance(LEASE / 2)
        assert _settled(plane, "q-") == DueQueues(queues=(), next_due=LEASE / 2)
        clock.advance(LEASE / 2)
        assert queues(plane, "q-") == ["q-1"]
        assert claimed(claim(plane, "q-1", owner="frodo@1")) == keys("ring")

    def test_a_release_makes_its_queue_due(self, plane: Plane, clock: VirtualClock) -> None:
        plane.publish(item("ring", queue="q-1"), item("lembas", queue="q-2"))
        granted = {one.queue: one for one in claim(plane, *queues(plane, "q-")).claims}
        assert _settled(plane, "q-").queues == ()

        plane.leases.release([Release(claim=granted["q-1"]), Release(claim=granted["q-2"], delay=20 * SECOND)])
        assert due(plane, "q-") == DueQueues(queues=("q-1",), next_due=20 * SECOND)
        claim(plane, "q-1", lease=90 * SECOND)
        assert _settled(plane, "q-") == DueQueues(queues=(), next_due=20 * SECOND)

    def test_new_work_makes_a_queue_due_that_was_found_empty(self, plane: Plane) -> None:
        plane.publish(item("ring", queue="q-1"))
        (granted,) = claim(plane, *queues(plane, "q-")).claims
        assert _settled(plane, "q-").queues == ()

        plane.publish(item("lembas", queue="q-1", delay=NONE))
        assert queues(plane, "q-") == ["q-1"]
        assert claimed(claim(plane, "q-1")) == keys("lembas")
        assert plane.leases.heartbeat([granted])

    def test_a_paused_queue_is_due_when_it_is_resumed(self, plane: Plane) -> None:
        plane.publish(item("ring", queue="q-1"), item("lembas", queue="q-2"))
        plane.pause("q-1")
        claim(plane, *queues(plane, "q-"))

        assert _settled(plane, "q-").queues == ()
        plane.resume("q-1")
        assert queues(plane, "q-") == ["q-1"]
        assert claimed(claim(plane, "q-1")) == keys("ring")

    def test_what_its_concurrency_key_holds_back_is_due_when_there_is_room(self, plane: Plane) -> None:
        plane.publish(*(item(name, queue="q-1", concurrency=("frodo", 1)) for name in ("ring", "lembas")))
        (ring,) = claim(plane, *queues(plane, "q-")).claims
        assert _settled(plane, "q-").queues == ()

        plane.leases.release([Release(claim=ring, delay=20 * SECOND)])
        assert queues(plane, "q-") == ["q-1"]
        assert claimed(claim(plane, "q-1")) == keys("lembas")

    def test_each_queue_has_its_turn(self, plane: Plane) -> None:
        names = [f"tenant-{n:03}" for n in range(40)]
        plane.publish(*(item(name, queue=name) for name in names))

        told: list[str] = []
        for _ in range(16):
            told += due(plane, "tenant-", limit=5).queues
        assert Counter(told) == dict.fromkeys(names, 2)

    def test_a_backlog_does_not_keep_the_others_from_their_turn(self, plane: Plane) -> None:
        plane.publish(*(item(f"much-{n}", queue="crowd") for n in range(60)))
        small = [f"small-{n}" for n in range(12)]
        plane.publish(*(item(f"{name}-{n}", queue=name) for name in small for n in range(3)))

        claims: list[str] = []
        for _ in range(39):
            (queue,) = due(plane, "small-", names=["crowd"], limit=1).queues
            (granted,) = claim(plane, queue, limit=1).claims
            claims.append(granted.queue)
        assert Counter(claims) == {**dict.fromkeys(small, 3), "crowd": 3}
        for begin in (0, 13, 26):
            assert len(set(claims[begin : begin + 13])) == 13, "one each, before anybody has a second one"


def _settled(plane: Plane, *prefixes: str) -> DueQueues:
    """The answer when nothing can be claimed: a queue may be named once more, and be found empty then."""
    for _ in range(3):
        told = due(plane, *prefixes)
        if not told.queues:
            return told
        assert claim(plane, *told.queues, lease=timedelta(seconds=1)).claims == ()
    raise AssertionError(f"{told.queues} are named again and again, and there is nothing in them")
