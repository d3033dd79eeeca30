"""Breadth-first search over every state that a small model can reach, and the way to the first one that is wrong."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

S = TypeVar("S", bound=Hashable)
Steps = Callable[[S], Iterable[tuple[str, S]]]
"""What may happen next, by name."""


@dataclass(frozen=True)
class Found:
    """``trace``: what happened, from the beginning, until the state was ``what``; empty where nothing is wrong.
    ``ever_after``: of a dead end, what goes on happening there and leads nowhere.
    """

    states: int
    what: str = ""
    trace: tuple[str, ...] = ()
    ever_after: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.what}, after:", *(f"  {n}. {step}" for n, step in enumerate(self.trace, 1))]
        return "\n".join([*lines, *(f"  … {step}" for step in self.ever_after)])


def search(
    first: S,
    steps: Steps[S],
    *,
    wrong: Callable[[S], str],
    done: Callable[[S], bool],
    calm: Callable[[str], bool],
    dead_end: str,
    canonical: Callable[[S], S] = lambda state: state,
    limit: int = 1_000_000,
) -> Found:
    """``wrong`` names what must never be. ``done`` must stay within reach of every state by ``calm`` steps alone: those
    that are no fault of anybody's; where it does not, that is ``dead_end``. ``canonical`` gives one and the same state
    for all that differ in names only, so that one of them is looked at for all. Raises where there are more states than
    ``limit``: an unfinished search proves nothing.
    """
    first = canonical(first)
    came_from: dict[S, S | None] = {first: None}
    calm_before: dict[S, list[S]] = {}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        if what := wrong(state):
            return Found(len(came_from), what, _trace(came_from, state, steps, canonical))
        for name, raw in steps(state):
            following = canonical(raw)
            if calm(name):
                calm_before.setdefault(following, []).append(state)
            if following not in came_from:
                came_from[following] = state
                waiting.append(following)
        if len(came_from) > limit:
            raise AssertionError(f"more than {limit} states")
    good = deque(state for state in came_from if done(state))
    reaches = set(good)
    while good:
        for before in calm_before.get(good.popleft(), ()):
            if before not in reaches:
                reaches.add(before)
                good.append(before)
    for state in came_from:  # in the order of discovery, so the shortest way comes first
        if state not in reaches:
            trace = _trace(came_from, state, steps, canonical)
            return Found(len(came_from), dead_end, trace, _ever_after(state, steps, calm))
    return Found(len(came_from))


def _ever_after(state: S, steps: Steps[S], calm: Callable[[str], bool]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    seen = {state}
    waiting = [state]
    while waiting:
        for name, following in steps(waiting.pop()):
            if calm(name):
                names[name] = None
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
    return tuple(names)


def _trace(came_from: dict[S, S | None], state: S, steps: Steps[S], canonical: Callable[[S], S]) -> tuple[str, ...]:
    """Walked once more from the beginning, so that a name means the same from the first step to the last."""
    way = [state]
    while (before := came_from[way[-1]]) is not None:
        way.append(before)
    names: list[str] = []
    here = way.pop()
    while way:
        target = way.pop()
        name, here = next((name, raw) for name, raw in steps(here) if canonical(raw) == target)
        names.append(name)
    return tuple(names)
