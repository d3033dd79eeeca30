"""What facts mean for the lease backend: settle what closed, release what was given back, offer what opened (3.4).

Where leases stand in the journal, the settlements and releases ride in the append's own transaction and nothing is
offered: the agenda itself is what is claimed from (3.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard, get_args

from squidmesh.clock import Instant, duration
from squidmesh.errors import RecordedClaim
from squidmesh.ids import ClaimHash, attempt_key, parse_attempt_key
from squidmesh.journal.facts import (
    AnyFact,
    AttemptCancelled,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ClaimReleased,
    DeadLetterReplayed,
    DeliveryLost,
)
from squidmesh.journal.rows import AttemptRow
from squidmesh.journal.state import RunnableState, RunState
from squidmesh.ports.lease_backend import Claim, Drop, Handover, Item, LeaseBackend, LeaseChange, Release, Settlement

_ENDS = (AttemptCompleted, AttemptFailed, AttemptCancelled)
_Closes = AttemptTimedOut | AttemptCancelled
"""End an attempt whoever holds it: not under its claim."""
_Opens = AttemptScheduled | DeadLetterReplayed
_GIVES_BACK = (ClaimReleased, DeliveryLost)
_OfAClaim = AttemptCompleted | AttemptFailed | AttemptCancelled | ClaimReleased | DeliveryLost | AttemptDeadLettered
_CLOSES, _OPENS, _OF_A_CLAIM = (frozenset(get_args(kinds)) for kinds in (_Closes, _Opens, _OfAClaim))


@dataclass(slots=True)
class Effects:
    """Gathered while a batch is decided, carried out once it is durable."""

    settlements: list[Settlement] = field(default_factory=list)
    shelved: list[Claim] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    offers: list[Item] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)

    def note(
        self,
        state: RunState,
        facts: Sequence[AnyFact],
        claim: Claim | None,
        now: Instant,
        following: Claim | None = None,
    ) -> None:
        """``state`` includes the facts; ``claim`` is the lease under which they were decided, if any; ``following``
        the one that they claim for the same owner at once (a hand-over).
        """
        offers = tuple([item(state, state.runnables[fact.step], now) for fact in facts if _opens(fact)])
        if claim is not None and following is not None:
            (offered,) = offers
            handover = Handover(item=offered, claim_id=following.claim_id, fence=following.fence)
            self.settlements.append(Settlement(claim=claim, handover=handover))
            return
        mine = None if claim is None else parse_attempt_key(claim.item)[1:]
        self._close_others(state, facts, mine)
        if claim is None or mine is None:
            self.offers += offers
            return
        own = [fact for fact in facts if _is_of_a_claim(fact) and (fact.step, fact.attempt) == mine]
        if [fact for fact in own if isinstance(fact, _ENDS)]:
            self.settlements.append(Settlement(claim=claim, offers=offers))
            return
        self.offers += offers
        for fact in own:
            if isinstance(fact, _GIVES_BACK):
                delay = duration(fact.visible_at - fact.at)
                self.releases.append(Release(claim=claim, delay=delay, floor=fact.fence))
                return
        if [fact for fact in own if isinstance(fact, AttemptDeadLettered)]:
            self.shelved.append(claim)

    def _close_others(self, state: RunState, facts: Sequence[AnyFact], mine: tuple[str, int] | None) -> None:
        """Attempts that a failure, a cancel or a deadline has closed. Should the backend have granted them anew in the
        meantime, the drop does nothing, and the refusal of that claim settles the item. ``mine``: step and attempt of
        the claim under which that was decided: of this very run.
        """
        for fact in facts:
            if _closes(fact) and (fact.step, fact.attempt) != mine:
                runnable = state.runnables[fact.step]
                key = attempt_key(state.run_id, fact.step, fact.attempt)
                self.drops.append(
                    Drop(key=key, queue=runnable.queue, generation=runnable.generation, fence=runnable.fence)
                )

    def add(self, other: Effects) -> None:
        self.settlements += other.settlements
        self.shelved += other.shelved
        self.releases += other.releases
        self.offers += other.offers
        self.drops += other.drops

    def clear(self) -> None:
        self.settlements.clear()
        self.shelved.clear()
        self.releases.clear()
        self.offers.clear()
        self.drops.clear()

    def in_journal(self) -> tuple[LeaseChange, ...]:
        """For the group of the append itself."""
        return (*self.settlements, *self.releases, *[Settlement(claim=claim) for claim in self.shelved])

    def carry_out(self, leases: LeaseBackend) -> None:
        """For a backend of its own. Losing a call loses a hint: the journal knows what is open."""
        if leases.in_journal:
            return
        if self.settlements:
            leases.settle(self.settlements)
        if self.shelved:
            leases.shelve(self.shelved)
        if self.releases:
            leases.release(self.releases)
        if self.offers:
            leases.offer(self.offers)
        if self.drops:
            leases.drop(self.drops)


def _closes(fact: AnyFact) -> TypeGuard[_Closes]:
    return type(fact) in _CLOSES


def _opens(fact: AnyFact) -> TypeGuard[_Opens]:
    return type(fact) in _OPENS


def _is_of_a_claim(fact: AnyFact) -> TypeGuard[_OfAClaim]:
    return type(fact) in _OF_A_CLAIM


def item(state: RunState, runnable: RunnableState, now: Instant) -> Item:
    """The item of an open attempt."""
    return Item(
        key=attempt_key(state.run_id, runnable.step, runnable.attempt),
        queue=runnable.queue,
        priority=runnable.priority,
        generation=runnable.generation,
        floor=runnable.fence,
        delay=duration(max(0, runnable.visible_at - now)),
        concurrency_key=runnable.concurrency_key,
        concurrency_limit=runnable.concurrency_limit,
    )


def item_of_row(row: AttemptRow, now: Instant) -> Item:
    """The item of an agenda row: held by its recorded claim, if it has one, for that one's lease length (3.8)."""
    recorded = None
    if row.owner is not None and row.claim_hash is not None and row.lease is not None:
        recorded = RecordedClaim(
            owner=row.owner,
            claim_hash=ClaimHash(row.claim_hash),
            generation=row.generation,
            fence=row.fence,
            lease=duration(row.lease),
        )
    return Item(
        key=row.item,
        queue=row.queue,
        priority=row.priority,
        generation=row.generation,
        floor=row.fence,
        delay=duration(max(0, row.visible_at - now)),
        concurrency_key=row.concurrency_key,
        concurrency_limit=row.concurrency_limit,
        recorded=recorded,
    )
