"""Both ports in memory, which note every call and fail when told to; and one run of the errand to write to."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from squidmesh.errors import DataRefused
from squidmesh.ids import ClaimId, EntryId, ThreadId, attempt_key, claim_hash, derived_id
from squidmesh.journal.codec import encode_facts
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.fold import fold
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import PausedQueueRow, RowChanges
from squidmesh.memory import MemoryJournal, MemoryLeases
from squidmesh.planning.commands import (
    AnyCommand,
    CancelRun,
    DecideApproval,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordRelease,
    StartRun,
)
from squidmesh.planning.decide import start
from squidmesh.planning.rows import changes
from squidmesh.ports.journal_store import Append, Committed, DefinitionRecord, Group, ThreadRead
from squidmesh.ports.lease_backend import Claim
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.endings import Endings
from squidmesh.runtime.held import CACHED_RUNS, Definitions, Runs, replay
from squidmesh.runtime.plane import Membership
from squidmesh.runtime.recorder import Intent, Recorder, Verdict
from squidmesh.testing.clock import VirtualClock
from tests.unit.planning.errand import DEFINITION, ERROR

LEASE = timedelta(seconds=60)


class Port:
    """Stands in for a port. ``calls`` holds the arguments of each call, by method."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: dict[str, list[Any]] = defaultdict(list)
        self._troubles: dict[str, list[tuple[Exception, bool]]] = defaultdict(list)

    def fail(self, method: str, *errors: Exception, after: bool = False) -> None:
        """Its next calls raise these errors. ``after``: when they have done their work."""
        self._troubles[method] += [(error, after) for error in errors]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name].append(args[0] if args else kwargs)
            error, after = self._troubles[name].pop(0) if self._troubles[name] else (None, False)
            if error is not None and not after:
                raise error
            answer = found(*args, **kwargs)
            if error is not None:
                raise error
            return answer

        return call


class PickyJournal(MemoryJournal):
    """Can not hold an entry with the word ``poison`` in it. ``before_commit`` is called once."""

    before_commit: Callable[[], None] | None = None

    def commit(self, groups: Sequence[Group]) -> Any:
        before, self.before_commit = self.before_commit, None
        if before is not None:
            before()
        if any(b"poison" in append.body for group in groups for append in group.appends):
            raise DataRefused("no poison here")
        return super().commit(groups)


class InJournal:
    """Leases that stand in the journal: what is called on them directly would be a mistake."""

    in_journal = True


class Notices:
    def __init__(self) -> None:
        self.events: list[str] = []

    def notice(self, event: str, /, **fields: object) -> None:
        self.events.append(event)


@dataclass
class Writer:
    runs: Runs
    recorder: Recorder

    def record(self, *intents: Intent) -> list[Verdict]:
        return self.recorder.record(intents)

    def one(self, intent: Intent) -> Verdict:
        (verdict,) = self.recorder.record([intent])
        return verdict


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.journal = PickyJournal(self.clock)
        self.store: Any = Port(self.journal)
        self.leases: Any = Port(MemoryLeases(self.clock))
        self.observer = Notices()
        self.endings = Endings()
        self.definitions = Definitions(self.store)
        self.membership = Membership(self.store, self.leases, self.observer)

    def writer(
        self,
        *,
        patience: timedelta | None = timedelta(0),
        limit: int = CACHED_RUNS,
        leases: Any = None,
    ) -> Writer:
        """One process, as it were. By default it tries a failing call once more, and gives up then."""
        patient = Patience(patience)
        runs = Runs(self.store, self.definitions, patient, limit=limit)
        appender = Appender(self.store, patient)
        lent = leases or self.leases
        return Writer(runs, Recorder(self.store, lent, runs, appender, self.observer, self.endings))

    def start(self, run_id: str, *, definition: bool = True) -> str:
        """Revision 1 of a run, and its first item offered."""
        given = StartRun(
            now=self.clock.now(),
            run_id=run_id,
            trigger="leave",
            payload={"miles": 7},
            payload_fingerprint="p",
            queue="slow",
            priority=5,
        )
        facts = start(DEFINITION, given)
        state = fold(None, facts)
        append = Append(
            thread=ThreadId(run_id),
            expected_revision=0,
            entry_id=EntryId(derived_id("entry", run_id)),
            body=encode_facts(facts),
            rows=changes(None, facts, state),
        )
        record = DefinitionRecord(fingerprint=DEFINITION.fingerprint, body=DEFINITION.canonical())
        assert self.journal.commit([Group(appends=(append,), definitions=(record,) if definition else ())]) == [
            Committed()
        ]
        return run_id

    def revision(self, run_id: str) -> int:
        (history,) = self.journal.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
        return len(history.tail)

    def add(self, run_id: str, *bodies: bytes) -> None:
        """Entries by some other writer, as bytes: they may be rubbish."""
        for body in bodies:
            expected = self.revision(run_id)
            append = Append(
                thread=ThreadId(run_id),
                expected_revision=expected,
                entry_id=EntryId(derived_id("entry", run_id, str(expected))),
                body=body,
                rows=changes(None, [], _state_of(self.journal, run_id)),
            )
            assert self.journal.commit([Group(appends=(append,))]) == [Committed()]


def _state_of(journal: MemoryJournal, run_id: str) -> Any:
    (history,) = journal.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    return replay(None, history.tail)


def pause(rig: Rig, queue: str = "slow") -> None:
    """The journal's row, as somebody else's verb writes it."""
    row = PausedQueueRow(queue=queue, actor="elrond", comment="", paused_at=rig.clock.now())
    _say(rig, queue, RowChanges(pause=(row,)))


def resume(rig: Rig, queue: str = "slow") -> None:
    _say(rig, queue, RowChanges(resume=(queue,)))


def _say(rig: Rig, queue: str, rows: RowChanges) -> None:
    thread = queue_thread(queue)
    (history,) = rig.journal.read([ThreadRead(thread=thread)], whole=True)
    revision = len(history.tail)
    entry_id = EntryId(derived_id("entry", queue, str(revision)))
    append = Append(thread=thread, expected_revision=revision, entry_id=entry_id, body=b"{}", rows=rows)
    assert rig.journal.commit([Group(appends=(append,))]) == [Committed()]


# ----------------------------------------------------------------------------------------------------- intents


def lease(run_id: str, step: str = "pack", attempt: int = 1, fence: int = 1) -> Claim:
    return Claim(
        item=attempt_key(run_id, step, attempt),
        queue="slow",
        owner="sam@1",
        claim_id=ClaimId(f"claim {fence}"),
        generation=0,
        fence=fence,
        lease=LEASE,
        incarnation="i",
    )


def _under(step: str, attempt: int, fence: int) -> dict[str, Any]:
    return {"step": step, "attempt": attempt, "fence": fence, "claim_hash": claim_hash(f"claim {fence}")}


def claim(run_id: str, step: str = "pack", attempt: int = 1, *, fence: int = 1, trust: bool = True) -> Intent:
    def command(now: int) -> AnyCommand:
        return RecordClaim(
            now=now, generation=0, owner="sam@1", lease=LEASE, max_deliveries=5, **_under(step, attempt, fence)
        )

    return Intent(run_id=run_id, command=command, claim=lease(run_id, step, attempt, fence), trust_held=trust)


def complete(
    run_id: str, step: str = "pack", attempt: int = 1, *, fence: int = 1, word: str = "ok", replace: bool = True
) -> Intent:
    def command(now: int) -> AnyCommand:
        return RecordCompletion(now=now, output={step: word}, **_under(step, attempt, fence))

    def unstorable(now: int, error: Exception) -> AnyCommand:
        described = ERROR.__class__(code="unstorable_result", type=type(error).__name__, message="bad data")
        return RecordFailure(now=now, error=described, retryable=False, **_under(step, attempt, fence))

    return Intent(
        run_id=run_id,
        command=command,
        claim=lease(run_id, step, attempt, fence),
        trust_held=True,
        unstorable=unstorable if replace else None,
    )


def fail(run_id: str, step: str = "pack", attempt: int = 1, *, fence: int = 1) -> Intent:
    def command(now: int) -> AnyCommand:
        return RecordFailure(now=now, error=ERROR, retryable=True, **_under(step, attempt, fence))

    return Intent(run_id=run_id, command=command, claim=lease(run_id, step, attempt, fence), trust_held=True)


def give_back(run_id: str, step: str = "pack", attempt: int = 1, *, fence: int = 1, seconds: int = 0) -> Intent:
    def command(now: int) -> AnyCommand:
        delay = timedelta(seconds=seconds)
        return RecordRelease(now=now, reason="drain", delay=delay, **_under(step, attempt, fence))

    return Intent(run_id=run_id, command=command, claim=lease(run_id, step, attempt, fence), trust_held=True)


def approve(run_id: str, *, key: str | None = None) -> Intent:
    def command(now: int) -> AnyCommand:
        return DecideApproval(now=now, decision="approved", actor="elrond", key=key)

    return Intent(run_id=run_id, command=command)


def cancel(run_id: str, *, key: str | None = None) -> Intent:
    return Intent(run_id=run_id, command=lambda now: CancelRun(now=now, actor="elrond", key=key))


def kinds(verdict: Verdict) -> list[str]:
    return [type(fact).__name__ for fact in verdict.facts]


def entry(*facts: AnyFact) -> bytes:
    return encode_facts(facts)
