"""What an invariant is shown of one thread, and where it writes what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from chaos.evidence import Settings, ThreadDump
from chaos.history import Call
from chaos.index import PlacedDeed
from chaos.verdict import MOST_SHOWN, Problem
from squidmesh.clock import Instant
from squidmesh.errors import CorruptHistory
from squidmesh.journal.catalogue import CATALOGUE_CODEC
from squidmesh.journal.codec import decode_facts, encode_state
from squidmesh.journal.facts import AnyFact, RunStarted
from squidmesh.journal.fold import IllegalFact, fold
from squidmesh.journal.queues import QUEUE_CODEC
from squidmesh.journal.state import RunState
from squidmesh.journal.thread_codec import ThreadCodec
from squidmesh.journal.triggers import TRIGGER_CODEC
from squidmesh.ports.journal_store import Entry
from squidmesh.workflow.definition import Definition, FunctionStep

ThreadKind = Literal["run", "queue", "trigger", "catalogue", "rows_only"]

_OTHERS: Mapping[ThreadKind, ThreadCodec[Any, Any]] = {
    "queue": QUEUE_CODEC,
    "trigger": TRIGGER_CODEC,
    "catalogue": CATALOGUE_CODEC,
}


class Tally:
    """Of one invariant: how much was held against it, and what broke it."""

    def __init__(self) -> None:
        self.checked = 0
        self.red = 0
        self.problems: list[Problem] = []

    def saw(self, number: int = 1) -> None:
        """So many more things were held against it, whatever came of that."""
        self.checked += number

    def breach(self, where: object, what: str) -> None:
        """One of them broke it."""
        self.red += 1
        if len(self.problems) < MOST_SHOWN:
            self.problems.append(Problem(where=str(where), what=what))


class Said(NamedTuple):
    """One fact, and where it stands."""

    thread: str
    revision: int
    fact: AnyFact

    @property
    def place(self) -> str:
        return f"{self.thread}@{self.revision}"


@dataclass(slots=True, kw_only=True)
class Read:
    """A thread's entries, decoded up to the first that is missing or can not be read: nobody reads on behind that, the
    runtime neither. ``whole``: there is none. ``broken``: revision and reason of the one that can not be read.
    """

    kind: ThreadKind
    entries: list[tuple[Entry, Sequence[object]]] = field(default_factory=list)
    broken: tuple[int, str] | None = None
    whole: bool = True


def read_thread(dump: ThreadDump) -> Read:
    """A thread that is of no other kind is a run's."""
    if not dump.entries:
        return Read(kind="rows_only")
    read = Read(kind=_kind_of(dump.entries[0]))
    for revision, entry in enumerate(dump.entries, start=1):
        if entry.revision != revision:
            read.whole = False
            break
        try:
            if read.kind == "run":
                facts: Sequence[object] = decode_facts(entry.body, thread=entry.thread, revision=entry.revision)
            else:
                facts = _OTHERS[read.kind].decode_facts(entry.body, thread=entry.thread, revision=entry.revision)
        except CorruptHistory as error:
            read.broken, read.whole = (entry.revision, str(error)), False
            break
        read.entries.append((entry, facts))
    return read


def _kind_of(first: Entry) -> ThreadKind:
    try:
        decode_facts(first.body, thread=first.thread, revision=first.revision)
    except CorruptHistory:
        for name, codec in _OTHERS.items():
            try:
                codec.decode_facts(first.body, thread=first.thread, revision=first.revision)
            except CorruptHistory:
                continue
            return name
    return "run"


@dataclass(kw_only=True)
class RunCase:
    """One run, with all that is known of it. ``facts`` are in the order in which they stand there, whatever revisions
    they claim. ``calls``: all that was asked about its thread and its items; ``deeds``: what its steps did.
    ``ledger_steps``: the names of steps of which the ledger knows; None where it should know of all with a function.
    ``definition`` is None where it can not be read. ``whole``: False where the thread goes on behind an entry that is
    missing or can not be read.
    """

    name: str
    dump: ThreadDump
    entries: list[tuple[Entry, list[AnyFact]]]
    definition: Definition | None
    calls: Sequence[Call]
    deeds: Sequence[PlacedDeed]
    ledger_steps: frozenset[str] | None
    settings: Settings
    now: Instant
    whole: bool = True

    @cached_property
    def facts(self) -> list[Said]:
        return [Said(self.name, entry.revision, fact) for entry, facts in self.entries for fact in facts]

    @cached_property
    def started(self) -> RunStarted | None:
        first = self.facts[0].fact if self.facts else None
        return first if isinstance(first, RunStarted) else None

    @cached_property
    def writers(self) -> dict[str, set[str]]:
        """By entry id, the processes that may have written it: their calls were not refused."""
        found: dict[str, set[str]] = {}
        for call in self.calls:
            if call.op == "append" and call.outcome != "fail" and call.asked.entry is not None:
                found.setdefault(call.asked.entry, set()).add(call.process)
        return found

    def is_function(self, step: str) -> bool:
        """Whether it has a function of its author's; so has what no definition tells of."""
        if self.definition is None or step not in self.definition.steps_by_name:
            return True
        return isinstance(self.definition.step(step), FunctionStep)

    def is_in_ledger(self, step: str) -> bool:
        """Whether the ledger should know of it."""
        return self.is_function(step) if self.ledger_steps is None else step in self.ledger_steps

    @cached_property
    def folded(self) -> Folded:
        return fold_whole(self.entries)

    @property
    def state(self) -> RunState | None:
        """As of the thread's end; None where nobody can tell."""
        return self.folded.state if self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """``state`` is None where the history can not be folded, and ``why`` and ``revision`` tell of that. ``stale``: a
    checkpoint of half of it, and how many entries that covers.
    """

    state: RunState | None
    why: str = ""
    revision: int = 0
    stale: tuple[int, bytes] | None = None


def fold_whole(entries: Sequence[tuple[Entry, list[AnyFact]]]) -> Folded:
    state: RunState | None = None
    stale: tuple[int, bytes] | None = None
    half = len(entries) // 2
    for number, (entry, facts) in enumerate(entries, start=1):
        try:
            state = fold(state, facts)
        except (IllegalFact, KeyError, ValueError, AssertionError) as error:
            return Folded(state=None, why=f"{type(error).__name__}: {error}", revision=entry.revision)
        if number == half:
            stale = number, encode_state(state)
    return Folded(state=state, stale=stale)
