"""Breadth-first search over every state that a small model can reach, and the way to the first one that is wrong."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
Steps = Callable[[S], Iterable[tuple[str, S]]]
"""What may happen next, by name."""


@dataclass(frozen=True)
class Found(Generic[S]):
    """``trace``: what happened, from the beginning, until the state was ``what``; empty where nothing is wrong."""

    states: int
    what: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.what}, after:", *(f"  {n}. {step}" for n, step in enumerate(self.trace, 1))])


def search(
    first: S,
    steps: Steps[S],
    *,
    wrong: Callable[[S], str],
    done: Callable[[S], bool],
    calm: Callable[[str], bool],
    limit: int = 2_000_000,
) -> Found[S]:
    """``wrong`` names what must never be. ``done`` must stay within reach of every state by ``calm`` steps alone: those
    that are no fault of anybody's. Raises where there are more states than ``limit``: an unfinished search proves
    nothing.
    """
    came_from: dict[S, tuple[S, str] | None] = {first: None}
    calm_before: dict[S, list[S]] = {}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        if said := wrong(state):
            return Found(len(came_from), said, _trace(came_from, state))
        for name, following in steps(state):
            if calm(name):
                calm_before.setdefault(following, []).append(state)
            if following not in came_from:
                came_from[following] = (state, name)
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
            return Found(len(came_from), "a dead end", _trace(came_from, state))
    return Found(len(came_from))


def _trace(came_from: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    names: list[str] = []
    while (before := came_from[state]) is not None:
        state, name = before
        names.append(name)
    return tuple(reversed(names))
