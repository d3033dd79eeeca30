"""Shares of a worker: what texts mean, whose turn it is, and what limits leave."""

from collections import Counter
from datetime import timedelta

import pytest

from squidmesh import InvalidInput, QueueShare
from squidmesh.errors import BackendUnavailable
from squidmesh.memory import MemoryLeases
from squidmesh.ports.lease_backend import Item
from squidmesh.runtime.shares import check_shares
from squidmesh.runtime.sharing import Sharing
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import item

LEASE = timedelta(seconds=60)


@pytest.fixture
def leases() -> MemoryLeases:
    return MemoryLeases(VirtualClock())


def offer(leases: MemoryLeases, **counts: int) -> None:
    items: list[Item] = [item(f"{queue}{n}", queue=queue) for queue, count in counts.items() for n in range(count)]
    leases.offer(items)


class Claimant:
    """Claims as a pump does, and gives nothing back."""

    def __init__(self, leases: MemoryLeases, *shares: str) -> None:
        self.leases = leases
        self.sharing = Sharing(leases, check_shares(shares, field="queues"))
        self.held: Counter[str] = Counter()
        self.order: list[str] = []
        self.rest: timedelta | None = None
        self._calls = 0

    def claim(self, slots: int) -> list[str]:
        """The queues that were claimed from, in order."""
        self.rest = self.sharing.look(slots, held=self.held, paused=())
        came: list[str] = []
        while (word := self.sharing.next(slots - len(came))) is not None:
            self._calls += 1
            queue, number = word
            request = f"request-{self._calls}"
            grants = self.leases.claim([queue], owner="merry@1", limit=number, lease=LEASE, request_id=request)
            self.sharing.took(len(grants.claims))
            came += [claim.queue for claim in grants.claims]
        self.held.update(came)
        self.order += came
        return came


# --------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("default", QueueShare("default")),
        ("default=3", QueueShare("default", weight=3)),
        ("bulk:2", QueueShare("bulk", limit=2)),
        ("tenant-*=2:4", QueueShare("tenant-*", weight=2, limit=4)),
        ("*", QueueShare("*")),
    ],
)
def test_a_text_and_a_share_say_the_same(text: str, share: QueueShare) -> None:
    assert check_shares([text], field="queues") == (share,)
    assert str(share) == text


BAD = ["", "a b", "a*b", "=2", "a=", "a:", "a=0", "a=1001", "a:0", "a:1025", "a:2=1", "a=-1", "a=1.5", "**", "*a", "ä"]


@pytest.mark.parametrize("text", BAD)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="queues"):
        check_shares([text], field="queues")


def test_one_queue_is_not_said_in_two_ways() -> None:
    assert len(check_shares(["a=2", "a=2", "a*"], field="queues")) == 2
    with pytest.raises(InvalidInput, match="a=2 and as a=3"):
        check_shares(["a=2", "a=3"], field="queues")


# --------------------------------------------------------------------------------------------------------- turns


@pytest.mark.parametrize("slots", [1, 2, 5, 60])
def test_shares_that_always_have_work_get_their_parts(leases: MemoryLeases, slots: int) -> None:
    offer(leases, a=100, b=100, c=100)
    claimant = Claimant(leases, "a=3", "b=2", "c")
    while len(claimant.order) < 60:
        claimant.claim(slots)
    assert Counter(claimant.order[:60]) == {"a": 30, "b": 20, "c": 10}


def test_parts_are_spread_evenly(leases: MemoryLeases) -> None:
    offer(leases, a=20, b=20)
    claimant = Claimant(leases, "a=3", "b")
    for _ in range(8):
        claimant.claim(1)
    assert "".join(claimant.order) == "aabaaaba"


def test_what_one_share_does_not_use_the_others_get(leases: MemoryLeases) -> None:
    offer(leases, a=2, b=20)
    claimant = Claimant(leases, "a=9", "b")
    assert Counter(claimant.claim(10)) == {"a": 2, "b": 8}


def test_nothing_is_saved_up_while_there_is_no_work(leases: MemoryLeases) -> None:
    offer(leases, b=40)
    claimant = Claimant(leases, "a=3", "b")
    for _ in range(20):
        assert claimant.claim(1) == ["b"]
    offer(leases, a=20)
    assert Counter(claimant.claim(8)) == {"a": 6, "b": 2}


def test_queues_of_one_beginning_take_turns_and_share_its_weight(leases: MemoryLeases) -> None:
    """However much the one has, and however long it has waited."""
    offer(leases, **{"tenant-1": 100})
    offer(leases, **{"tenant-2": 10, "tenant-3": 10, "urgent": 100})
    claimant = Claimant(leases, "tenant-*=1", "urgent=1")
    for _ in range(12):
        claimant.claim(1)
    assert Counter(claimant.order) == {"urgent": 6, "tenant-1": 2, "tenant-2": 2, "tenant-3": 2}


def test_a_name_counts_before_a_beginning_and_a_long_one_before_a_short(leases: MemoryLeases) -> None:
    sharing = Sharing(leases, check_shares(["t-*", "t-vip-*=2", "t-vip-1=5", "*"], field="queues"))
    said = {queue: str(sharing.share_of(queue)) for queue in ["t-1", "t-vip-2", "t-vip-1", "other"]}
    assert said == {"t-1": "t-*", "t-vip-2": "t-vip-*=2", "t-vip-1": "t-vip-1=5", "other": "*"}
    offer(leases, **{"t-1": 9, "t-vip-2": 9, "t-vip-1": 9, "other": 9})
    claimant = Claimant(leases, "t-*", "t-vip-*=2", "t-vip-1=5", "*")
    assert Counter(claimant.claim(9)) == {"t-vip-1": 5, "t-vip-2": 2, "t-1": 1, "other": 1}


# -------------------------------------------------------------------------------------------------------- limits


def test_a_queue_has_no_more_slots_than_its_limit(leases: MemoryLeases) -> None:
    offer(leases, a=20, b=20)
    claimant = Claimant(leases, "a=9:2", "b")
    assert Counter(claimant.claim(6)) == {"a": 2, "b": 4}
    assert Counter(claimant.claim(3)) == {"b": 3}
    claimant.held["a"] = 1
    assert Counter(claimant.claim(3)) == {"a": 1, "b": 2}


def test_a_limit_of_a_beginning_is_of_each_queue_and_full_ones_hide_nobody(leases: MemoryLeases) -> None:
    offer(leases, **{f"tenant-{n}": 5 for n in range(9)})
    claimant = Claimant(leases, "tenant-*:1")
    for _ in range(9):
        assert len(claimant.claim(1)) == 1
    assert sorted(claimant.order) == [f"tenant-{n}" for n in range(9)]
    assert claimant.claim(4) == []
    for n in (7, 3, 4, 0):
        claimant.held[f"tenant-{n}"] = 0
        assert claimant.claim(1) == [f"tenant-{n}"], "found at once among those that are full"


def test_whoever_has_nothing_hears_when_to_look_again(leases: MemoryLeases) -> None:
    leases.offer([item("soon", queue="tenant-1", delay=timedelta(seconds=3))])
    claimant = Claimant(leases, "tenant-*", "a=2")
    assert claimant.claim(1) == []
    assert claimant.rest == timedelta(seconds=3)


def test_a_backend_that_is_away_is_told(leases: MemoryLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise BackendUnavailable("away")

    claimant = Claimant(leases, "a=2", "b")
    monkeypatch.setattr(leases, "due_queues", away)
    with pytest.raises(BackendUnavailable):
        claimant.claim(1)
