"""Which of the attempts that share a concurrency key are with RQ: as many as its limit lets run, no more.

A job whose claim is refused by the limit is spent for nothing. A crowd behind one key would be delivered again and
again, so it waits here, in order, and the next one goes when one has ended. What is lost with this memory is found by
the next full pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from squidmesh.clock import Instant
from squidmesh.ids import AttemptKey
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import JournalStore

_Key = tuple[str, str]


class Limits:
    """Not thread-safe."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self._waiting: dict[_Key, dict[AttemptKey, int]] = {}
        """In order of arrival, each with its key's limit."""
        self._out: dict[_Key, set[AttemptKey]] = {}

    def forget(self) -> None:
        self._waiting.clear()
        self._out.clear()

    def wait(self, row: AttemptRow) -> None:
        """It is due, and nobody has claimed it."""
        key = _key(row)
        if row.item not in self._out.get(key, ()):
            self._waiting.setdefault(key, {})[row.item] = row.concurrency_limit or 1

    def claimed(self, row: AttemptRow) -> None:
        key = _key(row)
        self._waiting.get(key, {}).pop(row.item, None)
        self._out.setdefault(key, set()).add(row.item)

    def ready(self, now: Instant) -> list[AttemptRow]:
        """Those that RQ should have now: the ones it was given and that nobody has claimed yet, and who comes next."""
        open_ = self._read(item for out in self._out.values() for item in out)
        found = self._keep([row for row in open_ if row.owner is not None or row.visible_at <= now])
        while candidates := self._candidates():
            open_ = self._read(candidates)
            found += self._keep([row for row in open_ if row.visible_at <= now], also=True)
        return found

    def _keep(self, rows: list[AttemptRow], *, also: bool = False) -> list[AttemptRow]:
        """These are out, and (but for ``also``) no others. Tells which of them nobody has claimed."""
        if not also:
            self._out.clear()
        for row in rows:
            self._out.setdefault(_key(row), set()).add(row.item)
        return [row for row in rows if row.owner is None]

    def _candidates(self) -> list[AttemptKey]:
        """Who comes next where there is a place, taken off those who wait."""
        found: list[AttemptKey] = []
        for key, waiting in list(self._waiting.items()):
            free = next(iter(waiting.values()), 1) - len(self._out.get(key, ()))
            chosen = list(islice(waiting, max(0, free)))
            for item in chosen:
                del waiting[item]
            found += chosen
            if not waiting:
                del self._waiting[key]
        return found

    def _read(self, items: Iterable[AttemptKey]) -> list[AttemptRow]:
        asked = list(items)
        found = {row.item: row for row in self._store.attempts(asked)} if asked else {}
        return [found[item] for item in asked if item in found]


def _key(row: AttemptRow) -> _Key:
    return row.queue, row.concurrency_key or ""
