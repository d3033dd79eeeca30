"""Going around many queues in turns, where a store finds them in the order of their names.

A look goes on behind the queue that the last one ended with, and around. So whose turn is longest ago comes first, and
nothing is kept but one name; a look that finds enough costs what it finds, however many queues there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

_MOST_ASKED = 64
"""Different questions whose places are remembered."""


class Span(NamedTuple):
    """Names from ``low`` to ``high``, both included, in the order of their bytes."""

    low: str
    high: str


class Turns:
    """Of one backend object: another process begins somewhere else. Thread-safe enough: two looks at once may answer
    the same queues.
    """

    def __init__(self) -> None:
        self._ended: dict[tuple[frozenset[str], tuple[str, ...]], str] = {}

    def spans(self, names: Collection[str], prefixes: Sequence[str]) -> list[Span]:
        """What is to be looked through, in the order of turns. No name is in two of them."""
        question = _question(names, prefixes)
        spans = _spans(*question)
        ended = self._ended.get(question)
        if ended is None:
            return list(spans)
        place = bisect_right(spans, ended, key=lambda span: span.low)
        before, after = list(spans[:place]), list(spans[place:])
        if before and before[-1].high > ended:
            cut = before.pop()
            return [Span(behind(ended), cut.high), *after, *before, Span(cut.low, ended)]
        return after + before

    def end_with(self, names: Collection[str], prefixes: Sequence[str], queue: str) -> None:
        """The next look at the same begins behind that one."""
        question = _question(names, prefixes)
        if question not in self._ended and len(self._ended) >= _MOST_ASKED:
            self._ended.clear()
        self._ended[question] = queue


_LOWEST, _HIGHEST = "!", "~"
"""Below and above all that a queue's name is made of."""


def behind(queue: str) -> str:
    """The least word above that name."""
    return queue + _LOWEST


def _question(names: Collection[str], prefixes: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    return frozenset(names), tuple(prefixes)


@lru_cache(maxsize=_MOST_ASKED)
def _spans(names: frozenset[str], prefixes: tuple[str, ...]) -> tuple[Span, ...]:
    widest = [prefix for prefix in set(prefixes) if not prefix.startswith(tuple(set(prefixes) - {prefix}))]
    single = (name for name in names if not name.startswith(tuple(widest)))
    return tuple(sorted([*(Span(p, p + _HIGHEST) for p in widest), *(Span(name, name) for name in single)]))
