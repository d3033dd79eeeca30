"""Going around many queues in turns."""

from itertools import pairwise

import pytest

from squidmesh.ports.turns import Turns, behind

QUEUES = [f"{word}{end}" for word in ("gondor", "mordor", "shire", "rohan") for end in ("", "-1", ".2", "3", "X", "_y")]


def walked(turns: Turns, names: list[str], prefixes: list[str]) -> list[str]:
    """As a store does that finds queues in the order of their names."""
    spans = turns.spans(names, prefixes)
    return [queue for low, high in spans for queue in sorted(QUEUES) if low <= queue <= high]


def wanted(names: list[str], prefixes: list[str]) -> list[str]:
    return sorted(queue for queue in QUEUES if queue in names or queue.startswith(tuple(prefixes)))


@pytest.mark.parametrize(
    ("names", "prefixes"),
    [
        ([], []),
        (["shire"], []),
        (["shire", "shire-1"], ["shire-"]),
        (["gondor", "rohan"], ["shire", "mor", "mordor", "mordor-"]),
        ([], [""]),
        (["shire"], ["", "shire"]),
    ],
)
def test_a_look_goes_on_behind_the_one_before_and_comes_around(names: list[str], prefixes: list[str]) -> None:
    turns = Turns()
    everything = wanted(names, prefixes)
    assert walked(turns, names, prefixes) == everything

    for place, queue in enumerate(everything):
        turns.end_with(names, prefixes, queue)
        assert walked(turns, names, prefixes) == everything[place + 1 :] + everything[: place + 1]


def test_no_two_spans_have_a_name_in_common() -> None:
    turns = Turns()
    for prefixes in ([""], ["gon", "gondor", "m"], ["shire", "shire-"]):
        for queue in (*QUEUES, None):
            if queue is not None:
                turns.end_with(["rohan"], prefixes, queue)
            spans = sorted(turns.spans(["rohan"], prefixes))
            assert all(one.high < other.low for one, other in pairwise(spans))


def test_each_question_has_a_place_of_its_own() -> None:
    turns = Turns()
    turns.end_with([], ["shire"], "shire-1")
    assert walked(turns, [], ["gondor"]) == wanted([], ["gondor"])
    assert walked(turns, [], ["shire"])[0] == "shire.2"


def test_questions_without_end_are_not_remembered_without_end() -> None:
    turns = Turns()
    for n in range(1000):
        turns.end_with([f"name-{n}"], [], f"name-{n}")
    assert len(turns._ended) <= 64


def test_nothing_stands_between_a_name_and_what_is_behind_it() -> None:
    for name in QUEUES:
        assert name < behind(name)
        assert all(other < name or other > behind(name) for other in QUEUES if other != name)
