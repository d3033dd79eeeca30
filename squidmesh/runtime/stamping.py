"""Many runs that begin alike: planned once, and stamped (protocol 3.7).

The starts of one call differ in ids, keys and payloads alone, and so does what they come to. So the ordinary path
(``births.py``) plans one run in which marks stand for these; what has a mark in it is made anew for each run, and all
else is the same. There is no second set of rules here of what a start comes to. What can not be stamped shows itself: a
plan that looks at its payload, for a condition or a concurrency key, finds that it may not; and one real run is made
both ways, which must come out the same. Then each run is planned on the ordinary path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import structs

from squidmesh.clock import Instant
from squidmesh.ids import EntryId, RunId, ThreadId
from squidmesh.journal.codec import decode_facts
from squidmesh.journal.fold import fold
from squidmesh.journal.forms import Form
from squidmesh.journal.rows import RowChanges
from squidmesh.journal.state import RunState
from squidmesh.ports.journal_store import Append, DefinitionRecord
from squidmesh.ports.lease_backend import Item
from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime import chance
from squidmesh.runtime.births import plan
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.recorder import Birth
from squidmesh.runtime.starts import Start

T = TypeVar("T")
_Mould = Callable[[RunId, str | None], T]
"""Makes one kind of value for a run, whose id and key it is given."""

FEWEST = 8
"""Starts of one call from which on it is worth it: a stamp costs two plans more."""


class Stamped:
    """A run that has begun like others: what a :class:`~squidmesh.runtime.recorder.Birth` is, at less cost."""

    __slots__ = ("_key", "_run_id", "_stamp", "append")

    def __init__(self, stamp: Stamp, run_id: RunId, key: str | None, append: Append) -> None:
        self._stamp = stamp
        self._run_id = run_id
        self._key = key
        self.append = append

    @property
    def definition(self) -> DefinitionRecord:
        return self._stamp.definition

    @property
    def effects(self) -> Effects:
        return Effects(offers=list(self._stamp.offers(self._run_id, self._key)))

    @property
    def state(self) -> RunState:
        """Folded from the entry, for whoever wants all of it."""
        return fold(None, decode_facts(self.append.body, thread=self._run_id, revision=1))

    def seen(self, now: Instant) -> Run:
        """What :func:`~squidmesh.reading.inspect.inspect` tells of its state."""
        return self._stamp.seen(now)(self._run_id, self._key)


def seen(run: RunState | Stamped, now: Instant) -> Run:
    return run.seen(now) if isinstance(run, Stamped) else inspect(run, now=now)


class Planner:
    """Plans the starts of one commit."""

    def __init__(self, now: Instant, *, many: bool, offers: bool) -> None:
        """``many``: they are worth a stamp."""
        self._now = now
        self._many = many
        self._offers = offers
        self._stamps: dict[tuple[int, bool], Stamp | None] = {}

    def plan(self, asked: Start, run_id: RunId, entry_id: EntryId) -> Birth | Stamped:
        if self._many and asked.run_id is None:
            alike = (id(asked.terms), asked.key is None)
            if alike not in self._stamps:
                self._stamps[alike] = stamp_of(asked, self._now, offers=self._offers)
            if (stamp := self._stamps[alike]) is not None:
                return stamp.make(asked, run_id, entry_id)
        return plan(asked, self._now, run_id, entry_id=entry_id, offers=self._offers)


def stamp_of(asked: Start, now: Instant, *, offers: bool) -> Stamp | None:
    """For all starts on the terms of ``asked`` that have a key as it has one, or have none. None where these can not be
    stamped.
    """
    run_id, entry_id = chance.new_run_id(), chance.new_entry_id()
    try:
        stamp = Stamp(asked, now, offers=offers)
    except _PayloadSeen:
        return None
    made, born = stamp.make(asked, run_id, entry_id), plan(asked, now, run_id, entry_id=entry_id, offers=offers)
    same = (made.append, made.effects, made.seen(now)) == (born.append, born.effects, inspect(born.state, now=now))
    return stamp if same else None


class Stamp:
    """What is equal in the runs of :func:`stamp_of`, and where each has its own."""

    def __init__(self, like: Start, now: Instant, *, offers: bool) -> None:
        run_id, key, fingerprint, payload = (chance.new_run_id() for _ in range(4))
        marked = dataclasses.replace(
            like,
            payload=_Unseen({payload: None}),
            payload_fingerprint=fingerprint,
            key=None if like.key is None else key,
        )
        born = plan(marked, now, run_id, offers=offers)
        self.definition = born.definition
        self._marks = _Marks(run_id, marked.key)
        self._state = born.state
        self._form = Form(born.append.body, (run_id, fingerprint, marked.payload, key))
        self._rows: _Mould[RowChanges] = _mould(born.append.rows, self._marks)
        self.offers: _Mould[tuple[Item, ...]] = _mould(tuple(born.effects.offers), self._marks)
        self._seen: tuple[Instant, _Mould[Run]] | None = None

    def make(self, asked: Start, run_id: RunId, entry_id: EntryId) -> Stamped:
        append = Append(
            thread=ThreadId(run_id),
            expected_revision=0,
            entry_id=entry_id,
            body=self._form.filled((run_id, asked.payload_fingerprint, asked.payload, asked.key)),
            rows=self._rows(run_id, asked.key),
        )
        return Stamped(self, run_id, asked.key, append)

    def seen(self, now: Instant) -> _Mould[Run]:
        if self._seen is None or self._seen[0] != now:
            self._seen = now, _mould(inspect(self._state, now=now), self._marks)
        return self._seen[1]


# ----------------------------------------------------------------------------------------------------------- moulds


@dataclasses.dataclass(frozen=True, slots=True)
class _Marks:
    """Texts that stand nowhere but where they were put."""

    run_id: str
    key: str | None


class _PayloadSeen(Exception):
    """What the run comes to depends on its payload."""


class _Unseen(dict[str, Any]):
    """A payload that may be passed on and encoded, and not looked at."""

    def _refuse(self, *_: object) -> NoReturn:
        raise _PayloadSeen

    __getitem__ = __contains__ = __iter__ = __len__ = __eq__ = get = keys = items = values = _refuse


def _mould(value: T, marks: _Marks) -> _Mould[T]:
    """Makes the same value with a run's own id and key in place of the marks."""
    own = _own(value, marks)
    return (lambda run_id, key: value) if own is None else own


def _own(value: Any, marks: _Marks) -> _Mould[Any] | None:
    """None of a value without a mark."""
    if isinstance(value, str):
        return _own_text(value, marks)
    if isinstance(value, tuple):
        if not [part for part in value if _own(part, marks) is not None]:
            return None
        parts = [_mould(part, marks) for part in value]
        return lambda run_id, key: tuple([part(run_id, key) for part in parts])
    if isinstance(value, msgspec.Struct):
        return _own_struct(value, marks)
    if isinstance(value, Run):
        return _own_run(value, marks)
    return None


def _own_text(text: str, marks: _Marks) -> _Mould[Any] | None:
    if text == marks.key:
        return lambda run_id, key: key
    if text == marks.run_id:
        return lambda run_id, key: run_id
    before, found, after = text.partition(marks.run_id)
    return (lambda run_id, key: f"{before}{run_id}{after}") if found else None


def _own_struct(value: msgspec.Struct, marks: _Marks) -> _Mould[Any] | None:
    own = _own_fields({name: getattr(value, name) for name in value.__struct_fields__}, marks)
    if not own:
        return None
    return lambda run_id, key: structs.replace(value, **{name: made(run_id, key) for name, made in own})


def _own_fields(fields: Mapping[str, Any], marks: _Marks) -> list[tuple[str, _Mould[Any]]]:
    return [(name, own) for name, value in fields.items() if (own := _own(value, marks)) is not None]


def _own_run(run: Run, marks: _Marks) -> _Mould[Run]:
    """Slot by slot: that is half of what it costs to call the class with so many fields."""
    fields = {one.name: getattr(run, one.name) for one in dataclasses.fields(run)}
    varying = dict(_own_fields(fields, marks))
    own = [(getattr(Run, name).__set__, made) for name, made in varying.items()]
    same = [(getattr(Run, name).__set__, value) for name, value in fields.items() if name not in varying]

    def made(run_id: RunId, key: str | None) -> Run:
        new = object.__new__(Run)
        for put, value in same:
            put(new, value)
        for put, make in own:
            put(new, make(run_id, key))
        return new

    return made
