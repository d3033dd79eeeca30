"""Transactional steps (protocol 5): what a step writes into the journal's own database and its completion are ONE
transaction.

The slot opens it, the step writes in it through ``context.connection``, and the completion is decided and appended in
it, under the step's claim. Then it is committed; or nothing of it ever was. What a step of this kind does to the mesh
(to start a child run) becomes part of the same entry.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from squidmesh.clock import Instant
from squidmesh.errors import (
    BackendUnavailable,
    CommitUnknown,
    DataRefused,
    StaleClaim,
    TransactionLost,
    TransactionMisused,
    UnstorableResult,
)
from squidmesh.planning.commands import RecordCompletion, RecordRelease
from squidmesh.ports.journal_store import StepTransaction
from squidmesh.runtime.children import Child, ChildVerbs
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.held import Runs
from squidmesh.runtime.invoke import Assignment, Completed, Died, Outcome, Recorded, Unstarted, failed, invoke
from squidmesh.runtime.recorder import Intent, Recorder, Verdict

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine

_SHARE_OF_LEASE = 3
"""A step is interrupted at so much of a lease: its transaction may hold up the heartbeats of others."""


class _Buffer(ChildVerbs):
    """What the step does to the mesh, kept until its completion is recorded."""

    def __init__(self, engine: Engine, assignment: Assignment) -> None:
        super().__init__(engine, assignment)
        self.children: dict[str, Child] = {}

    def begin(self, child: Child) -> str:
        self.children.setdefault(child.key, child)
        return child.run_id


def carry_out_in_transaction(engine: Engine, assignment: Assignment) -> Outcome:
    """Blocks until the step has ended and its completion is committed. Any other outcome is rolled back here, and
    recorded by the pump like that of every step. Where the store has gone in the middle, whatever the step made of
    that, it costs a delivery and no attempt; so a step that makes the store go, each time, is dead in the end.
    """
    if assignment.lost:
        return Unstarted(assignment=assignment)
    limit = assignment.claim.lease / _SHARE_OF_LEASE
    verbs = _Buffer(engine, assignment)
    try:
        with engine.store.transaction(limit) as transaction:
            outcome = invoke(assignment, verbs, transaction.connection)
            if not isinstance(outcome, Completed):
                return outcome
            transaction.require_whole()
            return _record(engine, transaction, outcome, verbs)
    except TransactionMisused as error:
        return failed(assignment, error)
    except TransactionLost as error:
        engine.observer.notice("journal_unavailable", error=str(error))
        return Died(assignment=assignment, cause=error.code)
    except CommitUnknown as error:
        engine.observer.notice("commit_unknown", item=assignment.key, error=str(error))
        return _give_back(engine, assignment)
    except BackendUnavailable as error:
        engine.observer.notice("journal_unavailable", error=str(error))
        return Unstarted(assignment=assignment)


def _record(engine: Engine, transaction: StepTransaction, outcome: Completed, verbs: _Buffer) -> Outcome:
    """Decided on the run as the transaction sees it. Whatever is refused rolls the step's rows back."""
    assignment = outcome.assignment
    store = transaction.store
    once = Patience(timedelta(0), give_up=lambda: True)  # what is lost is not repeated: see _give_back()
    runs = Runs(store, engine.definitions, once)
    recorder = Recorder(
        store,
        engine.leases,
        runs,
        Appender(store, once, engine.instruments),
        engine.observer,
        engine.endings,
        engine.instruments,
    )
    intents = [child.intent for child in verbs.children.values()]
    verdicts = recorder.record([*intents, _completion(outcome)], together=True)
    refused = next((verdict.error for verdict in verdicts if verdict.error is not None), None)
    if refused is None:
        engine.poke()
        return Recorded(assignment=assignment)
    if isinstance(refused, StaleClaim):
        engine.observer.notice("stale_write_refused", item=assignment.key, fence=assignment.claim.fence)
        return Recorded(assignment=assignment)
    if isinstance(refused, DataRefused):
        return failed(assignment, UnstorableResult(f"the store can not hold this result: {refused}"))
    return failed(assignment, refused)


def _completion(outcome: Completed) -> Intent:
    assignment = outcome.assignment
    claim, step = assignment.claim, assignment.spec.name

    def command(now: Instant) -> RecordCompletion:
        return RecordCompletion(
            now=now,
            step=step,
            attempt=assignment.attempt,
            claim_hash=claim.hash,
            fence=claim.fence,
            output=outcome.output,
        )

    return Intent(run_id=assignment.run_id, command=command, claim=claim)


def _give_back(engine: Engine, assignment: Assignment) -> Outcome:
    """3.5.7: such an append is never repeated. A release takes the place that it would have had: then it can never
    come to be, and the step runs again; or the release is refused, because it has.
    """
    claim = assignment.claim

    def command(now: Instant) -> RecordRelease:
        return RecordRelease(
            now=now,
            step=assignment.spec.name,
            attempt=assignment.attempt,
            claim_hash=claim.hash,
            fence=claim.fence,
            reason="unstarted",
        )

    writer = engine.writer(patience=None, give_up=lambda: bool(assignment.lost))
    verdict: Verdict
    (verdict,) = writer.recorder.record([Intent(run_id=assignment.run_id, command=command, claim=claim)])
    engine.observer.notice("commit_settled", item=assignment.key, happened=verdict.error is not None)
    return Recorded(assignment=assignment)
