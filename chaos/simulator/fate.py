"""Where mishaps and deeds come from: drawn from a seed, or told by a script.

Each seed draws its own mixture first (which kinds, how often): schedules that are all alike find the same bugs all
over. What was drawn is written down, so that the script that comes out of it needs no seed any more.
"""

from __future__ import annotations

import random
from typing import Protocol

from chaos.simulator.script import Deed, Mishap, Script
from chaos.simulator.wires import COMMITS, WRITES
from chaos.simulator.workflows import STARTED

LEASE = 6.0
HOSTILE = 20.0
"""Seconds in which things go wrong; then everything is healed."""
_HOT = WRITES - {"leases.sweep_turn", "leases.pause", "leases.resume", "journal.drop_signals"}
_DEATHS = ("die before", "die after")
_CALLS = ("slow", "slow reply", "lost", "reply lost", "late", "twice", "vanished", "open", "die before", "die after")
_STEPS = ("fail", "fail", "give up", "snooze", "retry later", "slow", "slow", "die")
_NATURE = ("kill", "stall", "stall", "drain", "cut", "wipe", "roll back", "roll back", "new life", "jump", "down")
_PEOPLE = ("approve", "reject", "resume", "cancel", "event", "pause queue", "resume queue", "start again", "replay")


class Fate(Protocol):
    """``mishaps``: what has befallen so far."""

    script: Script
    mishaps: list[Mishap]

    def befalls(self, who: str, call: str, nth: int) -> Mishap | None:
        """``call``: of a port, or ``step.NAME`` of a run."""
        ...


class Told:
    """By a script, and nothing else."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.mishaps: list[Mishap] = []
        self._known = {(one.who, one.call, one.nth): one for one in script.mishaps}

    def befalls(self, who: str, call: str, nth: int) -> Mishap | None:
        found = self._known.get((who, call, nth))
        if found is not None:
            self.mishaps.append(found)
        return found


class Drawn:
    """From a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = rng = random.Random(f"schedule {seed}")
        self.script = _drawn_script(rng, seed)
        self.mishaps: list[Mishap] = []
        self._calls = [what for what in _CALLS if rng.random() < 0.5] or ["slow"]
        self._steps = [what for what in _STEPS if rng.random() < 0.5] or ["slow"]
        self._nature_rate = rng.choice((4, 8, 16, 40))
        self._step_rate = rng.choice((2, 4, 10, 1000))
        self._deaths = rng.choice((0, 1, 2, 4))
        self._hot_left, self._cold_left, self._step_left = 3, 20, 2
        self._again: dict[tuple[str, str], tuple[str, int]] = {}
        """Steps that do the same some more times: what and how often."""

    def befalls(self, who: str, call: str, nth: int) -> Mishap | None:
        if call in _HOT:
            self._hot_left -= 1
            if self._hot_left > 0:
                return None
            self._hot_left = self._gap(self._nature_rate)
        elif call.startswith("step."):
            return self._of_step(who, call, nth)
        else:
            self._cold_left -= 1
            if self._cold_left > 0:
                return None
            self._cold_left = self._gap(20 * self._nature_rate)
        what = self._rng.choice(self._calls)
        if what == "open" and call != "journal.commit":
            what = "slow"
        if what in ("late", "twice", "reply lost") and call not in WRITES:
            what = "lost"
        if what == "vanished" and call not in COMMITS:
            what = "lost"
        if what in _DEATHS:
            if not self._deaths:
                return None
            self._deaths -= 1
        return self._note(who, call, nth, what, self._seconds())

    def _of_step(self, who: str, call: str, nth: int) -> Mishap | None:
        what, left = self._again.pop((who, call), ("", 0))
        if not left:
            self._step_left -= 1
            if self._step_left > 0:
                return None
            self._step_left = self._gap(self._step_rate)
            what, left = self._rng.choice(self._steps), self._rng.choice((1, 2, 2, 4))
        if left > 1 and what in ("fail", "die", "slow"):
            self._again[who, call] = what, left - 1
        seconds = _short(self._rng) if what == "die" else _long(self._rng) if what == "slow" else self._seconds()
        return self._note(who, call, nth, what, seconds)

    def _note(self, who: str, call: str, nth: int, what: str, seconds: float) -> Mishap:
        mishap = Mishap(who=who, call=call, nth=nth, what=what, seconds=seconds)
        self.mishaps.append(mishap)
        return mishap

    def _gap(self, rate: int) -> int:
        return 1 + int(self._rng.expovariate(1.0 / rate))

    def _seconds(self) -> float:
        return _length(self._rng)


def _short(rng: random.Random) -> float:
    return round(rng.uniform(0.01, 1.5), 2)


def _long(rng: random.Random) -> float:
    """Longer than a lease, mostly."""
    return round(rng.uniform(1.05 * LEASE, 2.2 * LEASE), 1) if rng.random() < 0.6 else _length(rng)


def _length(rng: random.Random) -> float:
    """A moment, some seconds, or longer than a lease."""
    kind = rng.random()
    if kind < 0.35:
        return round(rng.uniform(0.01, 0.5), 2)
    if kind < 0.7:
        return round(rng.uniform(0.5, 0.9 * LEASE), 1)
    return round(rng.uniform(LEASE, 2.2 * LEASE), 1)


def _drawn_script(rng: random.Random, seed: int) -> Script:
    workers = rng.choice((1, 2, 2, 2, 3))
    deeds: list[Deed] = []
    runs = [f"r{n}{rng.choice(('', '+'))}" for n in range(rng.choice((1, 2, 2, 3, 4)))]
    for name in runs:
        at = round(rng.choice((0.0, 0.0, rng.uniform(0, 8))), 2)
        within = round(rng.uniform(0.1, 12), 1) if rng.random() < 0.15 else 0.0
        do = "start within" if within else "start"
        deeds.append(Deed(at=at, do=do, who=name, what=rng.choice(STARTED), seconds=within))
    for _ in range(rng.choice((0, 1, 2, 4))):
        do = rng.choice(_PEOPLE)
        deeds.append(Deed(at=round(rng.uniform(1, HOSTILE), 2), do=do, who=rng.choice(runs)))
    wanted = [what for what in _NATURE if rng.random() < 0.45]
    for _ in range(rng.choice((0, 1, 2, 3, 5)) if wanted else 0):
        do = rng.choice(wanted)
        deed = Deed(
            at=round(rng.uniform(0.2, HOSTILE), 2),
            do=do,
            who=f"worker-{rng.randint(1, workers)}",
            what=rng.choice(("journal", "leases")),
            seconds=_long(rng) if do in ("stall", "jump", "cut") else _length(rng),
        )
        deeds.append(deed)
        if deed.do in ("roll back", "new life"):
            deeds.append(Deed(at=round(max(0.1, deed.at - _length(rng)), 2), do="keep"))
    return Script(
        chance=seed,
        workers=workers,
        slots=rng.choice((1, 2, 3)),
        sweep=_sweep(rng, deeds),
        hints=rng.random() < 0.6,
        deeds=tuple(sorted(deeds, key=lambda deed: deed.at)),
    )


def _sweep(rng: random.Random, deeds: list[Deed]) -> float:
    """Sometimes so long that what changed and what became due have to be enough. Not where a memory goes back within
    one incarnation: a cursor on its way to it may then vouch for offers that it has lost, until the sweep comes (I11).
    """
    drawn = rng.choice((12.0, 12.0, 3600.0))
    return 12.0 if any(deed.do == "roll back" for deed in deeds) else drawn
