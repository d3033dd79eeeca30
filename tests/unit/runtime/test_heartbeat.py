"""A lease is extended as long as its worker is well, and its holder is told when it is lost (protocol 3.5.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from squidmesh.errors import BackendUnavailable, CommitUnknown
from squidmesh.ids import AttemptKey
from squidmesh.memory import MemoryLeases
from squidmesh.ports.lease_backend import Beat, Claim, Item, Release
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.heartbeat import Heartbeats, Pulse
from squidmesh.testing.clock import VirtualClock
from tests.unit.runtime.rig import LEASE, Notices, Port

SECONDS = LEASE.total_seconds()


@dataclass
class Holder:
    """A process that holds claims, on a clock of its own that is moved by hand."""

    now: float = 1000.0
    clock: VirtualClock = field(default_factory=VirtualClock)
    notices: Notices = field(default_factory=Notices)

    def __post_init__(self) -> None:
        self.leases: Any = Port(MemoryLeases(self.clock))
        self.beats = Heartbeats(self.leases, every=LEASE / 4, observer=self.notices, monotonic=lambda: self.now)

    def later(self, share: float) -> None:
        """Lets that share of a lease pass, for the holder and for the backend alike."""
        self.now += share * SECONDS
        self.clock.advance(LEASE * share)

    def claim(self, name: str = "a", *, pulse: Pulse | None = None) -> tuple[Claim, LeaseFlag]:
        self.leases.offer([Item(key=AttemptKey(f"{name}/pack#1"), queue="q", priority=5)])
        asked_at = self.now
        (claim,) = self.leases.claim(["q"], owner="sam@1", limit=1, lease=LEASE, request_id=name).claims
        lost = LeaseFlag()
        self.beats.hold(claim, asked_at=asked_at, lost=lost, pulse=pulse)
        return claim, lost

    def beaten(self) -> list[str]:
        """The items of the last heartbeat that was sent."""
        sent = self.leases.calls["heartbeat"]
        return [claim.item for claim in sent[-1]] if sent else []


@pytest.fixture
def holder() -> Holder:
    return Holder()


def pulse_at(moment: float) -> Pulse:
    pulse = Pulse()
    pulse.turned_at = moment
    return pulse


# ----------------------------------------------------------------------------------------------------- well


def test_a_lease_goes_on_as_long_as_it_is_beaten(holder: Holder) -> None:
    claim, lost = holder.claim()
    for _ in range(20):
        holder.later(0.25)
        holder.beats.beat()
    assert not lost
    assert holder.leases.heartbeat([claim]) == [Beat.EXTENDED]
    assert holder.notices.events == []


def test_all_claims_of_a_process_are_beaten_in_one_call(holder: Holder) -> None:
    for name in "abc":
        holder.claim(name)
    holder.beats.beat()
    assert holder.beaten() == ["a/pack#1", "b/pack#1", "c/pack#1"]
    assert len(holder.leases.calls["heartbeat"]) == 1


def test_who_holds_nothing_says_nothing(holder: Holder) -> None:
    claim, _ = holder.claim()
    holder.beats.let_go(claim)
    holder.beats.let_go(claim)
    holder.beats.beat()
    assert holder.leases.calls["heartbeat"] == []


# ----------------------------------------------------------------------------------------------------- lost


def test_a_lease_is_lost_a_lease_after_its_claim_was_asked_for(holder: Holder) -> None:
    holder.leases.fail("heartbeat", *[BackendUnavailable("away")] * 9)
    _, lost = holder.claim()
    holder.later(0.999)
    holder.beats.beat()
    assert not lost
    holder.later(0.001)
    holder.beats.beat()
    assert lost


def test_a_lease_is_counted_from_before_its_heartbeat_was_sent(holder: Holder) -> None:
    _, lost = holder.claim()
    heartbeat = holder.leases.inner.heartbeat

    def slow(claims: Any) -> Any:
        answer = heartbeat(claims)
        holder.later(0.5)
        return answer

    holder.leases.inner.heartbeat = slow
    holder.later(0.25)
    holder.beats.beat()  # sent at 0.25, answered at 0.75
    holder.leases.fail("heartbeat", *[BackendUnavailable("away")] * 9)
    holder.later(0.49)
    holder.beats.beat()
    assert not lost
    holder.later(0.01)
    holder.beats.beat()
    assert lost


def test_the_holder_believes_its_lease_over_before_the_backend_does(holder: Holder) -> None:
    holder.leases.fail("heartbeat", *[CommitUnknown("lost")] * 9)
    claim, lost = holder.claim()
    holder.now += SECONDS  # the answer took a moment: the backend's lease began later
    holder.beats.beat()
    assert lost
    assert holder.leases.inner.heartbeat([claim]) == [Beat.EXTENDED]


def test_a_fault_of_a_backend_ends_no_heartbeats(holder: Holder) -> None:
    """Without them every lease of the process would be lost, one after the other."""
    holder.leases.fail("heartbeat", KeyError("odd"))
    _, lost = holder.claim()
    holder.later(0.5)
    holder.beats.beat()
    assert not lost
    assert holder.notices.events == ["heartbeat_failed"]
    holder.beats.beat()
    holder.later(0.75)
    holder.beats.beat()
    assert not lost


def test_a_lease_that_another_holds_is_lost_at_once(holder: Holder) -> None:
    _, lost = holder.claim()
    holder.clock.advance(LEASE)  # the backend's clock alone: this process was frozen
    holder.leases.claim(["q"], owner="merry@1", limit=1, lease=LEASE, request_id="theirs")
    holder.beats.beat()
    assert lost
    assert holder.notices.events == ["lease_lost"]


def test_a_lease_on_an_item_that_is_gone_is_lost_at_once(holder: Holder) -> None:
    _, lost = holder.claim()
    holder.leases.inner._items.clear()
    holder.beats.beat()
    assert lost


def test_a_released_claim_is_not_believed_in(holder: Holder) -> None:
    claim, lost = holder.claim()
    holder.leases.release([Release(claim=claim)])
    holder.beats.beat()
    assert lost


def test_one_lost_lease_does_not_cost_another(holder: Holder) -> None:
    gone, lost = holder.claim("a")
    _, kept = holder.claim("b")
    holder.leases.release([Release(claim=gone)])
    holder.beats.beat()
    assert (bool(lost), bool(kept)) == (True, False)


def test_a_lost_lease_is_told_once_and_not_beaten_again(holder: Holder) -> None:
    claim, _ = holder.claim()
    holder.leases.release([Release(claim=claim)])
    for _ in range(3):
        holder.beats.beat()
        holder.later(1)
    assert holder.notices.events == ["lease_lost"]
    assert len(holder.leases.calls["heartbeat"]) == 1


def test_a_backend_that_is_away_is_asked_again(holder: Holder) -> None:
    _, lost = holder.claim()
    holder.leases.fail("heartbeat", BackendUnavailable("away"))
    holder.later(0.25)
    holder.beats.beat()
    holder.later(0.25)
    holder.beats.beat()
    holder.later(0.75)
    holder.beats.beat()
    assert not lost
    assert holder.notices.events == ["heartbeat_failed"]


# ------------------------------------------------------------------------------------------------- not well


def test_an_outcome_that_waits_longer_than_a_lease_is_not_held_any_longer(holder: Holder) -> None:
    claim, lost = holder.claim()
    holder.beats.outcome_waits(claim)
    for _ in range(4):
        holder.later(0.25)
        holder.beats.beat()
    assert len(holder.leases.calls["heartbeat"]) == 4
    holder.later(0.25)
    holder.beats.beat()
    assert len(holder.leases.calls["heartbeat"]) == 4
    assert not lost, "the lease itself goes on until it ends"
    holder.later(0.75)
    holder.beats.beat()
    assert lost


def test_the_wait_of_an_outcome_that_nobody_holds_is_no_matter(holder: Holder) -> None:
    claim, _ = holder.claim()
    holder.beats.let_go(claim)
    holder.beats.outcome_waits(claim)
    holder.beats.beat()
    assert holder.beaten() == []


def test_the_claims_of_a_pump_that_does_not_turn_are_not_held_any_longer(holder: Holder) -> None:
    stuck, well = pulse_at(holder.now), pulse_at(holder.now)
    _, lost = holder.claim("a", pulse=stuck)
    holder.claim("b", pulse=stuck)
    holder.claim("c", pulse=well)
    for _ in range(5):
        holder.later(0.25)
        well.turned_at = holder.now
        holder.beats.beat()
    assert holder.beaten() == ["c/pack#1"]
    holder.later(1)
    holder.beats.beat()
    assert lost


def test_a_pump_that_turns_again_in_time_keeps_its_claims(holder: Holder) -> None:
    pulse = pulse_at(holder.now)
    _, lost = holder.claim(pulse=pulse)
    for share in (0.5, 0.5, 0.5):
        holder.later(share)
        holder.beats.beat()
    pulse.turned_at = holder.now
    holder.beats.beat()
    assert holder.beaten() == ["a/pack#1"]
    assert not lost


def test_a_step_in_its_callers_own_thread_has_no_pulse_and_is_held(holder: Holder) -> None:
    _, lost = holder.claim(pulse=None)
    for _ in range(12):
        holder.later(0.25)
        holder.beats.beat()
    assert not lost


def test_a_heartbeat_thread_is_started_once_and_ends(holder: Holder) -> None:
    beats = Heartbeats(holder.leases, every=timedelta(days=1), observer=holder.notices)
    beats.start()
    thread = beats._thread
    beats.start()
    assert beats._thread is thread
    beats.stop()
    assert thread is not None
    assert not thread.is_alive()
    beats.start()
    assert beats._thread is thread, "what was stopped stays stopped"


def test_where_a_part_of_the_backend_is_away_the_leases_of_the_rest_go_on(holder: Holder) -> None:
    claims = {name: holder.claim(name)[1] for name in ("a", "b")}
    holder.leases.offer([Item(key=AttemptKey("far/pack#1"), queue="far", priority=5)])
    (far,) = holder.leases.claim(["far"], owner="sam@1", limit=1, lease=LEASE, request_id="far").claims
    lost = LeaseFlag()
    holder.beats.hold(far, asked_at=holder.now, lost=lost, pulse=None)
    heartbeat = holder.leases.inner.heartbeat

    def half_away(asked: Sequence[Claim]) -> list[Beat]:
        found: list[Beat] = heartbeat(asked)
        if any(claim.queue == "far" for claim in asked):
            raise BackendUnavailable("that node is away")
        return found

    holder.leases.inner.heartbeat = half_away
    for _ in range(8):
        holder.later(0.25)
        holder.beats.beat()
    assert not any(map(bool, claims.values()))
    assert lost
    assert "heartbeat_failed" in holder.notices.events
