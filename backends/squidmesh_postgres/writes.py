"""What the groups of one batch write, as the one statement that does it (``sql/commit.sql``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from squidmesh.errors import DataRefused
from squidmesh.ports.journal_store import Answer, Append, Committed, Conflict, Group, Moved
from squidmesh_postgres.leases import LEASE_PARTS, lease_rows
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load

_ORDER = (
    "runs",
    "agenda",
    *LEASE_PARTS,
    "unbury",
    "bury",
    "drop_timers",
    "set_timers",
    "resume",
    "pause",
    "checkpoints",
    "definitions",
)
_BOTH = {"agenda": ("remove", "put")}
"""Parts that read two arrays."""
_encode = msgspec.json.encode


class Batch:
    """Encoded before anything is locked. ``new``: threads that begin here. ``words``: queues in which there is work
    to claim, and an empty one where there is something to hear.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self._rows: dict[str, list[bytes]] = {"appends": []}
        self._keys: set[tuple[str, str]] = set()
        self.is_tangled = False
        """Two groups write the same row: they can not be written by one statement."""
        self.new: list[str] = []
        self.words: set[str] = set()
        self._by_epoch = any(group.epoch is not None for group in groups)
        threads: set[str] = set()
        for g, group in enumerate(groups):
            for append in group.appends:
                if append.thread in threads:
                    raise DataRefused("a thread occurs twice in one commit; allowed is once")
                threads.add(append.thread)
                self._add(g, append, group.epoch)
            for record in group.definitions:
                self._put("definitions", g, record)
        for part, rows in lease_rows(enumerate(groups)).items():
            self._rows[part] = [_encode(row) for row in rows]

    def statement(self, schema: str, *, marked: bool = False) -> Raw:
        parts = [part for part in _ORDER if any(self._rows.get(array) for array in _BOTH.get(part, (part,)))]
        if "agenda" not in parts and any(part in parts for part in LEASE_PARTS):
            parts.insert(0, "agenda")  # theirs begin when that is done
        return _composed(schema, tuple(parts), self._by_epoch, marked)

    def parameters(self, **others: object) -> dict[str, object]:
        return {**dict.fromkeys(_ARRAYS, "[]"), **{part: _array(rows) for part, rows in self._rows.items()}, **others}

    def answers(self, refused: Iterable[Sequence[Any]]) -> list[Answer]:
        """``refused``: rows of the answer, without the first."""
        answers: list[Answer] = [Committed()] * len(self.groups)
        for _, g, thread, revision, agrees, _ in refused:
            if isinstance(answers[g], Conflict):
                continue
            if not agrees:
                answers[g] = Conflict(thread=thread, revision=revision)
            elif answers[g] == Committed():
                answers[g] = Moved()
        return answers

    def _add(self, g: int, append: Append, epoch: int | None) -> None:
        rows = append.rows
        self._rows["appends"].append(
            _encode(
                {
                    "g": g,
                    "thread": append.thread,
                    "expected": append.expected_revision,
                    "epoch": epoch,
                    "entry_id": append.entry_id,
                    "body": append.body,
                }
            )
        )
        if append.expected_revision == 0:
            self.new.append(append.thread)
        if append.checkpoint is not None:
            point = {"thread": append.thread, "revision": append.expected_revision + 1, "body": append.checkpoint}
            self._put("checkpoints", g, point)
        if rows.run is not None:
            self._put("runs", g, rows.run)
        put = {row.item for row in rows.put}
        for item in rows.remove:
            if item not in put:
                self._name("remove", g, "item", item)
        for row in rows.put:
            self._key("put", row.item)
            self._put("put", g, row)
            if row.owner is None:
                self.words.add(row.queue)
        self._replace(g, "unbury", "bury", "item", rows.unbury, rows.bury)
        self._replace(g, "drop_timers", "set_timers", "timer", rows.drop_timers, rows.set_timers)
        self._replace(g, "resume", "pause", "queue", rows.resume, rows.pause)
        if rows.set_timers:
            self.words.add("")

    def _replace(self, g: int, leave: str, come: str, key: str, left: Iterable[str], came: Sequence[Any]) -> None:
        """What leaves and comes in one entry is replaced."""
        for name in set(left) - {getattr(row, key) for row in came}:
            self._name(leave, g, key, name)
        for row in came:
            self._key(come, getattr(row, key))
            self._put(come, g, row)

    def _name(self, part: str, g: int, key: str, name: str) -> None:
        self._key(part, name)
        self._put(part, g, {key: name})

    def _key(self, part: str, name: str) -> None:
        key = (_TABLES.get(part, part), name)
        self.is_tangled |= key in self._keys
        self._keys.add(key)

    def _put(self, part: str, g: int, row: object) -> None:
        self._rows.setdefault(part, []).append(b'{"g":%d,' % g + _encode(row)[1:])


_TABLES = {
    "remove": "agenda",
    "put": "agenda",
    "unbury": "dead_letters",
    "bury": "dead_letters",
    "drop_timers": "timers",
    "set_timers": "timers",
    "resume": "pauses",
    "pause": "pauses",
}
_ARRAYS = ("appends", "remove", "put", *(part for part in _ORDER if part != "agenda"))


def one_by_one(groups: Sequence[Group]) -> Iterator[Batch]:
    for group in groups:
        yield Batch([group])


def _array(rows: Sequence[bytes]) -> str:
    return "[" + b",".join(rows).decode() + "]"


@cache
def _composed(schema: str, parts: tuple[str, ...], by_epoch: bool, marked: bool) -> Raw:
    known = load("commit", schema) | load("commit_leases", schema)
    judged = "judged_by_epoch" if by_epoch else "judged"
    accepted = "accepted_with_mark" if marked else "accepted"
    tables = ",\n".join(known[part] for part in ("given", judged, accepted, "written", *parts))
    return Raw(f"WITH {tables}\n{known['answer']}")
