"""The judge: holds evidence against I1 to I20 of the protocol, and says of each whether it was kept, and on how much.

Each invariant is one function in :mod:`chaos.invariants`, with the invariant's own words above it. Here they are
called, thread by thread, and what they found is put together. Histories and ledgers are read first, into an index on
the disk; the journal is walked over once, so memory does not grow with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

import msgspec

from chaos.evidence import Evidence, ThreadDump
from chaos.history import Call
from chaos.index import Index
from chaos.invariants.case import Read, RunCase, Tally, read_thread
from chaos.invariants.claims import i3, i4, i5, i7, i8
from chaos.invariants.families import Parents, i12, i12_of_trigger, i13, run_entries, started_elsewhere, windows_started
from chaos.invariants.leases import Window, i6, i11
from chaos.invariants.secrets import i19
from chaos.invariants.shape import i14, i15, i16, i17
from chaos.invariants.survival import Moments, i10, i18, i20
from chaos.invariants.threads import i1, i2, i9
from chaos.verdict import INVARIANTS, MOST_SHOWN, Finding, Problem, Verdict
from squidmesh.clock import Instant
from squidmesh.ids import AttemptKey, Fingerprint, RunId, parse_attempt_key
from squidmesh.journal.facts import AttemptClaimed, RunStarted
from squidmesh.ports.lease_backend import Item
from squidmesh.workflow.definition import Definition

NOTHING: Mapping[str, str] = {}


def judge(evidence: Evidence, *, not_applicable: Mapping[str, str] = NOTHING) -> Verdict:
    """``not_applicable``: by its number, why an invariant cannot be checked on this evidence, such as
    ``{"I14": "no workflow of this load has a join"}``. It excuses an invariant for which there is nothing to check; one
    that is broken stays red. ``ValueError`` where a number is unknown.
    """
    if unknown := sorted(set(not_applicable) - set(INVARIANTS)):
        raise ValueError(f"{', '.join(unknown)}: no such invariant; there are {', '.join(INVARIANTS)}")
    with Index() as index:
        for lines in evidence.histories:
            index.add_history(lines)
        for deeds in evidence.ledger:
            index.add_ledger(deeds)
        index.ready()
        sitting = _Sitting(evidence, index)
        sitting.hear_threads()
        sitting.hear_the_missing()
        sitting.hear_the_backend()
        sitting.search()
        return Verdict(
            findings=tuple(_finding(name, tally, not_applicable) for name, tally in sitting.tallies.items()),
            seen=sitting.seen(),
            notes=tuple(sitting.notes()),
            unreadable=tuple(islice(sitting.unreadable(), MOST_SHOWN)),
        )


def _finding(invariant: str, tally: Tally, not_applicable: Mapping[str, str]) -> Finding:
    reason = not_applicable.get(invariant, "")
    if tally.red:
        problems = tuple(tally.problems)
        return Finding(invariant=invariant, status="red", checked=tally.checked, red=tally.red, problems=problems)
    if tally.checked:
        return Finding(invariant=invariant, status="green", checked=tally.checked)
    if reason:
        return Finding(invariant=invariant, status="not_applicable", reason=reason)
    return Finding(
        invariant=invariant, status="nothing_checked", reason="there was nothing to check, and nobody has said why"
    )


class _Sitting:
    """One judgement: what was found so far."""

    def __init__(self, evidence: Evidence, index: Index) -> None:
        self.tallies: dict[str, Tally] = {name: Tally() for name in INVARIANTS}
        self._evidence = evidence
        self._index = index
        self._seen: Counter[str] = Counter()
        self._claims: set[str] = set(index.hashes)
        self._now: Instant = evidence.journal.now
        self._parents = Parents(evidence.journal)
        self._definitions: dict[str, Definition | None] = {}
        self._paused = {row.queue: row for row in evidence.journal.paused_queues()}
        self._windows = _windows(index)
        self._in_journal = evidence.backend is not None and evidence.backend.in_journal
        faults = [fault for _, fault in index.faults]
        self._losses = Moments(faults, "leases_lost")
        self._kills = Moments(faults, "worker_killed")
        self._held: dict[str, dict[AttemptKey, Item]] = defaultdict(dict)
        """By run."""
        for item in () if evidence.backend is None else evidence.backend.items:
            self._held[parse_attempt_key(item.key)[0]][item.key] = item

    # -------------------------------------------------------------------------------------------------- the journal

    def hear_threads(self) -> None:
        for dump in self._evidence.journal.threads():
            read = read_thread(dump)
            if dump.entries:
                self._seen["threads"] += 1
                self._seen["entries"] += len(dump.entries)
                self._index.met(dump.thread)
            calls = self._index.calls_about(dump.thread)
            i1(dump, read, calls, self.tallies["I1"], all_recorded=self._evidence.all_recorded)
            if read.kind == "run":
                self._hear_run(self._case(dump, read, calls), read)
            else:
                i13(dump, read, None, self._parents, self._evidence.journal, self.tallies["I13"])
            if read.kind == "trigger":
                i12_of_trigger(dump, read, self.tallies["I12"])
                self._index.expect(windows_started(dump, read))

    def _hear_run(self, case: RunCase, read: Read) -> None:
        """What can not be folded is held by the runtime, and no row of it can be rebuilt. One breach is enough to say
        so; only if no other invariant has found any does I2 tell of it.
        """
        tallies = self.tallies
        before = sum(tally.red for tally in tallies.values())
        self._seen["runs"] += 1
        self._seen["facts"] += len(case.facts)
        self._claims |= {said.fact.claim_hash for said in case.facts if isinstance(said.fact, AttemptClaimed)}
        self._index.expect(started_elsewhere(case))
        i2(case, tallies["I2"])
        i3(case, tallies["I3"])
        i4(case, tallies["I4"])
        i5(case, tallies["I5"])
        i6(case, self._windows, tallies["I6"], in_journal=self._in_journal)
        i7(case, tallies["I7"])
        i8(case, tallies["I8"])
        i9(case, tallies["I9"])
        i12(case, self._evidence.journal, tallies["I12"])
        i14(case, tallies["I14"])
        i15(case, tallies["I15"])
        i16(case, tallies["I16"])
        i17(case, tallies["I17"])
        if case.state is not None:
            i10(case, self._paused, tallies["I10"])
            if self._evidence.backend is not None:
                i11(case, self._evidence.backend, self._held.get(case.name, {}), tallies["I11"])
            i13(case.dump, read, case.state, self._parents, self._evidence.journal, tallies["I13"])
            i18(case, self._losses, self._paused, tallies["I18"])
            i20(case, self._kills, self._paused, tallies["I20"])
        elif read.whole and sum(tally.red for tally in tallies.values()) == before:
            where = f"{case.name}@{case.folded.revision}"
            tallies["I2"].breach(where, f"the thread can not be folded: {case.folded.why}")

    def _case(self, dump: ThreadDump, read: Read, calls: Sequence[Call]) -> RunCase:
        entries = run_entries(read)
        first = entries[0][1][0] if entries and entries[0][1] else None
        return RunCase(
            name=dump.thread,
            dump=dump,
            entries=entries,
            definition=self._definition(first.fingerprint) if isinstance(first, RunStarted) else None,
            calls=calls,
            deeds=self._index.deeds_of(dump.thread),
            ledger_steps=None if self._evidence.all_deeds else frozenset(self._index.steps),
            settings=self._evidence.settings,
            now=self._now,
            whole=read.whole,
        )

    def _definition(self, fingerprint: str) -> Definition | None:
        if fingerprint not in self._definitions:
            body = self._evidence.journal.definition(Fingerprint(fingerprint))
            try:
                self._definitions[fingerprint] = None if body is None else Definition.from_json(body)
            except ValueError:
                self._definitions[fingerprint] = None
        return self._definitions[fingerprint]

    # --------------------------------------------------------------------------------------------- what is not there

    def hear_the_missing(self) -> None:
        """I10, of runs that are not in the journal: one whose start was acknowledged, one that did something, one that
        another thread has started. What was pruned is excused.
        """
        tally = self.tallies["I10"]
        for run in self._index.not_met():
            calls = self._index.calls_about(run)
            deeds = self._index.deeds_of(run)
            told = [call for call in calls if call.op == "append" and call.outcome == "ok"]
            if not (told or deeds) or self._pruned(run, calls):
                continue
            tally.saw()
            where = told[0].place if told else deeds[0].place
            did = f"{told[0].process} was told that it had started" if told else f"{deeds[0].deed.step} was entered"
            tally.breach(where, f"{did}, and the journal has no thread {run}")
            if self._losses and told and told[0].asked.at is not None and told[0].asked.at < self._losses.last:
                self.tallies["I18"].breach(where, f"run {run} is gone, and leases were lost after it had started")
        for run, place in self._index.expected_not_met():
            if not self._pruned(run, ()):
                tally.breach(place, f"it has started run {run}, and the journal has no such thread")

    def _pruned(self, run: str, calls: Sequence[Call]) -> bool:
        if any(call.op == "prune" and call.outcome != "fail" for call in calls):
            return True
        return self._evidence.journal.tombstone(RunId(run)) is not None

    def hear_the_backend(self) -> None:
        """I11, of items whose run is not in the journal."""
        for run, items in self._held.items():
            if not self._index.is_met(run):
                self.tallies["I11"].saw(len(items))
                for key in items:
                    self.tallies["I11"].breach(key, "the backend holds it, and the journal has no such run")

    def search(self) -> None:
        """I19, in what was handed in and in the backend's items."""
        items = (
            (f"item {key}", msgspec.json.encode(item)) for of_run in self._held.values() for key, item in of_run.items()
        )
        i19(chain(self._evidence.searched, items), self._evidence.planted, self._claims, self.tallies["I19"])

    # ----------------------------------------------------------------------------------------------------- the rest

    def seen(self) -> dict[str, int]:
        reader = self._index.reader
        return {
            **self._seen,
            "processes": len(reader.processes),
            "calls": self._index.calls,
            "deeds": self._index.deeds,
            "faults": sum(fault.phase == "applied" for _, fault in reader.faults),
            "items": sum(map(len, self._held.values())),
        }

    def notes(self) -> Iterator[str]:
        if torn := [*self._index.reader.torn, *self._index.torn]:
            yield f"{len(torn)} files end in a line that their writer could not end: {', '.join(map(str, torn[:5]))}"

    def unreadable(self) -> Iterator[Problem]:
        """Of the evidence itself."""
        for place, why in (*self._index.reader.broken, *self._index.broken):
            yield Problem(where=str(place), what=why)


def _windows(index: Index) -> list[Window]:
    healed = {(place.file, fault.mark): fault.mono for place, fault in index.faults if fault.phase == "healed"}
    return [
        Window(fault=fault, until=healed.get((place.file, fault.mark)))
        for place, fault in index.faults
        if fault.phase == "applied"
    ]
