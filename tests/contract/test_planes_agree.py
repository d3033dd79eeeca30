"""Whatever is done, in whatever order: all planes answer as memory does, and keep I6, I7 and growing fences."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis import Redis
from squidmesh_redis import RedisBackend
from squidmesh_sqlite import backend as sqlite

from squidmesh.memory import backend as memory
from squidmesh.ports.lease_backend import Beat, Claim, Drop, Release, Settlement
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import claim, item, listed
from squidmesh.testing.planes import JournalPlane, OfferPlane, Plane
from squidmesh.testing.servers import Server
from tests.support import postgres_world
from tests.support.parts import aside
from tests.support.postgres_world import Emptied
from tests.support.redises import NOW, ServerClock, left_behind, started

SECONDS = st.integers(0, 40).map(lambda seconds: timedelta(seconds=seconds))
QUEUES = st.sampled_from(["gondor", "rohan"])
BOTH = ("gondor", "rohan")


def told(granted: Claim) -> tuple[object, ...]:
    return granted.item, granted.queue, granted.owner, granted.generation, granted.fence, granted.claim_id


class Planes(RuleBasedStateMachine):
    """One plane beside memory, which says how it should be. Subclasses open and close it."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.clock, plane = self.open()
        self.planes: tuple[Plane, Plane] = (plane, OfferPlane(memory("memory://", clock=self.clock).leases()))
        self.numbers = 0
        self.visible_at: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.leased_until: dict[str, int] = {}
        self.last: dict[str, Claim] = {}

    def open(self) -> tuple[VirtualClock, Plane]:
        raise NotImplementedError

    def both(self, ask):
        told, memories = (ask(plane) for plane in self.planes)
        assert told == memories
        return told

    @rule(queue=QUEUES, priority=st.integers(0, 9), delay=SECONDS, floor=st.integers(0, 3))
    def publish(self, queue, priority, delay, floor):
        self.numbers += 1
        work = item(f"orc-{self.numbers}", queue=queue, priority=priority, delay=delay, floor=floor)
        self.visible_at[work.key] = self.clock.now() + delay // timedelta(microseconds=1)
        self.fences[work.key] = floor
        for plane in self.planes:
            plane.publish(work)

    @rule(by=SECONDS)
    def advance(self, by):
        self.clock.advance(by)

    @rule(target=claims, queues=st.sampled_from([("gondor",), ("rohan",), BOTH]), lease=st.integers(1, 30))
    def claim(self, queues, lease):
        self.numbers += 1
        length = timedelta(seconds=lease)
        grants = [
            claim(plane, *queues, owner="sam@1", limit=1000, lease=length, request=f"r-{self.numbers}")
            for plane in self.planes
        ]
        told, memories = ({granted.item: granted.fence for granted in grant.claims} for grant in grants)
        assert told == memories
        assert grants[0].next_due == grants[1].next_due
        now = self.clock.now()
        for granted in grants[0].claims:
            assert self.visible_at[granted.item] <= now, "I7"
            assert self.leased_until.get(granted.item, 0) <= now, "I6"
            assert granted.fence > self.fences[granted.item]
            self.fences[granted.item] = granted.fence
            self.leased_until[granted.item] = now + lease * 1_000_000
            self.last[granted.item] = granted
        # The order of what was released for later may differ, and with it the claim ids: they go in pairs.
        of_memory = {granted.item: granted for granted in grants[1].claims}
        return multiple(*((granted, of_memory[granted.item]) for granted in grants[0].claims))

    @rule(pair=claims)
    def heartbeat(self, pair: tuple[Claim, Claim]):
        beats = [plane.leases.heartbeat([granted]) for plane, granted in zip(self.planes, pair, strict=True)]
        assert beats[0] == beats[1]
        granted = pair[0]
        current = self.last.get(granted.item) is granted and self.leased_until[granted.item] > self.clock.now()
        assert (beats[0] == [Beat.EXTENDED]) == current
        if current:
            self.leased_until[granted.item] = self.clock.now() + granted.lease // timedelta(microseconds=1)

    @rule(pair=claims, delay=SECONDS, floor=st.integers(0, 20))
    def release(self, pair: tuple[Claim, Claim], delay, floor):
        for plane, granted in zip(self.planes, pair, strict=True):
            plane.leases.release([Release(claim=granted, delay=delay, floor=floor)])
        granted = pair[0]
        if self.last.get(granted.item) is granted:
            del self.last[granted.item]
            self.leased_until[granted.item] = self.clock.now()
            self.visible_at[granted.item] = self.clock.now() + delay // timedelta(microseconds=1)
            self.fences[granted.item] = max(self.fences[granted.item], floor)

    @rule(pair=consumes(claims))
    def settle(self, pair: tuple[Claim, Claim]):
        current = self.last.get(pair[0].item) is pair[0]
        for plane, granted in zip(self.planes, pair, strict=True):
            (plane.settle if current else plane.settle_stale)(Settlement(claim=granted))
        if current:
            self.last.pop(pair[0].item)

    @invariant()
    def the_same_is_counted(self):
        self.both(lambda plane: [(one.queue, one.ready, one.delayed, one.leased) for one in plane.leases.stats(BOTH)])
        self.both(lambda plane: sorted((one.key, one.priority) for queue in BOTH for one in listed(plane, queue)))


class JournalLeases(Planes):
    def open(self):
        self.folder = TemporaryDirectory()
        clock = VirtualClock()
        self.store = sqlite(f"sqlite:///{Path(self.folder.name) / 'mesh.db'}", clock=clock)
        return clock, JournalPlane(self.store.journal(), self.store.leases())

    def teardown(self):
        self.store.close()
        self.folder.cleanup()


class PostgresLeases(Planes):
    database: Emptied

    def open(self):
        self.database.empty()
        clock = postgres_world.ServerClock(self.database.owner)
        self.store = postgres_world.backend_of(self.database.url, clock)
        return clock, JournalPlane(self.store.journal(), self.store.leases())

    def teardown(self):
        self.store.close()


class RedisLeases(Planes):
    """With what only a backend of its own is asked: concurrency limits, and offers that are repeated."""

    server: Server

    def open(self):
        self.redis = Redis.from_url(self.server.url, decode_responses=True)
        self.redis.flushall()
        clock = ServerClock(self.redis)
        self.backend = RedisBackend(self.server.url, now=NOW)
        return clock, OfferPlane(self.backend.leases())

    def teardown(self):
        self.backend.close()
        self.redis.close()

    @rule(queue=QUEUES, group=st.sampled_from(["frodo", "sam"]), limit=st.integers(1, 3), priority=st.integers(0, 9))
    def publish_limited(self, queue, group, limit, priority):
        self.numbers += 1
        work = item(f"orc-{self.numbers}", queue=queue, priority=priority, concurrency=(group, limit))
        self.visible_at[work.key] = self.clock.now()
        self.fences[work.key] = 0
        for plane in self.planes:
            plane.publish(work)

    @rule(number=st.integers(1, 40), queue=QUEUES)
    def publish_again(self, number, queue):
        work = item(f"orc-{number}", queue=queue)
        if any(one.key == work.key for one in listed(self.planes[1], queue)):
            for plane in self.planes:
                plane.publish(work)

    @rule(queue=QUEUES, data=st.data())
    def drop(self, queue, data):
        held = sorted(listed(self.planes[1], queue), key=lambda one: one.key)
        if held:
            seen = data.draw(st.sampled_from(held))
            for plane in self.planes:
                plane.leases.drop([Drop(key=seen.key, queue=queue, generation=seen.generation, fence=seen.floor)])
            self.last.pop(seen.key, None)

    @invariant()
    def every_item_has_one_place(self):
        assert left_behind(self.redis) == []


STEPS = settings(max_examples=60, stateful_step_count=40, deadline=None)
JOURNEYS = settings(STEPS, max_examples=20)


@pytest.mark.parametrize("settings", [JOURNEYS, aside(STEPS)], ids=["some", "many"])
def test_journal_leases_do_as_memory_does(settings):
    run_state_machine_as_test(JournalLeases, settings=settings)


def test_leases_in_postgres_do_as_memory_does(emptied_postgres):
    PostgresLeases.database = emptied_postgres
    run_state_machine_as_test(PostgresLeases, settings=JOURNEYS)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_redis_does_as_memory_does(kind, tmp_path):
    with started(kind, tmp_path) as RedisLeases.server:
        run_state_machine_as_test(RedisLeases, settings=JOURNEYS)
