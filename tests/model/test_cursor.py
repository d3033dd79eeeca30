"""No commit is passed by, however late it comes; and each word of the rule is needed for that."""

from functools import partial

import pytest

from tests.model.cursor import LOST, Rules, State, calm, done, steps, wrong
from tests.model.search import Found, search

ONE_EACH = State(left=(1, 1))


def look(rules: Rules, first: State = State()) -> Found:  # noqa: B008
    return search(first, partial(steps, rules=rules), wrong=wrong, done=done, calm=calm, dead_end=LOST)


def test_a_late_commit_is_read_by_a_later_pass() -> None:
    found = look(Rules())
    print(found.states, "states")
    assert found.what == "", str(found)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(waits_for_open_writers=False), id="a sequence"),
        pytest.param(Rules(marks_before_pages=False), id="a mark from the last page"),
    ],
)
def test_any_other_mark_loses_a_late_commit(rules: Rules) -> None:
    found = look(rules, ONE_EACH)
    print(found)
    assert found.what == LOST
    assert [step for step in found.trace if "writer" in step] == [
        "writer 0: draws number 1",
        "writer 1: draws number 2",
        "writer 1: commits number 2",
        "writer 0: commits number 1",
    ]
    assert "reconciler: reads from 1 on" in found.trace, "it began before the late commit"
    assert "reconciler: set_cursor 3" in found.ever_after, "and ends with a mark above it"


@pytest.mark.parametrize("waits", [True, False])
def test_where_writers_are_serial_a_sequence_will_do(waits: bool) -> None:
    found = look(Rules(serial_writers=True, waits_for_open_writers=waits))
    print(found.states, "states")
    assert found.what == "", str(found)
