"""One activation of a cron trigger: its run and its place in the trigger's thread, appended as one group (3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from squidmesh.clock import Instant, to_datetime, to_instant
from squidmesh.config import DEFAULT_PRIORITY
from squidmesh.errors import InvalidInput, JournalConflict, KeyReused
from squidmesh.ids import RunId, fingerprint, signal_run_id, window_run_id
from squidmesh.journal.facts import Activation
from squidmesh.journal.state import RunState
from squidmesh.journal.triggers import AnyTriggerFact, TriggerState, WindowActivated
from squidmesh.runtime import starting
from squidmesh.runtime.arguments import check_key
from squidmesh.runtime.births import plan
from squidmesh.runtime.cron_threads import CronThreads, RegisteredCron
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.missing import missing_run
from squidmesh.runtime.recorder import Birth
from squidmesh.runtime.starts import Start, Terms
from squidmesh.workflow.authoring import Cron, Workflow
from squidmesh.workflow.payload import accept_payload
from squidmesh.workflow.timezones import read_timezone
from squidmesh.workflow.today import standing_for

CronTarget = type[Workflow] | Cron[Any] | str

_TRIES = 1000
"""So often may others fire the same trigger between a read and the append after it. Each of them got on."""


def find_cron(engine: Engine, target: CronTarget) -> RegisteredCron:
    """``NotFound``, or ``InvalidInput`` where it is no cron trigger."""
    found = starting.locate(engine, target, cron=True)
    return RegisteredCron(workflow=found.workflow, trigger=found.workflow.definition.crons[found.trigger])


def make_start(
    engine: Engine,
    cron: RegisteredCron,
    run_id: RunId,
    activation: Activation,
    payload: BaseModel | Mapping[str, Any] | None = None,
) -> Start:
    """The run of an activation, checked; all defaults are computed here, once. ``InvalidPayload`` otherwise."""
    day = to_datetime(activation.window).astimezone(read_timezone(activation.timezone)).date()
    with standing_for(day):
        accepted = accept_payload(
            cron.workflow.triggers[cron.trigger.name],
            {} if payload is None else payload,
            marks=cron.workflow.marks[cron.trigger.name],
        )
    with engine.instruments.starting(cron.workflow.name, replays=None) as traceparent:
        pass  # a trace of its own begins with each firing
    terms = Terms(
        workflow=cron.workflow,
        trigger=cron.trigger.name,
        queue=engine.config.queue,
        priority=DEFAULT_PRIORITY,
        delay=timedelta(0),
        activation=activation,
        traceparent=traceparent,
    )
    return Start(
        terms=terms,
        payload=accepted.data,
        payload_fingerprint=fingerprint(accepted.canonical()),
        key=None,
        run_id=run_id,
    )


def append_run(
    engine: Engine,
    threads: CronThreads,
    cron: RegisteredCron,
    state: TriggerState,
    facts: tuple[AnyTriggerFact, ...],
    born: Birth,
) -> tuple[TriggerState, bool | None]:
    """The trigger's facts and revision 1 of the run, in one group. True where that is done; False where the run was
    there before; None where the trigger's thread has moved on, so that it must be read again.
    """
    after, moved = threads.append(cron, state, facts, beside=born)
    if moved is None:
        engine.instruments.started(born.state)
        starting.offer(engine, born.effects)
        return after, True
    return state, None if moved == cron.thread else False


# ---------------------------------------------------------------------------------------------- asked for by a host


def activate(
    engine: Engine,
    cron: RegisteredCron,
    *,
    window: datetime | None,
    signal_id: str | None,
    payload: BaseModel | Mapping[str, Any] | None,
) -> RunState | None:
    """The run of this firing, started now or before; None for a duplicate where the trigger says so."""
    if window is None and signal_id is None:
        raise InvalidInput("is missing, and so is signal_id; allowed is one of them, or both", field="window")
    signal = None if signal_id is None else check_key(signal_id, field="signal_id")
    now = engine.store.now()
    moment = _minute(now) if window is None else _moment(window)
    workflow, trigger = cron.workflow.name, cron.trigger.name
    run_id = window_run_id(workflow, trigger, moment) if signal is None else signal_run_id(workflow, trigger, signal)
    activation = Activation(window=moment, timezone=cron.trigger.timezone, signal_id=signal)
    asked = make_start(engine, cron, run_id, activation, payload)
    born = plan(asked, now)
    fact = WindowActivated(at=now, window=moment, run_id=run_id, signal_id=signal, by_host=True)
    threads = CronThreads(engine.store, engine.caller_patience())
    for _ in range(_TRIES):
        _, done = append_run(engine, threads, cron, threads.load_one(cron), (fact,), born)
        if done:
            return born.state
        if done is False:
            return _duplicate(engine, cron, run_id, asked, given=payload is not None)
    raise JournalConflict(f"{cron.name} is fired all the time: {_TRIES} tries to append to its thread came too late")


def _duplicate(engine: Engine, cron: RegisteredCron, run_id: RunId, asked: Start, *, given: bool) -> RunState | None:
    if cron.trigger.idempotency == "skip_duplicate":
        return None
    existing = starting.existing_runs(engine, [run_id]).get(run_id)
    if existing is None:
        raise missing_run(engine.store, run_id, field="window")
    if given and not starting.alike(asked, existing):
        message = f"this activation started run {run_id} with another payload; allowed is the same one, or none"
        raise KeyReused(message, field="payload")
    return existing


def _moment(window: object) -> Instant:
    allowed = "allowed is a datetime with a timezone"
    if not isinstance(window, datetime):
        raise InvalidInput(f"is a {type(window).__name__}; {allowed}", field="window")
    try:
        return to_instant(window)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{window.isoformat()} has none; {allowed}", field="window") from None


def _minute(now: Instant) -> Instant:
    moment = to_datetime(now)
    return to_instant(moment - timedelta(seconds=moment.second, microseconds=moment.microsecond))
