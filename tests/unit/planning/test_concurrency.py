"""What an attempt shares with others: named by its step, taken when it is scheduled, kept until it has ended."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import RetryPolicy, Workflow, define, fixed, manual, step
from squidmesh.clock import Instant
from squidmesh.ids import claim_hash, concurrency_key, is_identifier
from squidmesh.journal.facts import AnyFact, AttemptClaimed, AttemptScheduled, StepError
from squidmesh.journal.fold import evolve, fold
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import (
    AnyCommand,
    NextClaim,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordRelease,
    ReplayDeadLetter,
    StartRun,
)
from squidmesh.planning.decide import decide, start
from squidmesh.planning.rows import rebuild
from squidmesh.runtime.delivery import item, item_of_row

RUN = "9a1e"
LEASE = timedelta(seconds=60)


class Account(BaseModel):
    id: Any = "acc-17"
    owner: str = "frodo"


class Pay(BaseModel):
    account: Account = Account()


def walk() -> dict[str, Any]:
    raise AssertionError("planning runs no step")


class Payout(Workflow):
    version = "1"
    pay = manual(Pay)
    check = step(walk, concurrency_key="account.id", retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))
    send = step(walk, concurrency_key="account.id", concurrency_limit=3)
    tell = step(walk, output="told", concurrency_key="account.owner")
    file = step(walk)
    flow = check >> send >> tell >> file


DEFINITION = define(Payout)
KEY = concurrency_key("account.id", "acc-17")


class Told:
    def __init__(self, account: Any) -> None:
        given = StartRun(
            now=0,
            run_id=RUN,
            trigger="pay",
            payload={"account": account},
            payload_fingerprint="p",
            queue="default",
            priority=5,
        )
        self.facts: list[AnyFact] = start(DEFINITION, given)
        self.state: RunState = fold(None, self.facts)

    def tell(self, command: AnyCommand) -> list[AnyFact]:
        self.facts = decide(DEFINITION, self.state, command)
        for fact in self.facts:
            evolve(self.state, fact)
        return self.facts

    def under(self, step: str) -> dict[str, Any]:
        known = self.state.runnables[step]
        return {"now": 9, "step": step, "attempt": known.attempt, "fence": known.fence, "claim_hash": claim_hash("c")}

    def claim(self, step: str, *, lapsed: int = 0) -> None:
        known = self.state.runnables[step]
        under = {**self.under(step), "now": max(9, known.visible_at), "fence": known.fence + 1}
        self.tell(
            RecordClaim(
                **under, generation=known.generation, owner="sam@1", lease=LEASE, max_deliveries=1, lapsed=lapsed
            )
        )

    def complete(self, step: str, then: NextClaim | None = None) -> list[AnyFact]:
        self.claim(step)
        return self.tell(RecordCompletion(**self.under(step), output={}, then=then))

    def shared(self, step: str) -> tuple[str | None, int | None]:
        known = self.state.runnables[step]
        return known.concurrency_key, known.concurrency_limit


ACCOUNT = {"id": "acc-17", "owner": "frodo"}


def scheduled(facts: list[AnyFact]) -> AttemptScheduled:
    (found,) = [fact for fact in facts if isinstance(fact, AttemptScheduled)]
    return found


def test_the_key_is_taken_from_the_context_as_the_attempt_is_scheduled() -> None:
    told = Told(ACCOUNT)
    first = scheduled(told.facts)
    assert (first.concurrency_key, first.concurrency_limit) == (KEY, 1)
    second = scheduled(told.complete("check"))
    assert (second.concurrency_key, second.concurrency_limit) == (KEY, 3)
    third = scheduled(told.complete("send"))
    assert (third.concurrency_key, third.concurrency_limit) == (concurrency_key("account.owner", "frodo"), 1)
    last = scheduled(told.complete("tell"))
    assert (last.concurrency_key, last.concurrency_limit) == (None, None)


@pytest.mark.parametrize(
    "account", [{}, {"id": None}, {"id": 1.5}, {"id": ["acc-17"]}, {"id": {"acc": 17}}, "acc-17", None]
)
def test_what_can_not_be_shared_is_not_limited(account: Any) -> None:
    assert Told(account).shared("check") == (None, None)


@pytest.mark.parametrize(
    "value", ["", "acc-17", 17, 0, True, False, "true", "17", 2**70, "x" * 10_000, "🦑\0", "\ud800"]
)
def test_a_key_is_an_identifier_that_names_the_path_and_never_the_value(value: Any) -> None:
    key, limit = Told({"id": value}).shared("check")
    assert key is not None
    assert is_identifier(key)
    assert key.startswith("account.id-")
    assert limit == 1
    digest = key.removeprefix("account.id-")
    assert len(digest) == 32
    assert not str(value) or len(str(value)) == 1 or str(value) not in digest


def test_values_of_other_types_and_paths_share_nothing() -> None:
    keys = {concurrency_key("id", value) for value in (1, "1", True, "true", 0, False, "")}
    assert len(keys) == 7
    assert concurrency_key("a.b", "1") != concurrency_key("b", "1")
    assert is_identifier(concurrency_key("a path with ünfit characters " * 9, "1"))


def test_it_is_kept_over_retries_releases_and_replays_whatever_becomes_of_the_context() -> None:
    told = Told(ACCOUNT)
    told.claim("check")
    told.tell(RecordRelease(**told.under("check"), reason="drain"))
    assert told.shared("check") == (KEY, 1)
    told.claim("check")
    told.state.payload["account"] = {"id": "another"}  # what the key was taken of is in the fact
    error = StepError(code="step_raised", type="Balrog", message="no")
    again = scheduled(told.tell(RecordFailure(**told.under("check"), error=error, retryable=True)))
    assert (again.attempt, again.concurrency_key, again.concurrency_limit) == (2, KEY, 1)
    told.claim("check")
    told.claim("check", lapsed=1)
    assert told.state.dead_steps == ["check"]
    told.tell(ReplayDeadLetter(now=99, step="check", attempt=2, actor="ops"))
    assert told.shared("check") == (KEY, 1)


def test_rows_and_items_carry_it() -> None:
    told = Told(ACCOUNT)
    (row,) = rebuild(told.state).put
    assert (row.concurrency_key, row.concurrency_limit) == (KEY, 1)
    offered = item(told.state, told.state.runnables["check"], Instant(0))
    assert (offered.concurrency_key, offered.concurrency_limit) == (KEY, 1)
    assert item_of_row(row, Instant(0)) == offered


# ---------------------------------------------------------------------------------------------------- continuation

WISH = NextClaim(
    owner="sam@1", claim_hash=claim_hash("c"), lease=LEASE, steps=frozenset({"check", "send", "tell", "file"})
)


def goes_on(facts: list[AnyFact]) -> bool:
    return isinstance(facts[-1], AttemptClaimed)


def test_a_run_goes_on_in_the_place_that_it_has_and_into_no_other() -> None:
    told = Told(ACCOUNT)
    assert goes_on(told.complete("check", WISH)), "its own key, and a limit that is no smaller"
    told.state.runnables["send"].claim = None
    told = Told(ACCOUNT)
    told.complete("check")
    assert not goes_on(told.complete("send", WISH)), "nobody has counted who else has the next key"
    assert goes_on(told.complete("tell", WISH)), "the next has none"


def test_a_run_does_not_go_on_where_the_limit_is_smaller_than_the_one_it_came_under() -> None:
    class Narrows(Workflow):
        version = "1"
        pay = manual(Pay)
        wide = step(walk, concurrency_key="account.id", concurrency_limit=3)
        narrow = step(walk, concurrency_key="account.id", concurrency_limit=2)
        flow = wide >> narrow

    definition = define(Narrows)
    given = StartRun(
        now=0, run_id=RUN, trigger="pay", payload={"account": ACCOUNT}, payload_fingerprint="p", queue="q", priority=5
    )
    state = fold(None, start(definition, given))
    under: dict[str, Any] = {"now": 9, "step": "wide", "attempt": 1, "fence": 1, "claim_hash": claim_hash("c")}
    claim = RecordClaim(**under, generation=0, owner="sam@1", lease=LEASE, max_deliveries=5)
    state = fold(state, decide(definition, state, claim))
    wish = NextClaim(owner="sam@1", claim_hash="h", lease=LEASE, steps=frozenset({"wide", "narrow"}))
    facts = decide(definition, state, RecordCompletion(**under, output={}, then=wish))
    assert isinstance(facts[-1], AttemptScheduled)


def test_a_run_without_a_key_goes_on_to_no_step_with_one() -> None:
    """And a step whose path has nothing is one without."""
    told = Told({"owner": "frodo"})
    assert goes_on(told.complete("check", WISH))
    told = Told({"owner": "frodo"})
    told.complete("check")
    assert not goes_on(told.complete("send", WISH))
