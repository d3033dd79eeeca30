"""Running one step: values in, an outcome out. The only place that calls user code.

A step gets copies: it can do to its arguments what it likes, and reach no one's state with it.
"""

from __future__ import annotations

import re
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from squidmesh.clock import Instant, seconds
from squidmesh.config import MAX_ERROR_BYTES
from squidmesh.errors import GiveUp, RetryLater, Snooze, StepRefused, ToolError
from squidmesh.ids import RunId
from squidmesh.journal.facts import Activation, StepError
from squidmesh.ports.lease_backend import Claim
from squidmesh.reading.schedule import schedule_of
from squidmesh.redaction import Redaction
from squidmesh.runtime.context import Context, LeaseFlag, StepVerbs
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.mapping import BoundStep, copy_json, output_of

_LONG_AGO = Instant(0)


class Assignment(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A recorded claim on its way into a slot. ``inputs`` and ``context`` (the whole context, only where the step asks
    for it) hold JSON values that still belong to the run's state. ``suspect``: a delivery of this attempt was lost
    before. ``home``: where a child process that runs it would find its workflow, if it is to. ``asked_at``: as in
    ``Heartbeats.hold``. ``continued``: how many steps of the run were claimed at once before this one. ``activation``:
    there where a cron ``trigger`` started the run. ``visible_at``: since when it could be claimed, by the journal's
    clock. ``traceparent``: where the run was started from. ``secrets``: the texts that no error of the step may hold.
    Its ``repr`` shows no data of the run.
    """

    claim: Claim
    run_id: RunId
    workflow: str
    spec: FunctionStep
    step: BoundStep
    attempt: int
    delivery: int
    inputs: dict[str, Any]
    context: dict[str, Any]
    payload_fields: frozenset[str]
    lost: LeaseFlag
    asked_at: float
    trigger: str
    activation: Activation | None
    visible_at: Instant = _LONG_AGO
    traceparent: str | None = None
    continued: int = 0
    suspect: bool = False
    home: str | None = None
    secrets: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        return self.claim.item

    def __repr__(self) -> str:
        return f"Assignment({self.claim.item}, delivery {self.delivery}, fence {self.claim.fence})"


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    assignment: Assignment
    output: dict[str, Any]

    def __repr__(self) -> str:
        return f"Completed({self.assignment!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    assignment: Assignment
    error: StepError
    retryable: bool
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed:
    assignment: Assignment
    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstarted:
    """The claim was lost or given back before the step began: nothing ran. ``delay``: for how long nobody need try."""

    assignment: Assignment
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The step was ended because its time was up. Whether it was says the journal, by its own clock."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A transactional step has completed, and that stands in the journal already: in the very transaction that the step
    wrote its own rows in.
    """

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """The child process that ran the step ended without an answer. ``cause``: how."""

    assignment: Assignment
    cause: str


Unrecorded = Completed | Failed | Snoozed | Unstarted | Died | TimedOut
Outcome = Unrecorded | Recorded
Result = Completed | Failed | Snoozed | Unstarted
"""What comes of calling a step, before anything is recorded."""

_LONGEST_DELAY = timedelta(days=366)
_NO_CODE = "step_raised"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def invoke(assignment: Assignment, verbs: StepVerbs, connection: Any = None) -> Result:
    """Calls a step that is a plain function. Every ``Exception`` becomes an outcome, and so does ``sys.exit``: a step
    does not end its host. What is left (an interrupt) is raised; the claim then ends like that of a process that died.
    """
    if assignment.lost:
        return Unstarted(assignment=assignment)
    try:
        result = assignment.step.fn(**_arguments(assignment, verbs, connection))
        return _completed(assignment, result)
    except _ENDINGS as ending:
        return _ended(assignment, ending)


async def invoke_async(assignment: Assignment, verbs: StepVerbs) -> Result:
    """The same of a coroutine. A cancelled one has failed."""
    if assignment.lost:
        return Unstarted(assignment=assignment)
    try:
        result = await assignment.step.fn(**_arguments(assignment, verbs, None))
        return _completed(assignment, result)
    except _ENDINGS as ending:
        return _ended(assignment, ending)


def _arguments(assignment: Assignment, verbs: StepVerbs, connection: Any) -> dict[str, Any]:
    return assignment.step.arguments(assignment.inputs, _context(assignment, verbs, connection))


def _completed(assignment: Assignment, result: Any) -> Completed:
    data = assignment.step.result(result)
    output = output_of(assignment.spec, data, payload_fields=assignment.payload_fields)
    return Completed(assignment=assignment, output=output)


_ENDINGS = (Exception, SystemExit, CancelledError)


def _ended(assignment: Assignment, ending: BaseException) -> Result:
    """What an exception of a step means."""
    if isinstance(ending, Snooze):
        return _timed(assignment, ending, lambda after: Snoozed(assignment=assignment, after=after))
    if isinstance(ending, RetryLater):
        return _retried(assignment, ending)
    if isinstance(ending, ToolError) and ending.after is not None and ending.retryable:
        return _retried(assignment, ending)
    return failed(assignment, ending)


def failed(assignment: Assignment, error: BaseException) -> Failed:
    """What an exception means: refused data, ``GiveUp``, and a tool's error that says so, are final; anything else may
    be retried by policy.
    """
    final = isinstance(error, GiveUp | StepRefused) or (isinstance(error, ToolError) and not error.retryable)
    return Failed(assignment=assignment, error=describe(error, assignment.secrets), retryable=not final)


def describe(error: BaseException, secrets: Collection[str] = ()) -> StepError:
    """The error as it is recorded: without ``secrets``, bounded, and always storable. ``details`` is the end of the
    traceback.
    """
    hide = Redaction(secrets).text  # before anything is cut off: half a secret would not be found
    code = _told(lambda: _code(error), _NO_CODE)
    message = _told(lambda: str(error), "(its text can not be told)")
    details = _told(lambda: "".join(traceback.format_exception(error)), "")
    return StepError(
        code=code if hide(code) == code else _NO_CODE,
        type=_storable(hide(type(error).__qualname__), 200, keep_end=False),
        message=_storable(hide(message), MAX_ERROR_BYTES // 4, keep_end=False),
        details=_storable(hide(details), MAX_ERROR_BYTES // 2, keep_end=True),
    )


def _code(error: BaseException) -> str:
    """The error's own code, if it has one of a form that is fit for labels and programs."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) and _CODE.fullmatch(code) else _NO_CODE


def _told(ask: Callable[[], str], otherwise: str) -> str:
    """What an exception says of itself: it is user code too, and may raise while it does."""
    try:
        return ask()
    except Exception:
        return otherwise


def _storable(text: str, limit: int, *, keep_end: bool) -> str:
    """At most ``limit`` bytes of UTF-8, without NUL and lone surrogates."""
    encoded = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    kept = encoded[-limit:] if keep_end else encoded[:limit]
    return kept.decode("utf-8", "ignore")


def _retried(assignment: Assignment, asked: RetryLater | ToolError) -> Result:
    described = describe(asked, assignment.secrets)
    return _timed(
        assignment,
        asked,
        lambda after: Failed(assignment=assignment, error=described, retryable=True, retry_after=after),
    )


def _timed(
    assignment: Assignment, asked: RetryLater | Snooze | ToolError, make: Callable[[timedelta], Result]
) -> Result:
    """``after`` comes from user code: a wrong one is that step's failure, not the pump's."""
    try:
        after = seconds(asked.after)  # type: ignore[arg-type]
        if not timedelta(0) <= after <= _LONGEST_DELAY:
            raise ValueError(f"{after} is not between 0 and {_LONGEST_DELAY}")
    except (TypeError, ValueError, OverflowError) as wrong:
        return failed(assignment, GiveUp(f"{type(asked).__name__}(after={asked.after!r}): {wrong}"))
    return make(after)


def _context(assignment: Assignment, verbs: StepVerbs, connection: Any) -> Context | None:
    if not assignment.step.wants_context:
        return None
    return Context(
        run_id=assignment.run_id,
        workflow=assignment.workflow,
        step=assignment.spec.name,
        attempt=assignment.attempt,
        delivery=assignment.delivery,
        fence=assignment.claim.fence,
        schedule=schedule_of(assignment.trigger, assignment.activation),
        lost=assignment.lost,
        load_state=lambda: copy_json(assignment.context),
        verbs=verbs,
        connection=connection,
    )
