"""The simulated lease backend: the memory one, which may be wiped, rolled back, or find its clock jumped.

Beside it stands a mirror of who holds what, which knows the protocol and not the backend: each answer is compared with
it, and each word that a process says to the backend with what the journal holds at that moment.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from chaos.simulator.journal import LoopClock
from chaos.simulator.loop import Loop
from chaos.simulator.watch import Red, Watch, hold
from squidmesh.clock import micros
from squidmesh.memory.leases import MemoryLeases
from squidmesh.ports.lease_backend import Beat, Claim, Grants, Item, Release, Settlement

_MEMORY = (dict, set, str, timedelta, msgspec.Struct, type(None))
"""What is lost and comes back with the memory: not its clock, its lock and its counters."""


class _Hold:
    __slots__ = ("claim_hash", "ends_at", "length", "order")

    def __init__(self, order: tuple[int, int], claim_hash: str, length: int, now: int) -> None:
        self.order, self.claim_hash, self.length, self.ends_at = order, claim_hash, length, now + length


class Leases:
    """The server, one for all processes. ``ring``: there may be work."""

    in_journal = False
    kind = "memory"
    name = "memory"

    def __init__(self, loop: Loop, watch: Watch, red: Callable[[str], None], ring: Callable[[], None]) -> None:
        self.clock = LoopClock(loop)
        self.inner = MemoryLeases(self.clock)
        self.claim_ids: list[str] = []
        self.refused: set[tuple[str, int]] = set()
        """(item, fence) of grants that a worker was told by the core not to record."""
        self._watch = watch
        self._red = red
        self._ring = ring
        self._mirror: dict[str, _Hold] = {}
        self._granted: dict[str, int] = {}
        """By hash: the place in the history at which a claim was granted."""
        self._kept: dict[str, Any] | None = None
        self._kept_mirror: dict[str, _Hold] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # -------------------------------------------------------------------------------------------------- disasters

    def wipe(self) -> None:
        self._mirror.clear()
        self.inner.forget_everything()

    def keep(self) -> None:
        """A snapshot, as a replica or a file has it."""
        self._kept = {n: copy.deepcopy(value) for n, value in vars(self.inner).items() if isinstance(value, _MEMORY)}
        self._kept_mirror = copy.deepcopy(self._mirror)

    def roll_back(self, *, new_life: bool) -> None:
        """The snapshot is what there is now: all that came after is lost. ``new_life``: it knows that."""
        if self._kept is None:
            return
        self._mirror = {} if new_life else copy.deepcopy(self._kept_mirror)  # who was a holder is one again
        memory = copy.deepcopy(self._kept)
        if new_life:
            self.inner.forget_everything()
            memory = {name: value for name, value in memory.items() if not isinstance(value, str)}
        vars(self.inner).update(memory)

    # ------------------------------------------------------------------------------------------------------ calls

    def claim(self, queues: Sequence[str], **asked: Any) -> Grants:
        now = self.clock.now()
        grants: Grants = self.inner.claim(queues, **asked)
        for claim in grants.claims:
            if claim.hash in self._granted:
                continue  # the same request again
            self._granted[claim.hash] = self._watch.place
            self.refused.discard((claim.item, claim.fence))  # a memory that went back issues a fence once more
            self.claim_ids.append(claim.claim_id)
            held = self._mirror.get(claim.item)
            self._hold(
                held is None or held.ends_at <= now or held.claim_hash == claim.hash,
                f"I6: {claim.item} is granted, and is leased already",
            )
            self._hold(
                held is None or (claim.generation, claim.fence) > held.order,
                f"I3: {claim.item} is granted under fence {claim.fence} once more",
            )
            self._mirror[claim.item] = _Hold(_order(claim), claim.hash, micros(claim.lease), now)
        return grants

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        answers = self.inner.heartbeat(claims)
        for claim, answer in zip(claims, answers, strict=True):
            if answer is Beat.EXTENDED:
                self._extended(claim)
        return answers

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        now = self.clock.now()
        answers = self.inner.adopt(claims)
        for claim, answer in zip(claims, answers, strict=True):
            if answer is not Beat.EXTENDED:
                continue
            held = self._mirror.get(claim.item)
            if held is None or held.claim_hash != claim.hash or held.ends_at <= now:
                same = claim.incarnation == self.inner.incarnation(claim.queue)
                self._hold(not same, f"3.5.6: {claim.item} is adopted in the life that granted it")
            self._mirror[claim.item] = _Hold(_order(claim), claim.hash, micros(claim.lease), now)
        return answers

    def _extended(self, claim: Claim) -> None:
        now = self.clock.now()
        held = self._mirror.get(claim.item)
        if held is not None and held.order >= _order(claim):
            live = held.claim_hash == claim.hash and held.ends_at > now
            self._hold(live, f"3.5.4: the lease of {claim.item} had ended, and is extended")
            held.ends_at = now + held.length

    def offer(self, items: Sequence[Item]) -> Any:
        for item in items:
            self._offered(item)
        answer = self.inner.offer(items)
        self._ring()
        return answer

    def settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            claim = settlement.claim
            row = self._watch.row(claim.item)
            if row is not None:
                ours = row.holder == claim.hash
                above = _order(claim) > (row.generation, row.fence)
                self._hold(not ours and not above, f"3.4: {claim.item} is settled, and is open in the journal")
            self._end(claim)
            for item in settlement.offers:
                self._offered(item)
            if settlement.handover is not None:
                self._offered(settlement.handover.item, leased=True)
        self.inner.settle(settlements)
        self._ring()

    def shelve(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._end(claim)
        self.inner.shelve(claims)

    def release(self, releases: Sequence[Release]) -> None:
        for release in releases:
            self._released(release)
        self.inner.release(releases)
        self._ring()

    def drop(self, drops: Sequence[Any]) -> None:
        for drop in drops:
            held = self._mirror.get(drop.key)
            if held is not None and held.order == (drop.generation, drop.fence):
                del self._mirror[drop.key]
        self.inner.drop(drops)

    # ---------------------------------------------------------------------------------------------------- checks

    def _offered(self, item: Item, *, leased: bool = False) -> None:
        """The journal knows it; and where a claim is recorded, it is offered as that claim (3.8), or handed over."""
        self._hold(
            item.key in self._watch.scheduled, f"3.4: {item.key} is offered, and the journal has no such attempt"
        )
        row = self._watch.row(item.key)
        order = (item.generation, item.floor)
        if row is not None and not leased and item.recorded is None and row.status == "held":
            stale = order < (row.generation, row.fence)
            self._hold(stale, f"3.8: {item.key} is offered as free, and fence {row.fence} is recorded")
        held = self._mirror.get(item.key)
        if held is not None and order > held.order:
            del self._mirror[item.key]

    def _released(self, release: Release) -> None:
        claim = release.claim
        row = self._watch.row(claim.item)
        refused = (claim.item, claim.fence) in self.refused and claim.hash not in self._watch.claimed
        if refused and row is not None and row.status == "held" and release.as_claim is None:
            behind = _order(claim) <= (row.generation, row.fence)
            known = behind and row.since <= self._granted.get(claim.hash, -1)
            self._hold(not known, f"3.5.2: {claim.item} is released as free, and fence {row.fence} is recorded")
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        held = self._mirror.get(claim.item)
        if held is not None and held.claim_hash == claim.hash:
            del self._mirror[claim.item]

    def _hold(self, condition: bool, otherwise: str) -> None:
        try:
            hold(condition, otherwise)
        except Red as red:
            self._red(str(red))


def _order(claim: Claim) -> tuple[int, int]:
    return claim.generation, claim.fence
