"""From a schedule that is red to the shortest one that still is, for the same reason: delta debugging over its deeds
and mishaps, and then over its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from chaos.simulator.play import Player
from chaos.simulator.script import Deed, Script

T = TypeVar("T")
_MOST = 600
"""Schedules that one shrinking plays."""


def kind_of(red: str) -> str:
    """What was broken, without which run, fence and moment: the invariant's number and the words."""
    said = re.sub(r"\[[^]]*\]|[0-9a-f]{8}-[0-9a-f-]{27}\S*|'[^']*'|\b\w+#\d+\S*", "", red)
    said = re.sub(r"\d+(?![.:\d])", "N", said.partition(", and is")[0])
    return said[:60]


class Shrinker:
    """``tell`` hears of each step: how long the script is now."""

    def __init__(self, player: Player, red: str, tell: Callable[[int], None] = lambda length: None) -> None:
        self._player = player
        self._kind = kind_of(red)
        self._tell = tell
        self._left = _MOST

    def shrink(self, script: Script) -> Script:
        """Returns a script that is red for the same reason; ``note`` says why. ``ValueError`` where it is not red."""
        if not self._is_red(script):
            raise ValueError("this script is not red for that reason: nothing can be shrunk")
        shortest = script
        while True:
            before = shortest
            shortest = self._fewer(shortest)
            shortest = self._rounder(self._smaller(shortest))
            if shortest == before or not self._left:
                break
        outcome = self._player.script(shortest)
        return replace(shortest, note=outcome.red or "")

    def _is_red(self, script: Script) -> bool:
        if not self._left:
            return False
        self._left -= 1
        red = self._player.script(script).red
        return red is not None and kind_of(red) == self._kind

    def _fewer(self, script: Script) -> Script:
        rows = [*script.deeds, *script.mishaps]

        def is_red(some: Sequence[Any]) -> bool:
            return self._is_red(_with_rows(script, some))

        return _with_rows(script, self._without(rows, is_red))

    def _without(self, rows: list[T], is_red: Callable[[Sequence[T]], bool]) -> list[T]:
        size = max(1, len(rows) // 2)
        while rows:
            at, shorter = 0, False
            while at < len(rows):
                some = rows[:at] + rows[at + size :]
                if is_red(some):
                    rows, shorter = some, True
                    self._tell(len(rows))
                else:
                    at += size
            if size == 1 and not shorter:
                break
            size = max(1, size // 2)
        return rows

    def _rounder(self, script: Script) -> Script:
        """Whole seconds, where that does."""
        for place, row in enumerate([*script.deeds, *script.mishaps]):
            for name in ("at", "seconds"):
                value = getattr(row, name, 0.0)
                if value == round(value):
                    continue
                rows: list[Any] = [*script.deeds, *script.mishaps]
                rows[place] = replace(rows[place], **{name: float(round(value))})
                rounder = _with_rows(script, rows)
                if self._is_red(rounder):
                    script = rounder
        return script

    def _smaller(self, script: Script) -> Script:
        for smaller in self._simpler(script):
            if self._is_red(smaller):
                script = replace(script, **_changed(script, smaller))
        return script

    def _simpler(self, script: Script) -> Iterator[Script]:
        if script.workers > 1:
            yield replace(script, workers=script.workers - 1)
        if script.slots > 1:
            yield replace(script, slots=1)
        if script.chance != 0:
            yield replace(script, chance=0)
        if not script.hints:
            yield replace(script, hints=True)


def _changed(old: Script, new: Script) -> dict[str, Any]:
    names = ("chance", "workers", "slots", "sweep", "hints")
    return {name: getattr(new, name) for name in names if getattr(new, name) != getattr(old, name)}


def _with_rows(script: Script, rows: Sequence[Any]) -> Script:
    deeds = tuple(row for row in rows if isinstance(row, Deed))
    mishaps = tuple(row for row in rows if not isinstance(row, Deed))
    return replace(script, deeds=deeds, mishaps=mishaps)
