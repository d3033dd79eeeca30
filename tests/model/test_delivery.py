"""Without a rule the search finds what the rule is for; with all of them it finds nothing."""

from functools import partial

import pytest

from tests.model.delivery import Rules, State, calm, done, steps, wrong
from tests.model.search import Found, search


def look(rules: Rules, *, faults: int) -> Found[State]:
    return search(State(faults=faults), partial(steps, rules=rules), wrong=wrong, done=done, calm=calm)


@pytest.mark.parametrize(
    ("rules", "faults"),
    [
        pytest.param(Rules(), 1, id="one fault"),
        pytest.param(Rules(sweeps=False, writes_are_kept=True), 2, id="two, no write is lost, nobody sweeps"),
    ],
)
def test_with_all_rules_nothing_is_lost_doubled_or_back(rules: Rules, faults: int) -> None:
    found = look(rules, faults=faults)
    assert found.what == "", str(found)
    assert found.states > 10_000, "it looked at something"


KEPT = Rules(sweeps=False, writes_are_kept=True)


@pytest.mark.parametrize(
    ("rules", "rule", "faults", "what"),
    [
        (Rules(), "as_that_claim", 1, "a healthy worker's attempt was given to another"),
        (Rules(), "refused_is_left_to_the_recorded", 1, "a healthy worker's attempt was given to another"),
        (Rules(), "buries", 1, "a settled item is back"),
        (Rules(), "sweeps", 1, "a dead end"),
        (KEPT, "offers_claimed_rows", 2, "a dead end"),
        (KEPT, "refused_is_not_settled", 2, "a dead end"),
        (KEPT, "cursor_last", 2, "a dead end"),
        (KEPT, "cursor_of_its_life", 1, "a dead end"),
    ],
)
def test_each_rule_is_there_for_a_reason(rules: Rules, rule: str, faults: int, what: str) -> None:
    found = look(rules._replace(**{rule: False}), faults=faults)
    assert found.what == what, str(found)
    print(found)
