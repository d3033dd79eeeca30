"""Histories and ledgers, sorted by the run that they are about: on the disk, so that a long night fits into memory.

A judge walks over the threads of a journal one by one, and asks here what was done to each.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from chaos.history import Call, Fault, Note, Place, Placed, Reader, Unreadable
from chaos.ledger import Deed

_BATCH = 5_000
_TABLES = Path(__file__).with_name("index.sql").read_text()

_call_encoder, _call_decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Call)
_deed_encoder, _deed_decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Deed)


class PlacedDeed(NamedTuple):
    place: Place
    deed: Deed


class Index:
    """A context manager; its file goes with it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="judge-")
        self._db = sqlite3.connect(Path(self._folder.name) / "index.db", isolation_level=None)
        self._db.executescript(_TABLES)
        self.reader = Reader()
        self.calls = 0
        self.deeds = 0
        self.torn: list[Place] = []
        self.broken: list[tuple[Place, str]] = []
        self.steps: set[str] = set()
        """Those of which the ledger knows."""
        self.hashes: set[str] = set()
        """Of claim ids and request ids that histories name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    # ------------------------------------------------------------------------------------------------------ filling

    def add_history(self, lines: Iterable[Placed]) -> None:
        """One file."""
        rows = ((call.told.run, call.begun, _call_encoder.encode(call)) for call in self._noted(lines))
        self.calls += self._insert("INSERT INTO calls (run, begun, body) VALUES (?, ?, ?)", rows)

    def add_ledger(self, deeds: Iterable[tuple[Place, Deed | Unreadable]]) -> None:
        """One file."""
        rows = (
            (deed.run, deed.mono, place.file, place.line, _deed_encoder.encode(deed))
            for place, deed in self._readable(deeds)
        )
        self.deeds += self._insert("INSERT INTO deeds (run, mono, file, line, body) VALUES (?, ?, ?, ?, ?)", rows)

    def ready(self) -> None:
        """After the last file, and before the first question."""
        self._db.executescript(
            "CREATE INDEX calls_by_run ON calls (run, begun); CREATE INDEX deeds_by_run ON deeds (run, mono);"
        )

    # ------------------------------------------------------------------------------------------------------- asking

    def calls_about(self, run: str) -> list[Call]:
        """In order of their beginnings."""
        found = self._db.execute("SELECT body FROM calls WHERE run = ? ORDER BY begun, rowid", (run,))
        return [_call_decoder.decode(body) for (body,) in found]

    def deeds_of(self, run: str) -> list[PlacedDeed]:
        found = self._db.execute("SELECT file, line, body FROM deeds WHERE run = ? ORDER BY mono, rowid", (run,))
        return [PlacedDeed(Place(file, line), _deed_decoder.decode(body)) for file, line, body in found]

    def met(self, run: str) -> None:
        """The journal has this thread."""
        self._db.execute("INSERT OR IGNORE INTO met VALUES (?)", (run,))

    def not_met(self) -> Iterator[str]:
        """Threads of which histories or ledgers tell, and that the journal does not have."""
        found = self._db.execute(
            "SELECT run FROM calls WHERE run IS NOT NULL UNION SELECT run FROM deeds EXCEPT SELECT run FROM met"
        )
        yield from [run for (run,) in found]

    def is_met(self, run: str) -> bool:
        return self._db.execute("SELECT 1 FROM met WHERE run = ?", (run,)).fetchone() is not None

    def expect(self, runs: Iterable[tuple[str, str]]) -> None:
        """Somebody says, at a place, that there is a thread of that name."""
        self._db.executemany("INSERT OR IGNORE INTO expected VALUES (?, ?)", runs)

    def expected_not_met(self) -> Iterator[tuple[str, str]]:
        yield from self._db.execute("SELECT run, place FROM expected WHERE run NOT IN (SELECT run FROM met)")

    @property
    def faults(self) -> list[tuple[Place, Fault]]:
        return self.reader.faults

    @property
    def notes(self) -> list[tuple[Place, Note]]:
        return self.reader.notes

    # ------------------------------------------------------------------------------------------------------- inside

    def _noted(self, lines: Iterable[Placed]) -> Iterator[Call]:
        for call in self.reader.calls(lines):
            self.hashes.update(name for name in (call.told.claim, call.asked.request) if name is not None)
            yield call

    def _readable(self, deeds: Iterable[tuple[Place, Deed | Unreadable]]) -> Iterator[tuple[Place, Deed]]:
        for place, deed in deeds:
            if isinstance(deed, Deed):
                self.steps.add(deed.step)
                yield place, deed
            elif deed.torn:
                self.torn.append(place)
            else:
                self.broken.append((place, deed.why))

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        count = 0
        left = iter(rows)
        while batch := list(islice(left, _BATCH)):
            self._db.execute("BEGIN")
            self._db.executemany(statement, batch)
            self._db.execute("COMMIT")
            count += len(batch)
        return count
