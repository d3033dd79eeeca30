"""What the groups of one batch write, as the one statement that does it (``sql/commit.sql``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from squidmesh.errors import DataRefused
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Answer, Append, Committed, Conflict, DefinitionRecord, Group, Moved
from squidmesh_postgres.alike import ATTEMPTS, FEWEST, RUNS, first_entries
from squidmesh_postgres.leases import LEASE_PARTS, lease_rows
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load
from squidmesh_postgres.wakeup import ANYTHING

_ORDER = (
    "run_rows",
    "tallied",
    "runs",
    "remove",
    "put_rows",
    "put",
    "agenda_done",
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
_AGENDA = {"remove", "put_rows", "put", "agenda_done"}
"""Parts of which those of leases speak: they wait for the agenda."""
_encode = msgspec.json.encode


class Rows:
    """The changes of rows of several groups, encoded: an array for each part, each row with the number of its group.

    ``words``: queues in which there is work to claim, and an empty one where there is something to hear.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, list[bytes]] = {}
        self._keys: set[tuple[str, str]] = set()
        self.is_tangled = False
        """Two groups write the same row: they can not be written by one statement."""
        self._is_alike = False
        """Runs and attempts are said by their differences, all at once, and not row by row."""
        self.words: set[str] = set()

    @property
    def is_empty(self) -> bool:
        return not self._arrays

    def add(self, g: int, rows: RowChanges) -> None:
        if rows.run is not None and not self._is_alike:
            self.put("runs", g, rows.run)
        coming = [row.item for row in rows.put]
        for item in rows.remove:
            if item not in coming:
                self._name("remove", g, "item", item)
        for row in rows.put:
            self._key("put", row.item)
            if not self._is_alike:
                self.put("put", g, row)
            if row.owner is None:
                self.words.add(row.queue)
        if rows.unbury or rows.bury:
            self._replace(g, "unbury", "bury", "item", rows.unbury, rows.bury)
        if rows.drop_timers or rows.set_timers:
            self._replace(g, "drop_timers", "set_timers", "timer", rows.drop_timers, rows.set_timers)
        if rows.resume or rows.pause:
            self._replace(g, "resume", "pause", "queue", rows.resume, rows.pause)
        if rows.set_timers:
            self.words.add(ANYTHING)

    def put(self, part: str, g: int, row: object) -> None:
        self._arrays.setdefault(part, []).append(b'{"g":%d,' % g + _encode(row)[1:])

    def parameters(self, **others: object) -> dict[str, object]:
        return {**dict.fromkeys(_ARRAYS, "[]"), **{part: _array(rows) for part, rows in self._arrays.items()}, **others}

    def by_themselves(self, schema: str) -> Raw:
        """The statement that writes them without an entry."""
        return _composed(schema, ("by_themselves", *self.parts), "done")

    @property
    def parts(self) -> tuple[str, ...]:
        wanted = {part for part in _ORDER if self._arrays.get(part)}
        if "runs" in wanted:
            wanted |= {"run_rows", "tallied"}
        if "put" in wanted:
            wanted.add("put_rows")
        if not wanted.isdisjoint(LEASE_PARTS):
            wanted |= _AGENDA
        return tuple(part for part in _ORDER if part in wanted)

    def _replace(self, g: int, leave: str, come: str, key: str, left: Iterable[str], came: Sequence[Any]) -> None:
        """What leaves and comes in one entry is replaced."""
        for name in set(left) - {getattr(row, key) for row in came}:
            self._name(leave, g, key, name)
        for row in came:
            self._key(come, getattr(row, key))
            self.put(come, g, row)

    def _name(self, part: str, g: int, key: str, name: str) -> None:
        self._key(part, name)
        self.put(part, g, {key: name})

    def _key(self, part: str, name: str) -> None:
        key = (_TABLES.get(part, part), name)
        self.is_tangled |= key in self._keys
        self._keys.add(key)


class Batch(Rows):
    """What the groups of one commit write, encoded before anything is locked. ``new``: threads that begin here.
    ``only_begins``: and each group is one of them, and nothing else may refuse it.
    """

    def __init__(self, groups: Sequence[Group], *, marked: bool = False) -> None:
        super().__init__()
        self._groups = len(groups)
        self.new: list[str] = []
        self._by_epoch = any(group.epoch is not None for group in groups)
        self.only_begins = not self._by_epoch and all(
            len(group.appends) == 1 and group.appends[0].expected_revision == 0 and not group.leases for group in groups
        )
        self._is_alike = self.only_begins and not marked and len(groups) >= FEWEST
        threads: set[str] = set()
        definitions: dict[str, tuple[DefinitionRecord, list[int]]] = {}
        for g, group in enumerate(groups):
            for append in group.appends:
                if append.thread in threads:
                    raise DataRefused("a thread occurs twice in one commit; allowed is once")
                threads.add(append.thread)
                self._append(g, append, group.epoch)
            for record in group.definitions:
                definitions.setdefault(record.fingerprint, (record, []))[1].append(g)
        if definitions:
            self._arrays["definitions"] = [_shared(record, of) for record, of in definitions.values()]
        if self._is_alike:
            self._say_alike([group.appends[0] for group in groups])
        for part, rows in lease_rows(enumerate(groups)).items():
            self._arrays[part] = [_encode(row) for row in rows]

    def statement(self, schema: str, *, marked: bool = False) -> Raw:
        if self._is_alike:
            parts = tuple(f"{part}_alike" if part in _ALIKE else part for part in self.parts)
            return _composed(schema, ("given_alike", "judged_new", "accepted", "written_alike", *parts), "answer")
        if self.only_begins and not marked:
            return _composed(schema, ("given_new", "judged_new", "accepted", "written_new", *self.parts), "answer")
        judged = "judged_by_epoch" if self._by_epoch else "judged"
        accepted = "accepted_with_mark" if marked else "accepted"
        parts = self.parts
        if not self.new:
            parts = tuple("runs_known" if part == "runs" else part for part in parts)
        return _composed(schema, ("given", judged, accepted, "written", *parts), "answer")

    def to_begin(self, *, marked: bool = False) -> list[str]:
        """The threads that must be there before the statement."""
        return [] if self.only_begins and not marked else self.new

    def answers(self, refused: Iterable[Sequence[Any]]) -> list[Answer]:
        """``refused``: rows of the answer, without the first."""
        answers: list[Answer] = [Committed()] * self._groups
        for _, g, thread, revision, agrees, _ in refused:
            if isinstance(answers[g], Conflict):
                continue
            if not agrees:
                answers[g] = Conflict(thread=thread, revision=revision)
            elif answers[g] == Committed():
                answers[g] = Moved()
        return answers

    def parameters(self, **others: object) -> dict[str, object]:
        if not self._is_alike:
            return super().parameters(**others)
        return {**super().parameters(**others), "appends": self._first_entries, "bodies": self._bodies}

    def _say_alike(self, appends: Sequence[Append]) -> None:
        self._first_entries, self._bodies = first_entries(appends)
        runs = [(g, append.rows.run) for g, append in enumerate(appends) if append.rows.run is not None]
        attempts = [(g, row) for g, append in enumerate(appends) for row in append.rows.put]
        if runs:
            self._arrays["runs"] = RUNS.said(runs)
        if attempts:
            self._arrays["put"] = ATTEMPTS.said(attempts)

    def _append(self, g: int, append: Append, epoch: int | None) -> None:
        if not self._is_alike:
            self._say_append(g, append, epoch)
        if append.expected_revision == 0:
            self.new.append(append.thread)
        if append.checkpoint is not None:
            point = {"thread": append.thread, "revision": append.expected_revision + 1, "body": append.checkpoint}
            self.put("checkpoints", g, point)
        self.add(g, append.rows)

    def _say_append(self, g: int, append: Append, epoch: int | None) -> None:
        self.put(
            "appends",
            g,
            {
                "thread": append.thread,
                "expected": append.expected_revision,
                "epoch": epoch,
                "entry_id": append.entry_id,
                "body": append.body,
            },
        )


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
_ALIKE = {"run_rows", "put_rows"}
_NOT_GIVEN = {"run_rows", "tallied", "put_rows", "agenda_done"}
_ARRAYS = ("appends", *(part for part in _ORDER if part not in _NOT_GIVEN))


def one_by_one(groups: Sequence[Group]) -> Iterator[Batch]:
    for group in groups:
        yield Batch([group])


def _shared(record: DefinitionRecord, groups: list[int]) -> bytes:
    """A definition once, whatever the number of groups that bring it: most batches are of one workflow."""
    return _encode({"groups": groups, "fingerprint": record.fingerprint, "body": record.body})


def _array(rows: Sequence[bytes]) -> str:
    return "[" + b",".join(rows).decode() + "]"


@cache
def _composed(schema: str, parts: tuple[str, ...], answer: str) -> Raw:
    known = load("commit", schema) | load("commit_leases", schema)
    tables = ",\n".join(known[part] for part in parts)
    return Raw(f"WITH {tables}\n{known[answer]}")
