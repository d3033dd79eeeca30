"""What a run should do, said a second time and more simply than the core says it: one run, one place where it stands.

:class:`Errand` is the workflow, ``ARROWS`` its meaning in a table. A method of :class:`Expected` either carries a
command out and gives None, or changes nothing and names the refusal.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from squidmesh import RetryPolicy, Workflow, approval, fixed, manual, step, value, wait
from squidmesh.journal.state import RunState

SECOND = 1_000_000
REST = 10
PAUSE = 5
MAX_ATTEMPTS = {"pack": 3, "moria": 3}
MAX_SNOOZES = 2


class Leave(BaseModel):
    miles: int


def walk() -> dict[str, str]:
    raise AssertionError("no step is ever run here: outcomes are drawn")


class Errand(Workflow):
    version = "1"
    leave = manual(Leave)
    pack = step(walk, output="pack", retry=RetryPolicy(max_attempts=MAX_ATTEMPTS["pack"], backoff=fixed(PAUSE)))
    saddle = step(walk)
    rest = wait(REST)
    council = approval(output="council")
    moria = step(walk, output="moria", retry=RetryPolicy(max_attempts=MAX_ATTEMPTS["moria"], backoff=fixed(PAUSE)))
    lorien = step(walk, output="lorien", priority=1)
    rohan = approval()
    mend = step(walk, output="mend")
    havens = step(walk, output="havens")
    flow = (
        pack >> saddle >> rest >> council >> moria,
        council.on_reject(mend),
        moria.to(lorien, when=value("moria.road") == "bridge"),
        moria.to(rohan, when=value("moria.road") == "gap"),
        moria.on_error(havens, recovery="compensation"),
    )


ARROWS = {
    ("pack", "ok"): "saddle",
    ("pack", "error"): "failed",
    ("saddle", "ok"): "rest",
    ("saddle", "error"): "failed",
    ("rest", "ok"): "council",
    ("council", "ok"): "moria",
    ("council", "reject"): "mend",
    ("moria", "bridge"): "lorien",
    ("moria", "gap"): "rohan",
    ("moria", "nowhere"): "failed",  # no route matches
    ("moria", "error"): "havens",
    ("lorien", "ok"): "completed",
    ("lorien", "error"): "failed",
    ("rohan", "ok"): "completed",
    ("rohan", "reject"): "failed",
    ("mend", "ok"): "completed",
    ("mend", "error"): "failed",
    ("havens", "ok"): "completed",
    ("havens", "error"): "failed",
}
CONTINUED = ("saddle",)
"""Where a worker may go on at once: a function, visible, in the same queue at the same priority as the step before."""
GATES = ("council", "rohan")
ENDS = ("completed", "failed")
Refusal = Literal["closed", "behind", "early", "stale", "no such gate", "not waiting", "key reused"]


@dataclass
class Expected:
    """``at`` is the step where the run stands, or how it ended. ``holder``: the hash of the recorded claim."""

    payload: dict[str, Any]
    key: str | None
    visible_at: int
    at: str = "pack"
    attempt: int = 1
    fence: int = 0
    holder: str | None = None
    lost: int = 0
    snoozes: int = 0
    decided: dict[str, tuple[str, str]] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    entries: int = 1

    def claim(self, step: str, attempt: int, fence: int, holder: str, now: int) -> Refusal | None:
        if (step, attempt) != (self.at, self.attempt):
            return "closed"
        if fence <= self.fence:
            return "behind"
        if now < self.visible_at:
            return "early"
        self.lost += self.holder is not None
        self.fence, self.holder = fence, holder
        if step == "rest":
            self._go("ok", now)
        return None

    def complete(self, holder: str, road: str, now: int, *, then: str | None) -> Refusal | None:
        if holder != self.holder:
            return "stale"
        self._go(road if self.at == "moria" else "ok", now)
        if then is not None and self.at in CONTINUED:
            self.fence, self.holder = 1, then
        return None

    def fail(self, holder: str, now: int, *, retryable: bool, after: int | None) -> Refusal | None:
        if holder != self.holder:
            return "stale"
        if retryable and self.attempt < MAX_ATTEMPTS.get(self.at, 1):
            self.attempt += 1
            self.visible_at = now + SECOND * (PAUSE if after is None else after)
            self.holder, self.lost, self.snoozes = None, 0, 0
        else:
            self._go("error", now)
        return None

    def give_back(self, holder: str, now: int, *, after: int, snooze: bool) -> Refusal | None:
        if holder != self.holder:
            return "stale"
        if snooze and self.snoozes == MAX_SNOOZES:
            self._go("error", now)
        else:
            self.snoozes += snooze
            self.holder, self.visible_at = None, now + SECOND * after
        return None

    def lose(self, holder: str, now: int, *, after: int) -> Refusal | None:
        if holder != self.holder:
            return "stale"
        self.lost += 1
        self.holder, self.visible_at = None, now + SECOND * after
        return None

    def decide(self, on: Literal["ok", "reject"], gate: str | None, key: str | None, now: int) -> Refusal | None:
        if key is not None and key in self.decided:
            same = self.decided[key][0] == on and gate in (None, self.decided[key][1])
            if same and not self.ended:
                self.repeated[key] = self.repeated.get(key, 0) + 1
            return None if same else "key reused"
        if gate is not None and gate not in GATES:
            return "no such gate"
        if self.at not in GATES or gate not in (None, self.at):
            return "not waiting"
        if key is not None:
            self.decided[key] = (on, self.at)
        self._go(on, now)
        return None

    def _go(self, on: str, now: int) -> None:
        self.at = ARROWS[self.at, on]
        self.visible_at = now + SECOND * REST if self.at == "rest" else now
        self.attempt, self.fence, self.holder, self.lost, self.snoozes = 1, 0, None, 0, 0

    @property
    def ended(self) -> bool:
        return self.at in ENDS

    def agrees_with(self, state: RunState) -> bool:
        """Whether the journal's entries fold to this. Asserts, so that a difference is shown."""
        assert (state.revision, state.payload, state.key) == (self.entries, self.payload, self.key)
        assert {word.key: word.repeats for word in state.commands if word.repeats} == self.repeated
        if self.ended:
            assert state.phase == self.at
        elif self.at in GATES:
            assert (state.phase, state.open_gates, state.open_steps) == ("open", [self.at], [])
        else:
            assert (state.phase, state.open_gates, state.open_steps) == ("open", [], [self.at])
            runnable = state.runnables[self.at]
            holder = runnable.claim.claim_hash if runnable.claim else None
            assert (runnable.attempt, runnable.visible_at) == (self.attempt, self.visible_at)
            assert (runnable.fence, holder) == (self.fence, self.holder)
            assert (runnable.lost, runnable.snoozes) == (self.lost, self.snoozes)
        return True
