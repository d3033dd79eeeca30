"""Without a rule the search finds what the rule is for; with all of them it finds nothing."""

from collections import deque
from functools import cache, partial
from typing import NamedTuple

import pytest

from tests.model.delivery import DOUBLED, LOST, RESURRECTED, State, calm, done, steps, wrong
from tests.model.rules import Rules, World
from tests.model.sameness import canonical
from tests.model.search import Found, search

KEPT = Rules(sweeps=False)
"""Where no write is lost, the cursor alone must be enough."""


@cache
def look(rules: Rules, world: World) -> Found:
    return search(
        State(faults=world.faults),
        partial(steps, rules=rules, world=world),
        wrong=wrong,
        done=done,
        calm=calm,
        dead_end=LOST,
        canonical=canonical,
    )


@pytest.mark.parametrize(
    ("rules", "world"),
    [
        pytest.param(Rules(), World(2), id="two faults"),
        pytest.param(KEPT, World(2, nodes=2, forgets_last=False), id="two faults, no write is lost, nobody sweeps"),
        pytest.param(Rules(), World(2, forgets_all=False, adopts_quickly=False), id="two faults, one life"),
        pytest.param(Rules(), World(2, nodes=2), id="two faults, two passes at once", marks=pytest.mark.all),
        pytest.param(Rules(), World(3, keeps_dumps=False), id="three faults, no old dump", marks=pytest.mark.all),
        pytest.param(KEPT, World(3, forgets_last=False), id="three faults, nobody sweeps", marks=pytest.mark.all),
    ],
)
def test_with_all_rules_nothing_is_lost_doubled_or_resurrected(rules: Rules, world: World) -> None:
    found = look(rules, world)
    print(found.states, "states")
    assert found.what == "", str(found)


class Removed(NamedTuple):
    """``what`` is found without these rules, and ``because`` is a step on the way that they would have forbidden."""

    without: tuple[str, ...]
    world: World
    what: str
    because: str
    rules: Rules = Rules()


@pytest.mark.parametrize(
    "case",
    [
        Removed(("offers_claimed_rows",), World(2), LOST, "reconciler: skips the claimed row"),
        Removed(("as_that_claim",), World(1), DOUBLED, "reconciler: offers it free, floor 1"),
        Removed(("replaces",), World(1), DOUBLED, "reconciler: raises the floor to 1"),
        Removed(("refused_is_left_to_the_recorded",), World(1), DOUBLED, "record, refused: release as visible"),
        Removed(("refused_is_not_settled",), World(2, forgets_last=False), LOST, "record, refused: settle", KEPT),
        Removed(("buries",), World(1), RESURRECTED, "reconciler: offers it as the claim of worker 0, floor 1"),
        Removed(("compares_lives", "reads_again"), World(1), RESURRECTED, "worker 0: adopt"),
        Removed(("compares_lives",), World(1, forgets_all=False, adopts_quickly=False), RESURRECTED, "worker 0: adopt"),
        Removed(("reads_again",), World(2), RESURRECTED, "worker 0: adopt"),
        Removed(
            ("cursor_last",), World(2, forgets_last=False), LOST, "reconciler: set_cursor, reads what has changed", KEPT
        ),
        Removed(
            ("cursor_of_its_life",), World(1, forgets_last=False), LOST, "reconciler: set_cursor of another life", KEPT
        ),
        Removed(("sweeps",), World(1), LOST, "fault: the last writes are lost"),
    ],
    ids=lambda case: " and ".join(case.without),
)
def test_each_rule_is_there_for_a_reason(case: Removed) -> None:
    assert look(case.rules, case.world).what == "", "with it nothing is found"
    found = look(case.rules._replace(**dict.fromkeys(case.without, False)), case.world)
    print(found)
    assert found.what == case.what
    assert any(case.because in step for step in (*found.trace, *found.ever_after)), str(found)


@pytest.mark.parametrize(
    ("world", "what"),
    [
        pytest.param(World(2, forgotten_may_rob=False), DOUBLED, id="a grant is forgotten, and recorded later"),
        pytest.param(World(2, forgotten_may_be_robbed=False), DOUBLED, id="a grant is forgotten, and made once more"),
        pytest.param(World(2, adopts_quickly=False), RESURRECTED, id="an adoption outlasts a tombstone"),
        pytest.param(World(3), DOUBLED, id="the dump of an earlier life comes back", marks=pytest.mark.all),
    ],
)
def test_the_limits_are_those_that_the_protocol_names(world: World, what: str) -> None:
    found = look(Rules(), world)
    print(found)
    assert found.what == what


def test_states_that_are_called_the_same_have_the_same_ways_before_them() -> None:
    """Each state that one fault can reach, as it is, against the one that is looked at in its stead."""
    go = partial(steps, rules=Rules(), world=World(1, nodes=2))
    seen = {State(faults=1)}
    waiting = deque(seen)
    while waiting:
        state = waiting.popleft()
        following = {raw for _, raw in go(state)}
        stands_for_it = canonical(state)
        assert {canonical(raw) for raw in following} == {canonical(raw) for _, raw in go(stands_for_it)}
        assert (wrong(state), done(state)) == (wrong(stands_for_it), done(stands_for_it))
        waiting.extend(following - seen)
        seen |= following
    assert len(seen) > len({canonical(state) for state in seen}) > 1_000
