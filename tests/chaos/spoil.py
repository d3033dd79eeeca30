"""Lies about a day: what is left of it, altered as a broken runtime, backend or disk would have left it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import structs

from chaos.evidence import Backend, Deeds, Evidence, Lines, ListedJournal, ThreadDump
from chaos.history import AnyLine, Began, Fault, Note, read_file
from chaos.invariants.case import fold_whole
from chaos.invariants.families import Parents
from chaos.ledger import read_ledger
from squidmesh.ids import EntryId, ThreadId
from squidmesh.journal.codec import decode_facts, encode_facts
from squidmesh.journal.facts import AnyFact
from squidmesh.planning.reindex import rows_of_run
from squidmesh.ports.journal_store import Entry
from tests.chaos.load import Day

F = TypeVar("F", bound=AnyFact)


@dataclass
class Spoilt:
    """One day, to be altered. Rows of a run follow its altered thread, as they would in a store, as long as that can be
    folded; ``lie`` alters the dump itself. ``alone``: no history tells what was asked and answered.
    """

    def __init__(self, day: Day, *, alone: bool = False) -> None:
        self.day = day
        self._alone = alone
        self.runs = day.runs
        self._dumps = {dump.thread: dump for dump in day.journal.dumps}
        self._touched: set[ThreadId] = set()
        self.backend: Backend = day.backend
        self.texts: list[tuple[str, bytes]] = []
        self.histories = [list(read_file(path)) for path in sorted(day.histories.glob("*.jsonl"))]
        if alone:
            self.histories = [
                [one for one in lines if isinstance(one[1], Began | Fault | Note)] for lines in self.histories
            ]
        self.deeds = [list(read_ledger(path)) for path in sorted(day.ledger.glob("*.jsonl"))]

    # ----------------------------------------------------------------------------------------------------- a thread

    def entries(self, run: str) -> list[tuple[Entry, list[AnyFact]]]:
        dump = self._dumps[ThreadId(self.runs.get(run, run))]
        return [(e, decode_facts(e.body, thread=e.thread, revision=e.revision)) for e in dump.entries]

    def write(self, run: str, entries: Sequence[tuple[Entry, list[AnyFact]]]) -> None:
        name = ThreadId(self.runs.get(run, run))
        told = tuple(structs.replace(entry, body=encode_facts(facts)) for entry, facts in entries)
        self._dumps[name] = structs.replace(self._dumps[name], entries=told)
        self._touched.add(name)

    def place(self, run: str, kind: type[F], step: str | None = None, *, nth: int = 0) -> int:
        """Of the entry with the nth such fact."""
        found = [
            place
            for place, (_, facts) in enumerate(self.entries(run))
            for fact in facts
            if isinstance(fact, kind) and step in (None, getattr(fact, "step", None))
        ]
        return found[nth]

    def change(self, run: str, kind: type[F], step: str | None = None, *, nth: int = 0, **fields: Any) -> None:
        """The nth such fact says something else."""
        self.map(run, kind, lambda fact: [structs.replace(fact, **fields)], step, nth=nth)

    def remove(self, run: str, kind: type[F], step: str | None = None, *, nth: int = 0) -> None:
        self.map(run, kind, lambda fact: [], step, nth=nth)

    def map(
        self, run: str, kind: type[F], do: Callable[[F], list[AnyFact]], step: str | None = None, *, nth: int = 0
    ) -> None:
        count = -1
        entries = self.entries(run)
        for place, (entry, facts) in enumerate(entries):
            told: list[AnyFact] = []
            for fact in facts:
                if isinstance(fact, kind) and step in (None, getattr(fact, "step", None)):
                    count += 1
                    told += do(fact) if count == nth else [fact]
                else:
                    told.append(fact)
            entries[place] = entry, told
        assert count >= nth, f"there are only {count + 1} of {kind.__name__}"
        self.write(run, entries)

    def append(self, run: str, *facts: AnyFact, at: int | None = None) -> None:
        """One more entry, at its end or before the entry ``at``; the later ones move up."""
        entries = self.entries(run)
        place = len(entries) if at is None else at
        first = entries[0][0]
        new = structs.replace(first, revision=place + 1, entry_id=EntryId(f"forged-{place}"))
        later = [(structs.replace(entry, revision=entry.revision + 1), told) for entry, told in entries[place:]]
        self.write(run, [*entries[:place], (new, list(facts)), *later])

    def lie(self, run: str, **fields: Any) -> None:
        """The dump itself, as it stands."""
        name = ThreadId(self.runs.get(run, run))
        self._dumps[name] = structs.replace(self._dumps[name], **fields)

    def dump(self, run: str) -> ThreadDump:
        return self._dumps[ThreadId(self.runs.get(run, run))]

    def forget(self, run: str) -> None:
        del self._dumps[ThreadId(self.runs.get(run, run))]

    def add(self, dump: ThreadDump) -> None:
        self._dumps[dump.thread] = dump

    # -------------------------------------------------------------------------------------------------- all the rest

    def lines(self, of: type[AnyLine], **fields: Any) -> Iterator[tuple[int, int, Any]]:
        """Those of histories that say this: the file's number, the line's number, the line."""
        for number, lines in enumerate(self.histories):
            for place, (_, line) in enumerate(lines):
                if isinstance(line, of) and all(getattr(line, name) == value for name, value in fields.items()):
                    yield number, place, line

    def evidence(self) -> Evidence:
        true = self.day.evidence()
        texts = [*true.searched, *self.texts]
        return self.day.evidence(
            journal=self._journal(), backend=self.backend, histories=self._histories(), ledger=self._ledger(),
            searched=texts, all_recorded=not self._alone, all_deeds=bool(self.deeds),
        )  # fmt: skip

    def _histories(self) -> Sequence[Lines]:
        return self.histories

    def _ledger(self) -> Sequence[Deeds]:
        return self.deeds

    def _journal(self) -> ListedJournal:
        true = self.day.journal
        listed = ListedJournal(dumps=list(self._dumps.values()), now=true.now, definitions=true.definitions)
        for name in self._touched & self._dumps.keys():
            dump = self._dumps[name]
            state = fold_whole(self.entries(name)).state
            if state is not None:
                rows = rows_of_run(state, Parents(listed).of(state), dump.rows)
                self._dumps[name] = structs.replace(dump, rows=rows)
        return ListedJournal(dumps=list(self._dumps.values()), now=true.now, definitions=true.definitions)
