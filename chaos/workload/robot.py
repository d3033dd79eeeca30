"""The robot: starts runs so that a certain number is open, and does what people would do at those that wait.

It approves and rejects, sends events, uses keys twice, cancels, replays dead letters and retries what could not be
undone. A store that is away makes it wait; what it never heard an answer to it does again, where that is harmless.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.workload.flows import Booking, Consent, Family, Feast, Parcel, Poison, Trip
from squidmesh import BackendError, KeyReused, Mesh, UsageError, Workflow

Mix = tuple[tuple[type[Workflow], int], ...]
MIX: Mix = ((Parcel, 5), (Feast, 4), (Trip, 3), (Consent, 2), (Family, 1), (Booking, 2))
"""Each has so many parts of all starts."""
_KEYED, _TWICE, _CANCELLED = 0.3, 0.1, 0.02
"""Shares: of starts with a key, of these, used once more; of runs that are cancelled."""
_PORTION = 20
"""What it looks at in a round."""
_STARTS = 60
"""Runs that it starts in a round, at most."""
_PAUSE = 0.25
"""Seconds between two rounds."""


def planted(seed: int) -> str:
    """How every secret of a load begins."""
    return "canary" + hashlib.sha256(f"canary {seed}".encode()).hexdigest()[:20]


@dataclass(slots=True)
class Robot:
    """``most``: runs that are open at once. ``counts``: what it has done, by its words. ``trouble``: what it did not
    expect, which is a problem of the day.
    """

    mesh: Mesh
    seed: int
    most: int = 60
    mix: Mix = MIX
    counts: Counter[str] = field(default_factory=Counter)
    trouble: list[str] = field(default_factory=list)
    open: int = 0
    ended: int = 0
    _number: int = 0
    spared: set[str] = field(default_factory=set)
    """Runs whose dead letters are left alone for now."""
    _starting: bool = True
    _closed: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"robot {self.seed}")

    # ------------------------------------------------------------------------------------------------ its life

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._live, name="robot", daemon=True)
        self._thread.start()

    def start_no_more(self) -> None:
        """It goes on to steer what is open."""
        self._starting = False

    def end(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(60)

    def _live(self) -> None:
        while not self._closed.wait(_PAUSE):
            for act in (self._count, self._start, self._decide, self._cancel, self._revive):
                try:
                    act()
                except BackendError as error:
                    self.counts[f"away: {error.code}"] += 1
                except Exception as error:  # told, and a problem of the day
                    self.trouble.append(f"{act.__name__}: {type(error).__name__}: {error}")

    # ---------------------------------------------------------------------------------------------- what it does

    def poison(self, name: str, kind: str) -> str:
        """Starts a run whose step ends its process, until it is mended; the run's id."""
        return self.mesh.start_run(Poison, {"name": name, "kind": kind}, key=f"poison-{name}").run_id

    def _count(self) -> None:
        counts = self.mesh.count_runs()
        self.ended = sum(counts.get(status, 0) for status in ("completed", "failed", "cancelled"))
        self.open = sum(counts.values()) - self.ended

    def _start(self) -> None:
        wanted = min(_STARTS, self.most - self.open) if self._starting else 0
        if wanted <= 0:
            return
        flows, weights = zip(*self.mix, strict=True)
        chosen = Counter(self._chance.choices(flows, weights, k=wanted))
        for flow, count in chosen.items():
            orders = [self._order() for _ in range(count)]
            keyed = self._chance.random() < _KEYED
            keys = [f"order-{order['number']}" for order in orders] if keyed else None
            runs = self.mesh.start_runs(flow, orders, keys=keys)
            self.counts["started"] += len(runs)
            if flow is Consent:
                for run in runs[::2]:
                    self._quietly("early events", self._say, run.run_id)
            if keys is not None and self._chance.random() < _TWICE:
                self._use_twice(flow, runs[0].run_id, orders[0], keys[0])

    def _order(self) -> dict[str, Any]:
        self._number += 1
        return {"number": self._number, "token": f"{planted(self.seed)}{self._number}"}

    def _use_twice(self, flow: type[Workflow], run_id: str, order: dict[str, Any], key: str) -> None:
        again = self.mesh.start_run(flow, order, key=key)
        if again.run_id != run_id:
            self.trouble.append(f"key {key} has two runs: {run_id} and {again.run_id}")
        try:
            self.mesh.start_run(flow, order | {"number": order["number"] + 1}, key=key)
        except KeyReused:
            self.counts["keys refused"] += 1
        else:
            self.trouble.append(f"key {key} was given another payload, and nobody minded")

    def _decide(self) -> None:
        """Whoever waits for a person, or for the word that comes from outside; the same for a run each time."""
        for run in self.mesh.list_runs(workflow=Consent.__name__, status="paused", limit=_PORTION).runs:
            decide = self.mesh.reject_run if int(run.run_id[-2:], 16) % 7 == 0 else self.mesh.approve_run
            self._quietly("decisions", decide, run.run_id, actor="robot", key="decided")
        for run in self.mesh.list_runs(workflow=Consent.__name__, status="waiting", limit=_PORTION).runs:
            self._quietly("events", self._say, run.run_id)

    def _say(self, run_id: str) -> None:
        self.mesh.send_event(run_id, "word", {"said": True}, key="said")

    def _quietly(self, word: str, act: Callable[..., object], /, *args: Any, **named: Any) -> None:
        """Where the run no longer wants it, it has ended or is ending."""
        try:
            act(*args, **named)
        except UsageError:
            self.counts[f"{word}, too late"] += 1
        else:
            self.counts[word] += 1

    def _cancel(self) -> None:
        if not self._starting or self._chance.random() > _CANCELLED * _PORTION * _PAUSE:
            return
        for run in self.mesh.list_runs(limit=5).runs[-1:]:
            if run.workflow != Poison.__name__:
                self._quietly("cancels", self.mesh.cancel_run, run.run_id, actor="robot")

    def _revive(self) -> None:
        """Dead letters go back to work, but those of poisons that are not mended. What could not be undone is tried
        again.
        """
        letters = self.mesh.list_dead_letters(limit=_PORTION).dead_letters
        wanted = [letter.item for letter in letters if letter.run_id not in self.spared]
        if wanted:
            self.mesh.replay_dead_letters(wanted, actor="robot")
            self.counts["replays"] += len(wanted)
        for run in self.mesh.list_runs(status="compensating", limit=_PORTION).runs:
            self._quietly("undone again", self.mesh.retry_compensation, run.run_id, actor="robot")


def until_at_rest(robot: Robot, within: float) -> bool:
    """No more is started; whether all has ended in time."""
    robot.start_no_more()
    ends, turn = time.monotonic() + within, threading.Event()
    while time.monotonic() < ends:
        counts = robot.mesh.count_runs()
        if all(counts.get(status, 0) == 0 for status in counts if status not in ("completed", "failed", "cancelled")):
            return True
        turn.wait(_PAUSE)
    return False
