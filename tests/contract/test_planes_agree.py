"""Whatever is done, in whatever order: journal leases and memory answer alike, and keep I6, I7 and growing fences."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from squidmesh_sqlite import backend as sqlite

from squidmesh.memory import backend as memory
from squidmesh.ports.lease_backend import Beat, Claim, Release, Settlement
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import claim, item, listed
from squidmesh.testing.planes import JournalPlane, OfferPlane, Plane

SECONDS = st.integers(0, 40).map(lambda seconds: timedelta(seconds=seconds))
QUEUES = st.sampled_from(["gondor", "rohan"])
BOTH = ("gondor", "rohan")


def told(granted: Claim) -> tuple[object, ...]:
    return granted.item, granted.queue, granted.owner, granted.generation, granted.fence, granted.claim_id


class Planes(RuleBasedStateMachine):
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = VirtualClock()
        self.store = sqlite(f"sqlite:///{Path(self.folder.name) / 'mesh.db'}", clock=self.clock)
        memories = memory("memory://", clock=self.clock)
        self.planes: tuple[Plane, Plane] = (
            JournalPlane(self.store.journal(), self.store.leases()),
            OfferPlane(memories.leases()),
        )
        self.numbers = 0
        self.visible_at: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.leased_until: dict[str, int] = {}
        self.last: dict[str, Claim] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def both(self, ask):
        journal, memories = (ask(plane) for plane in self.planes)
        assert journal == memories
        return journal

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
        journal, memories = ({granted.item: granted.fence for granted in grant.claims} for grant in grants)
        assert journal == memories
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
        self.both(lambda plane: [(one.key, one.priority) for queue in BOTH for one in listed(plane, queue)])


Planes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPlanes = Planes.TestCase
