"""From intents to a durable record: load, decide, append, and on a conflict fold the tail and decide again.

The one way in which anything is written to a run that has started. Many intents go in at once and share one commit;
each run is a group of its own, so each succeeds or conflicts alone (protocol 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from squidmesh.clock import Instant
from squidmesh.errors import (
    BackendError,
    BackendUnavailable,
    CommitUnknown,
    CorruptHistory,
    DataRefused,
    JournalConflict,
    NotFound,
    PlaneMoved,
    SquidMeshError,
    UnstorableResult,
)
from squidmesh.ids import ClaimId, ThreadId, attempt_key
from squidmesh.journal.codec import encode_facts, encode_state
from squidmesh.journal.facts import AnyFact, AttemptClaimed
from squidmesh.journal.fold import evolve
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import AnyCommand, RecordCompletion
from squidmesh.planning.decide import decide
from squidmesh.planning.rows import changes
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.journal_store import Append, Conflict, DefinitionRecord, Group, JournalStore, Moved
from squidmesh.ports.lease_backend import Claim, LeaseBackend
from squidmesh.ports.observer import Observer
from squidmesh.runtime.chance import new_entry_id
from squidmesh.runtime.commit import Appender
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.endings import Endings
from squidmesh.runtime.held import HeldRun, Runs, unreadable
from squidmesh.runtime.instruments import NOBODY

_ROUNDS = 100
"""Conflicts in a row on one run before the recorder gives the intent back: each means that another writer got on."""


@dataclass(slots=True, kw_only=True)
class Intent:
    """``command`` is made anew for each decision, from the journal's time. ``claim``: the lease under which it stands,
    if any. ``unstorable`` makes the command that replaces this one when the store can not hold its data.
    ``trust_held``: the run as it is held is most likely the newest, so decide on it without asking the journal first;
    where that is wrong, the append conflicts. ``following_id``: the claim id of the step that this one may go on with.
    ``epoch``: that of the plane, as it was before the claim was asked for that this intent records or goes on to.
    ``birth`` makes the first entry of a child run from the parent's state, which is appended in the same group.
    """

    run_id: str
    command: Callable[[Instant], AnyCommand]
    claim: Claim | None = None
    trust_held: bool = False
    following_id: ClaimId | None = None
    epoch: int | None = None
    unstorable: Callable[[Instant, UnstorableResult], AnyCommand] | None = None
    birth: Callable[[RunState, Instant], Birth] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """Revision 1 of a run that is to be: its state, its entry, the definition that it pins, and what its offers are."""

    state: RunState
    append: Append
    definition: DefinitionRecord
    effects: Effects


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Accepted: ``facts`` are in the journal (none: the command repeated an older one) and ``run`` includes them;
    ``following`` is the claim, already recorded and leased, on the step that follows at once, if there is one.
    Refused: ``error`` says why, and nothing of the intent was written.
    """

    intent: Intent
    run: HeldRun | None = None
    facts: list[AnyFact] = field(default_factory=list)
    following: Claim | None = None
    error: SquidMeshError | None = None


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One run's part of a batch: what its intents came to."""

    run: HeldRun
    verdicts: list[Verdict]
    facts: list[AnyFact]
    group: Group
    effects: Effects


class Recorder:
    """Not thread-safe: each pump has its own."""

    def __init__(
        self,
        store: JournalStore,
        leases: LeaseBackend,
        runs: Runs,
        appender: Appender,
        observer: Observer,
        endings: Endings,
        instruments: Instrument = NOBODY,
    ) -> None:
        self._instruments = instruments
        self._store = store
        self._leases = leases
        self._runs = runs
        self._appender = appender
        self._observer = observer
        self._endings = endings
        self._timer_set = False

    def take_timer_set(self) -> bool:
        """Whether an entry recorded here has set a timer or a signal since this was asked last."""
        was_set, self._timer_set = self._timer_set, False
        return was_set

    def record(self, intents: Sequence[Intent], *, together: bool = False) -> list[Verdict]:
        """One verdict an intent, in order. Live effects (settle, release, offer) follow the durable facts (3.4).
        ``together``: of one run's intents, all are recorded or none.

        Raises ``BackendUnavailable`` or ``CommitUnknown`` when the appender's patience ends. Of the intents, some may
        have been recorded by then; each may be tried again, since what was recorded refuses to be recorded twice.
        """
        verdicts = [Verdict(intent=intent) for intent in intents]
        waiting = _by_run(verdicts)
        try:
            for _ in range(_ROUNDS):
                if not waiting:
                    return verdicts
                waiting = self._round(waiting, together)
        except BaseException:
            for run_id in waiting:
                self._runs.drop(run_id)
            raise
        for left in waiting.values():
            _refuse(left, JournalConflict(f"run {left[0].intent.run_id} moved on {_ROUNDS} times in a row"))
        return verdicts

    def refreshed(self, run_ids: Sequence[str]) -> list[HeldRun]:
        """The runs as the journal has them now: somebody else in this process has written to them."""
        found = self._runs.load(run_ids) if run_ids else {}
        return [run for run in found.values() if isinstance(run, HeldRun)]

    def _round(self, waiting: dict[str, list[Verdict]], together: bool) -> dict[str, list[Verdict]]:
        """Decides and commits once; returns what conflicted, to be decided again on what the journal holds then."""
        now = self._store.now()
        doubted = {v.intent.run_id for verdicts in waiting.values() for v in verdicts if not v.intent.trust_held}
        loaded = self._runs.load(waiting, trusted=waiting.keys() - doubted)
        entries = []
        for run_id, verdicts in waiting.items():
            run = loaded.get(run_id)
            if not isinstance(run, HeldRun):
                _refuse(verdicts, run or NotFound(f"there is no run {run_id!r}", field="run_id"))
                continue
            try:
                entry = self._decide(run, verdicts, now, together)
            except Exception as error:  # what makes no sense in one run holds that run, and no other
                self._runs.drop(run_id)
                _refuse(verdicts, unreadable(run_id, run.state.revision, error))
                continue
            if entry is not None:
                entries.append(entry)
        conflicting: dict[str, list[Verdict]] = {}
        done = Effects()
        for entry, answer in zip(entries, self._commit(entries), strict=True):
            if isinstance(answer, Conflict | Moved):
                self._runs.drop(entry.run.state.run_id)
                left = _without_claims(entry.verdicts) if isinstance(answer, Moved) else entry.verdicts
                if left:
                    conflicting[entry.run.state.run_id] = left
                continue
            self._committed(entry, answer)
            if not self._leases.in_journal:
                done.add(entry.effects)
        try:
            done.carry_out(self._leases)
        except (BackendUnavailable, CommitUnknown) as error:  # the facts are durable; what was lost is a hint (3.4)
            self._observer.notice("lease_backend_unavailable", error=str(error))
        return conflicting

    def _decide(self, run: HeldRun, verdicts: list[Verdict], now: Instant, together: bool) -> _Entry | None:
        """The entry of one run: the facts of all its intents, and the state and rows that they lead to."""
        facts: list[AnyFact] = []
        effects = Effects()
        births: list[Birth] = []
        told = False
        epochs: list[int] = []
        for verdict in verdicts:
            intent = verdict.intent
            verdict.run, verdict.facts, verdict.following, verdict.error = run, [], None, None
            try:
                decided = decide(run.definition, run.state, intent.command(now))
                for fact in decided:
                    evolve(run.state, fact)
                verdict.facts = decided
                verdict.following = _following(intent, run.state, decided)
                effects.note(run.state, decided, intent.claim, now, verdict.following)
                if decided and intent.birth is not None:
                    births.append(intent.birth(run.state, now))
            except SquidMeshError as refused:
                if together:
                    self._runs.drop(run.state.run_id)  # it has evolved already, by what goes before
                    _refuse(verdicts, refused)
                    return None
                verdict.error = refused
                continue
            facts += decided
            told = told or intent.claim is None
            if decided and intent.epoch is not None:
                epochs.append(intent.epoch)
        if not facts:
            return None
        run.state.revision += 1
        group = self._group(run, facts, effects, told, min(epochs) if epochs else None, births)
        for born in births:
            effects.add(born.effects)
        return _Entry(run=run, verdicts=verdicts, facts=facts, group=group, effects=effects)

    def _group(
        self,
        run: HeldRun,
        facts: list[AnyFact],
        effects: Effects,
        told: bool,
        epoch: int | None,
        births: Sequence[Birth],
    ) -> Group:
        """``told``: a caller's own words are among the facts."""
        state = run.state
        checkpoint = None
        if run.checkpoint_due(state.revision) and not state.ended:
            checkpoint = encode_state(state)
        append = Append(
            thread=ThreadId(state.run_id),
            expected_revision=state.revision - 1,
            entry_id=new_entry_id(),
            body=encode_facts(facts, check=told),
            rows=changes(run.row, facts, state),
            checkpoint=checkpoint,
        )
        leases = effects.in_journal() if self._leases.in_journal else ()
        if not births:
            return Group(appends=(append,), leases=leases, epoch=epoch)
        return Group(
            appends=(append, *(born.append for born in births)),
            definitions=tuple(born.definition for born in births),
            leases=leases,
            epoch=epoch,
        )

    def _commit(self, entries: list[_Entry]) -> list[object]:
        if not entries:
            return []
        try:
            return list(self._appender.commit([entry.group for entry in entries]))
        except DataRefused:
            return [self._commit_alone(entry) for entry in entries]

    def _commit_alone(self, entry: _Entry) -> object:
        """A poisoned append hurts only itself: its intent is replaced by a failure, and decided again."""
        try:
            (answer,) = self._appender.commit([entry.group])
        except DataRefused as error:
            results = [verdict.intent for verdict in entry.verdicts if verdict.facts and verdict.intent.unstorable]
            if not results:
                return error
            for intent in results:
                _replace(intent, UnstorableResult(f"the store can not hold this result: {error}"))
            append = entry.group.appends[0]
            return Conflict(thread=append.thread, revision=append.expected_revision)
        return answer

    def _committed(self, entry: _Entry, answer: object) -> None:
        append = entry.group.appends[0]
        if isinstance(answer, BackendError):
            self._runs.drop(entry.run.state.run_id)
            _refuse(entry.verdicts, answer)
            entry.effects.clear()
            return
        self._instruments.recorded(entry.run.state, entry.facts)
        if append.checkpoint is not None:
            entry.run.checkpoint_at = append.expected_revision + 1
        self._timer_set = self._timer_set or bool(append.rows.set_timers)
        if append.rows.run is not None:
            entry.run.row = append.rows.run
        if entry.run.state.ended:
            self._runs.drop(entry.run.state.run_id)
            self._endings.one_more(entry.run)
        else:
            self._runs.keep(entry.run)


def _following(intent: Intent, state: RunState, facts: Sequence[AnyFact]) -> Claim | None:
    """The claim on what the facts claim for the same worker, if they do. ``state`` includes them."""
    claim, claim_id = intent.claim, intent.following_id
    if claim is None or claim_id is None or not facts:
        return None
    claimed = facts[-1]
    if not isinstance(claimed, AttemptClaimed):
        return None
    return Claim(
        item=attempt_key(intent.run_id, claimed.step, claimed.attempt),
        queue=claim.queue,
        owner=claim.owner,
        claim_id=claim_id,
        generation=claimed.generation,
        fence=claimed.fence,
        lease=claim.lease,
        incarnation=claim.incarnation,
        concurrency_key=state.runnables[claimed.step].concurrency_key,
    )


def _without_claims(verdicts: list[Verdict]) -> list[Verdict]:
    """The mesh has been moved: what was claimed is refused, what was done still counts, and nothing goes on from it."""
    left = []
    for verdict in verdicts:
        intent = verdict.intent
        if intent.epoch is None:
            left.append(verdict)
        elif intent.following_id is None:
            _refuse([verdict], PlaneMoved("the mesh has been moved to another lease backend since this claim"))
        else:
            intent.command, intent.following_id, intent.epoch = _ends_here(intent.command), None, None
            left.append(verdict)
    return left


def _ends_here(command: Callable[[Instant], AnyCommand]) -> Callable[[Instant], AnyCommand]:
    def without_continuation(now: Instant) -> AnyCommand:
        made = command(now)
        return structs.replace(made, then=None) if isinstance(made, RecordCompletion) else made

    return without_continuation


def _replace(intent: Intent, why: UnstorableResult) -> None:
    """From now on the intent is to record a failure in place of the result."""
    replacement, intent.unstorable = intent.unstorable, None
    assert replacement is not None
    intent.command = lambda now: replacement(now, why)


def _by_run(verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
    grouped: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        grouped.setdefault(verdict.intent.run_id, []).append(verdict)
    return grouped


def _refuse(verdicts: list[Verdict], error: SquidMeshError | CorruptHistory) -> None:
    for verdict in verdicts:
        verdict.error, verdict.facts, verdict.following = error, [], None
