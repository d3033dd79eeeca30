"""Time, threads and chance of the product, replaced by those of a loop: the shell runs as it is, and on virtual time.

The modules of the runtime call ``time``, ``threading``, ``queue`` and ``secrets`` by these names; while a
:class:`Stage` is set, the names mean what stands here. Nothing of the product knows of it.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import queue
import random
import secrets
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any

import tenacity
import tenacity.nap
import tenacity.wait

import squidmesh
import squidmesh.memory
import squidmesh.ports
import squidmesh.runtime
from chaos.simulator.loop import SECOND, Actor, Loop

_PACKAGES = (squidmesh.runtime, squidmesh.memory, squidmesh.ports)


class Stage:
    """Where the present simulation stands: one at a time in a process. ``world``: for the steps of its workflows."""

    def __init__(self) -> None:
        self.loop: Any = None
        self.world: Any = None

    @property
    def rng(self) -> random.Random:
        """Of the process that runs, or of the world."""
        loop: Loop = self.loop
        if loop.current is not None:
            return loop.current.process.rng
        found: random.Random = self.world.rng
        return found


class _Time:
    """Stands for the module ``time``. Monotonic time is the loop's, for everyone: no process has a clock of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def monotonic(self) -> float:
        return float(self._stage.loop.look() / SECOND)

    perf_counter = time = monotonic

    def time_ns(self) -> int:
        return int(self._stage.loop.now * 1000)

    def sleep(self, seconds: float) -> None:
        self._stage.loop.sleep(int(seconds * SECOND))


def _micros(timeout: float | None) -> int | None:
    return None if timeout is None or timeout < 0 else int(timeout * SECOND)


class _Waiting:
    """Those who wait for one thing, in the order in which they came."""

    __slots__ = ("_actors", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._actors: deque[Actor] = deque()

    def wait(self, micros: int | None) -> bool:
        loop: Loop = self._stage.loop
        actor = loop.current
        assert actor is not None
        self._actors.append(actor)
        try:
            return loop.park(micros)
        finally:
            if actor in self._actors:
                self._actors.remove(actor)

    def wake(self, number: int) -> None:
        while self._actors and number:
            self._stage.loop.wake(self._actors.popleft())
            number -= 1

    def __len__(self) -> int:
        return len(self._actors)


class _Lock:
    def __init__(self, stage: Stage, *, again: bool = False) -> None:
        self._stage = stage
        self._again = again
        self._holder: object = None
        self._depth = 0
        self._waiting: _Waiting | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._stage.loop.current or self
        if self._depth == 0:
            self._holder, self._depth = me, 1
            return True
        if self._again and self._holder is me:
            self._depth += 1
            return True
        if not blocking:
            return False
        if self._waiting is None:
            self._waiting = _Waiting(self._stage)
        while self._depth:
            if not self._waiting.wait(_micros(timeout)) and timeout >= 0:
                return False
        self._holder, self._depth = me, 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._holder = None
            if self._waiting:
                self._waiting.wake(1)

    def locked(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class _Condition:
    def __init__(self, stage: Stage, lock: _Lock | None = None) -> None:
        self._lock = lock or _Lock(stage, again=True)
        self._waiting = _Waiting(stage)
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def wait(self, timeout: float | None = None) -> bool:
        self._lock.release()
        try:
            return self._waiting.wait(_micros(timeout))
        finally:
            self._lock.acquire()

    def notify(self, n: int = 1) -> None:
        self._waiting.wake(n)

    def notify_all(self) -> None:
        self._waiting.wake(len(self._waiting))

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class _Event:
    def __init__(self, stage: Stage) -> None:
        self._waiting = _Waiting(stage)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._waiting.wake(len(self._waiting))

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiting.wait(_micros(timeout))
        return self._set


class _Thread:
    """An actor of the process that makes it."""

    def __init__(
        self,
        stage: Stage,
        target: Callable[..., object],
        name: str = "thread",
        args: tuple[Any, ...] = (),
        daemon: bool | None = None,
    ) -> None:
        self._stage = stage
        self._target, self._args = target, args
        self.name = name
        self._ended = _Event(stage)
        self._actor: Actor | None = None

    def start(self) -> None:
        current = self._stage.loop.current
        self._actor = self._stage.loop.spawn(current.process, self.name, self._live)
        self._actor.thread = self

    def _live(self) -> None:
        try:
            self._target(*self._args)
        finally:
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return self._actor is not None and not self._ended.is_set()


class _Threading:
    """Stands for the module ``threading``."""

    TIMEOUT_MAX = threading.TIMEOUT_MAX

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def Lock(self) -> _Lock:
        return _Lock(self._stage)

    def RLock(self) -> _Lock:
        return _Lock(self._stage, again=True)

    def Condition(self, lock: _Lock | None = None) -> _Condition:
        return _Condition(self._stage, lock)

    def Event(self) -> _Event:
        return _Event(self._stage)

    def Thread(self, **settings: Any) -> _Thread:
        return _Thread(self._stage, **settings)

    def current_thread(self) -> Any:
        actor = self._stage.loop.current
        return None if actor is None else actor.thread


class _SimpleQueue:
    def __init__(self, stage: Stage) -> None:
        self._waiting = _Waiting(stage)
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._waiting.wake(1)

    def get(self) -> Any:
        while not self._items:
            self._waiting.wait(None)
        return self._items.popleft()


class _Queue:
    """Stands for the module ``queue``."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def SimpleQueue(self) -> _SimpleQueue:
        return _SimpleQueue(self._stage)

    def __class_getitem__(cls, item: object) -> object:
        return cls


class _Chance:
    """Stands for ``secrets``, ``random`` and ``uuid4``: all of it is drawn by the process that asks."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def token_hex(self, size: int) -> str:
        return f"{self._stage.rng.getrandbits(8 * size):0{2 * size}x}"

    def randbytes(self, size: int) -> bytes:
        return self._stage.rng.randbytes(size)

    def random(self) -> float:
        return self._stage.rng.random()

    def uniform(self, low: float, high: float) -> float:
        return self._stage.rng.uniform(low, high)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._stage.rng.getrandbits(128), version=4)


class _Os:
    """Stands for the module ``os``, whose chance is the process's own too."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def urandom(self, size: int) -> bytes:
        return self._stage.rng.randbytes(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@contextmanager
def staged(stage: Stage) -> Iterator[Stage]:
    """While in it, the runtime and the memory backend run on the stage's loop; their real ones are put back at the
    end.
    """
    fakes = _Time(stage), _Threading(stage), _Queue(stage), _Chance(stage), _Os(stage)
    undo: list[Callable[[], None]] = []
    for package in _PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    names = tuple(package.__name__ for package in _PACKAGES)
    for module in [module for name, module in sorted(sys.modules.items()) if name.startswith(names)]:
        _replace_in(module, fakes, undo)
    for module, name, fake in (
        (tenacity, "time", fakes[0]),
        (tenacity.nap, "time", fakes[0]),
        (tenacity.wait, "random", fakes[3]),
    ):
        _put(module, name, fake, undo)
    try:
        yield stage
    finally:
        for put_back in reversed(undo):
            put_back()


def _replace_in(module: ModuleType, fakes: tuple[Any, Any, Any, Any, Any], undo: list[Callable[[], None]]) -> None:
    clock, threads, queues, chance, system = fakes
    by_identity: list[tuple[object, object]] = [
        (time, clock),
        (threading, threads),
        (queue, queues),
        (secrets, chance),
        (os, system),
        (uuid.uuid4, chance.uuid4),
    ]
    for name, value in list(vars(module).items()):
        for real, fake in by_identity:
            if value is real:
                _put(module, name, fake, undo)
        if isinstance(value, random.SystemRandom):
            _put(module, name, chance, undo)
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for member in vars(value).values():
                _replace_default(member, clock, undo)
        _replace_default(value, clock, undo)


def _replace_default(function: object, clock: _Time, undo: list[Callable[[], None]]) -> None:
    """A default that was bound when the function was made."""
    given = getattr(function, "__kwdefaults__", None)
    if inspect.isfunction(function) and given and time.monotonic in given.values():
        changed = {name: clock.monotonic if value is time.monotonic else value for name, value in given.items()}
        _put(function, "__kwdefaults__", changed, undo)


def _put(holder: Any, name: str, value: object, undo: list[Callable[[], None]]) -> None:
    before = getattr(holder, name)
    setattr(holder, name, value)
    undo.append(lambda: setattr(holder, name, before))
