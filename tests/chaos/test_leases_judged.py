"""I6 from histories: what a backend answered is not always what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.history import Call, Fault, Harm, Invoke, Ok, Operation, Place
from chaos.invariants.case import RunCase, Tally
from chaos.invariants.leases import Window, i6

RUN, STEP, LEASE = "0190a000-0000-7000-8000-000000000000", "hotel", 4_000_000
SECOND = 1_000_000_000


def call(op: Operation, at: float, fence: int, claim: str, answer: str = "done") -> Call:
    """``at``: in seconds; it takes a millisecond."""
    begun = int(at * SECOND)
    about: dict[str, Any] = {
        "run": RUN, "step": STEP, "attempt": 1, "generation": 0, "fence": fence, "claim": claim, "owner": claim,
        "lease": LEASE, "incarnation": "one",
    }  # fmt: skip
    asked = Invoke(mono=begun, call=1, op=op, **about)
    told = Ok(mono=begun, call=1, op=op, **about) if op == "claim" else asked
    return Call(
        process="p",
        place=Place("history.jsonl", 1),
        asked=asked,
        outcome="ok",
        answer=answer,
        begun=begun,
        ended=begun + 1_000_000,
        told=told,
    )


def breaches(*calls: Call, windows: Sequence[Window] = (), in_journal: bool = False) -> int:
    tally = Tally()
    i6(cast(RunCase, SimpleNamespace(calls=calls)), windows, tally, in_journal=in_journal)
    return tally.red


HANDED_OVER = call("handover", 10.0, 1, "frodo")
TAKEN = call("claim", 10.5, 2, "sam", "granted")


def test_what_was_handed_over_is_lent_to_nobody_else_meanwhile() -> None:
    assert breaches(HANDED_OVER, TAKEN) == 1


@pytest.mark.parametrize(("fence", "red"), [(0, 1), (1, 0), (2, 0)])
def test_a_hand_over_of_what_was_offered_as_held_before_began_no_lease(fence: int, red: int) -> None:
    """The lease of that offer may be over when the hand-over comes: then it tells nothing new, and changes nothing."""
    assert breaches(call("offer", 5.0, fence, "frodo"), HANDED_OVER, TAKEN) == red


def test_an_offer_behind_the_hand_over_does_not_undo_it() -> None:
    assert breaches(HANDED_OVER, call("offer", 10.1, 1, "frodo"), TAKEN) == 1


@pytest.mark.parametrize(
    ("harm", "in_journal", "red"),
    [("store_killed", True, 0), ("store_killed", False, 1), ("store_away", True, 1), ("leases_rolled_back", False, 0)],
)
def test_a_claim_in_the_journal_may_be_gone_where_its_server_was_killed(harm: Harm, in_journal: bool, red: int) -> None:
    """It does not wait for the disk. Where another backend lends, the journal's end is nothing to it."""
    fault = Fault(mono=int(10.2 * SECOND), name="killed", phase="applied", mark=1, harm=harm, at=0)
    window = Window(fault=fault, until=int(10.4 * SECOND))
    assert breaches(HANDED_OVER, TAKEN, windows=[window], in_journal=in_journal) == red


def test_a_grant_told_late_may_be_older_than_what_ended_the_item_before() -> None:
    """A claim whose answer was lost is asked for again; the settlement of the lease before came in between."""
    held, settled = call("claim", 10.0, 1, "frodo", "granted"), call("settle", 14.5, 1, "frodo")
    late = call("claim", 14.6, 2, "sam", "granted")
    assert breaches(held, settled, late) == 1
    assert breaches(held, settled, replace(late, begun=int(14.1 * SECOND))) == 0
