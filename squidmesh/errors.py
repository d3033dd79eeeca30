"""Every exception of Squid Mesh. The class says whose fault it is::

    SquidMeshError
    ├── WorkflowError            the author: a definition is wrong (all problems at once)
    ├── UsageError               the caller: a bad argument, at a bad time, for something that is not there
    │   ├── InvalidInput             422  a value is refused before anything is written
    │   │   ├── InvalidPayload            the payload of a start
    │   │   └── InvalidUrl                the address of a store or of a lease backend
    │   ├── NotFound                 404  no such run, workflow or step
    │   ├── NotWaiting               409  the run does not wait for this decision (any more)
    │   ├── NotAllowed               409  the run is not in a state in which this can be done; the text says why
    │   ├── KeyReused                409  the key started another payload before
    │   ├── RunPruned                409  the run has ended, and its history is not kept any more
    │   └── WrongPlane               409  another lease backend than this one delivers the mesh's work
    ├── StepFailure              the step: raised by user code to choose its outcome
    │   ├── RetryLater               try again after a time of the step's choosing
    │   ├── GiveUp                   fail now, whatever the retry policy says
    │   ├── Snooze                   not now; spends no attempt
    │   └── ToolError                a call to the outside failed, and says whether another attempt may help
    ├── StepRefused              the step's data: the runtime fails the attempt, without a retry
    │   ├── MissingInput             a path of the input mapping, or a parameter, has no value
    │   ├── InvalidStepInput         a value does not fit the parameter's type
    │   ├── InvalidOutput            a result does not fit the return annotation, or is no JSON
    │   ├── UnstorableResult         the store refused the data of this one result
    │   └── TransactionMisused       the step ended the transaction that was not its own to end
    ├── ClaimRefused             the core: a grant that may not be recorded (and what to do with it)
    ├── LeaseError               the clock: the right to work has passed on
    │   ├── StaleClaim               a newer claim is recorded; this one can change nothing
    │   └── PlaneMoved               granted by a backend that delivers no more: the mesh has been moved
    └── BackendError             the store
        ├── BackendUnavailable       not reachable, busy or read-only: the same call may work later
        │   ├── AccessRefused             it is there, and lets this user or this address not in
        │   ├── TransactionLost           it went away in the middle of a step's transaction: nothing of that is left
    │   └── ThreadsLocked             somebody holds these threads locked; the other threads of the call can be written
        ├── CommitUnknown            the answer to a commit was lost: repeat the same append
        ├── JournalConflict          the thread has moved on: fold the tail and decide again
        ├── SchemaOutOfDate          the store must be migrated first
        ├── SchemaTooNew             the store was written by a newer version
        ├── ForeignStore             a file or database that is not ours
        ├── StoreDamaged             ours, but not as it was made: it must be restored
        ├── DataRefused              the store can not hold this very value
        ├── CodecRefused             the payload codec can not seal this, or not open it: it has not that key
        └── CorruptHistory           an entry that fails its codec or checksum, or of a newer version

Every error has a stable ``code`` (a word for programs), and its text names the field, what was wrong with it, and what
is allowed. Usage errors carry the ``http_status`` that a web host would answer with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


class SquidMeshError(Exception):
    """The root: catch this to catch everything that Squid Mesh raises on purpose."""

    code: str = "squidmesh_error"


# --------------------------------------------------------------------------------------------------- the author


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a definition: where (``path``, dotted), a stable ``code``, and a sentence.

    A ``warning`` does not stop a registration; everything else does.
    """

    path: str
    code: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.code}]"


class WorkflowError(SquidMeshError):
    """A workflow definition is refused. ``problems`` holds every problem that was found, not only the first."""

    code = "invalid_workflow"

    def __init__(self, workflow: str, problems: tuple[Problem, ...]) -> None:
        self.workflow = workflow
        self.problems = problems
        found = "; ".join(str(problem) for problem in problems)
        super().__init__(f"workflow {workflow!r} has {len(problems)} problem(s): {found}")


# --------------------------------------------------------------------------------------------------- the caller


class UsageError(SquidMeshError):
    """A call that can not be carried out as asked. ``field`` names the argument; nothing was written."""

    code = "usage_error"
    http_status = 422

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        self.field = field
        if code is not None:
            self.code = code
        super().__init__(f"{field}: {message}" if field else message)


class InvalidInput(UsageError):
    code = "invalid_input"


class InvalidPayload(InvalidInput):
    code = "invalid_payload"


class InvalidUrl(InvalidInput):
    code = "invalid_url"


class NotFound(UsageError):
    code = "not_found"
    http_status = 404


class NotWaiting(UsageError):
    code = "not_waiting"
    http_status = 409


class NotAllowed(UsageError):
    code = "not_allowed"
    http_status = 409


class KeyReused(UsageError):
    code = "key_reused"
    http_status = 409


class RunPruned(UsageError):
    """A run with a key, of a cron trigger or of a parent was here, and was pruned: its id stays used for ever. What is
    known of it: ``workflow``, ``status`` and when it ended.
    """

    code = "run_pruned"
    http_status = 409

    def __init__(
        self, message: str, *, field: str | None = None, run_id: str, workflow: str, status: str, ended_at: datetime
    ) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.status = status
        self.ended_at = ended_at
        super().__init__(message, field=field)


class WrongPlane(UsageError):
    code = "wrong_plane"
    http_status = 409


# ----------------------------------------------------------------------------------------------------- the step


class StepFailure(SquidMeshError):
    """Raised by a step to choose its own outcome."""

    code = "step_failure"


class RetryLater(StepFailure):
    """Spends this attempt and tries again ``after`` a time (seconds or timedelta), once instead of the backoff.

    Without a retry policy, or when its attempts are spent, it acts as :class:`GiveUp`.
    """

    code = "retry_later"

    def __init__(self, message: str = "the step asked to be tried again later", *, after: timedelta | float) -> None:
        self.after = after
        super().__init__(message)


class GiveUp(StepFailure):
    """Fails the step now: no further attempt, whatever the retry policy says. The error route is taken, if any."""

    code = "give_up"


class Snooze(StepFailure):
    """Not now: the same attempt becomes visible again ``after`` a time. Spends no attempt."""

    code = "snooze"

    def __init__(self, message: str = "the step asked to be delivered later", *, after: timedelta | float) -> None:
        self.after = after
        super().__init__(message)


class ToolError(StepFailure):
    """A call to the outside failed. It stands beside the other ways in which a step chooses its outcome, because a step
    that lets it out has chosen: the attempt fails with the code ``tool_{kind}``; ``retryable=False`` acts as
    :class:`GiveUp`, and ``after`` as that of :class:`RetryLater`, where a retry is allowed.

    ``tool``: its name. ``kind``: what went wrong, a word of a-z, 0-9 and ``_`` for programs and counts. ``details``:
    JSON values that help whoever looks into it; they are recorded with the error, and no secret belongs there.
    """

    def __init__(
        self,
        *,
        tool: str,
        kind: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retryable: bool,
        after: timedelta | float | None = None,
    ) -> None:
        self.tool = tool
        self.kind = kind
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retryable = retryable
        self.after = after
        self.code = f"tool_{kind}"
        super().__init__(f"{tool}: {message}")
        if self.details:  # a note stands at the end of a traceback, and so in what is recorded
            self.add_note(f"details: {json.dumps(self.details, ensure_ascii=False, default=repr)}")


class StepRefused(SquidMeshError):
    """The data of a step is refused by the runtime. The attempt fails and is not retried: it would fail again."""

    code = "step_refused"


class MissingInput(StepRefused):
    code = "missing_input"


class InvalidStepInput(StepRefused):
    code = "invalid_step_input"


class InvalidOutput(StepRefused):
    code = "invalid_output"


class UnstorableResult(StepRefused):
    code = "unstorable_result"


class TransactionMisused(StepRefused):
    code = "transaction_misused"


# ----------------------------------------------------------------------------------------------------- the core


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedClaim:
    """A claim as the journal knows it: never the claim id, only its hash. ``lease`` is its full length."""

    owner: str
    claim_hash: str
    generation: int
    fence: int
    lease: timedelta


class ClaimRefused(SquidMeshError):
    """A grant that may not be recorded (protocol 3.5.2). ``settle``: the attempt is closed, end the item. ``current``:
    another claim is recorded, give the item back as that one. Otherwise give it back with ``floor`` after ``delay``.
    """

    code = "claim_refused"

    def __init__(
        self,
        message: str,
        *,
        settle: bool = False,
        current: RecordedClaim | None = None,
        floor: int = 0,
        delay: timedelta = timedelta(0),
    ) -> None:
        self.settle = settle
        self.current = current
        self.floor = floor
        self.delay = delay
        super().__init__(message)


# ---------------------------------------------------------------------------------------------------- the lease


class LeaseError(SquidMeshError):
    code = "lease_error"


class StaleClaim(LeaseError):
    code = "stale_claim"


class PlaneMoved(LeaseError):
    code = "plane_moved"


# ---------------------------------------------------------------------------------------------------- the store


class BackendError(SquidMeshError):
    code = "backend_error"


class BackendUnavailable(BackendError):
    code = "backend_unavailable"


class AccessRefused(BackendUnavailable):
    """Somebody may put that right, and whoever works already waits for it; who begins is better told at once."""

    code = "access_refused"


class TransactionLost(BackendUnavailable):
    code = "transaction_lost"


class ThreadsLocked(BackendUnavailable):
    """Somebody else has held ``threads`` locked for longer than a writer waits. Nothing was written."""

    code = "threads_locked"

    def __init__(self, message: str, *, threads: Collection[str]) -> None:
        super().__init__(message)
        self.threads = frozenset(threads)


class CommitUnknown(BackendError):
    code = "commit_unknown"


class JournalConflict(BackendError):
    code = "journal_conflict"


class SchemaOutOfDate(BackendError):
    code = "schema_out_of_date"


class SchemaTooNew(BackendError):
    code = "schema_too_new"


class ForeignStore(BackendError):
    code = "foreign_store"


class StoreDamaged(BackendError):
    code = "store_damaged"


class DataRefused(BackendError):
    code = "data_refused"


class CodecRefused(BackendError):
    """Raised by payload codecs. Its text is shown to operators: it names a key, and holds no payload."""

    code = "codec_refused"


class CorruptHistory(BackendError):
    """``thread`` and ``revision`` name the entry; the run is held, nothing is folded past it."""

    code = "corrupt_history"

    def __init__(self, message: str, *, thread: str, revision: int) -> None:
        self.thread = thread
        self.revision = revision
        super().__init__(f"{thread} entry {revision}: {message}")
