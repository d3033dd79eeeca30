"""Live updates: one look for all who watch the same thing, and a word to each of them when it has changed.

A page says what it shows (a topic) and as what it has seen it (a digest). One task looks at every topic that somebody
watches, in turn, and never spends more than a quarter of the time on it: a slow store is asked less often, not in a
heap. Nobody watches: nobody looks. Who hears of a change loads the page again, with the rights that he has then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from squidmesh import SquidMeshError

EVERY = 1.0
"""Seconds between two looks, where they are cheap."""
_REST = 3.0
"""How many times as long as a look took the poller rests behind it, at least."""
_QUIET = 15.0
"""Seconds after which a stream says that it is still there."""
_LONGEST = 300.0
"""Seconds that a stream lives: the browser opens it again, and is asked again who it is."""
_AWAY = "away"
"""The digest of what can not be read now."""


@dataclass(frozen=True, slots=True)
class Topic:
    """``look`` gives a digest of what is there now. It is called in a thread, and may raise ``SquidMeshError``."""

    name: str
    look: Callable[[], str]


def digest(value: Any) -> str:
    """Of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(slots=True, eq=False)
class _Watched:
    topic: Topic
    seen: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0


class Live:
    """Of one event loop. ``most``: streams that may be open at once."""

    def __init__(self, *, most: int, every: float = EVERY) -> None:
        self._most = most
        self._every = every
        self._watched: dict[str, _Watched] = {}
        self._streams = 0
        self._poller: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        return self._streams

    @property
    def is_full(self) -> bool:
        return self._streams >= self._most

    async def follow(self, topic: Topic) -> AsyncIterator[bytes]:
        """Events for one browser. Begins with what is there, and ends after some minutes."""
        one = self._watched.setdefault(topic.name, _Watched(topic))
        one.watchers += 1
        self._streams += 1
        self._look_after()
        told: str | None = None
        until = time.monotonic() + _LONGEST
        try:
            yield b"retry: 2000\n\n"
            while (left := until - time.monotonic()) > 0:
                changed = one.changed  # before what was seen is read: a change in between is not missed
                if one.seen is not None and one.seen != told:
                    told = one.seen
                    yield f"event: seen\ndata: {told}\n\n".encode()
                try:
                    await asyncio.wait_for(changed.wait(), min(_QUIET, left))
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._streams -= 1
            one.watchers -= 1
            if not one.watchers:
                self._watched.pop(topic.name, None)

    def _look_after(self) -> None:
        if self._poller is None or self._poller.done() or self._poller.get_loop() is not asyncio.get_running_loop():
            self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        while self._watched:
            began = time.monotonic()
            for one in list(self._watched.values()):
                found = await run_in_threadpool(_look, one.topic)
                if found != one.seen:
                    one.seen = found
                    one.changed.set()
                    one.changed = asyncio.Event()
            took = time.monotonic() - began
            await asyncio.sleep(max(self._every, took * _REST))


def _look(topic: Topic) -> str:
    """A store that is away is news, and so is its return."""
    try:
        return topic.look()
    except SquidMeshError:
        return _AWAY
