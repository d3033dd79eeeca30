"""Starting runs: validated, derived where a key is given, appended at revision 0 (protocol 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from squidmesh.clock import Instant, seconds
from squidmesh.config import DEFAULT_PRIORITY, MAX_PAYLOAD_BYTES, PRIORITIES
from squidmesh.errors import (
    BackendUnavailable,
    CommitUnknown,
    CorruptHistory,
    InvalidInput,
    InvalidPayload,
    KeyReused,
    NotFound,
)
from squidmesh.ids import RunId, ThreadId, check_identifier, fingerprint, keyed_run_id
from squidmesh.journal.codec import encode_facts
from squidmesh.journal.fold import fold
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import StartRun
from squidmesh.planning.decide import start
from squidmesh.planning.rows import changes
from squidmesh.ports.journal_store import Append, Conflict, DefinitionRecord, Group
from squidmesh.runtime import chance
from squidmesh.runtime.commit import Committer
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.held import Runs
from squidmesh.workflow.authoring import Manual, Workflow
from squidmesh.workflow.payload import check_json, validate_payload
from squidmesh.workflow.registry import RegisteredWorkflow

Target = type[Workflow] | Manual[Any] | str
_LONGEST_DELAY = timedelta(days=366 * 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run to start, checked: nothing in it can be refused by the core."""

    workflow: RegisteredWorkflow
    trigger: str
    payload: dict[str, Any]
    payload_fingerprint: str
    key: str | None
    queue: str
    priority: int
    delay: timedelta


def check_start(
    engine: Engine,
    target: Target,
    payload: BaseModel | Mapping[str, Any] | None,
    *,
    key: str | None,
    queue: str | None,
    priority: int | None,
    delay: timedelta | float | None,
) -> Start:
    """Raises ``NotFound`` (workflow or trigger), ``InvalidPayload`` or ``InvalidInput``; writes nothing."""
    workflow, trigger = _find(engine, target)
    valid = validate_payload(workflow.triggers[trigger], {} if payload is None else payload)
    if key is not None:
        check_key(key)
    chosen = DEFAULT_PRIORITY if priority is None else priority
    if isinstance(chosen, bool) or chosen not in PRIORITIES:
        raise InvalidInput(
            f"{priority!r} is refused; allowed is {PRIORITIES[0]} (first) to {PRIORITIES[-1]}", field="priority"
        )
    later = seconds(0 if delay is None else delay)
    if not timedelta(0) <= later <= _LONGEST_DELAY:
        raise InvalidInput(f"{later} is refused; allowed is 0 to {_LONGEST_DELAY.days} days", field="delay")
    canonical = check_json(valid, field="payload", limit=MAX_PAYLOAD_BYTES, error=InvalidPayload)
    return Start(
        workflow=workflow,
        trigger=trigger,
        payload=valid,
        payload_fingerprint=fingerprint(canonical),
        key=key,
        queue=check_identifier(engine.config.queue if queue is None else queue, field="queue"),
        priority=chosen,
        delay=later,
    )


def check_key(key: object) -> str:
    """Keys are the caller's own words: any text of 1 to 512 characters that a store can hold."""
    if not isinstance(key, str) or not 1 <= len(key) <= 512:
        raise InvalidInput("allowed is text of 1 to 512 characters", field="key")
    check_json(key, field="key", limit=4096, error=InvalidInput)
    return key


def start_runs(engine: Engine, starts: Sequence[Start]) -> list[RunState]:
    """Appends all of them in one commit, each on its own, and gives the run of each: the one that its key started
    before, where there was one. ``KeyReused`` if that was with another payload; the other starts stand.
    """
    now = engine.store.now()
    run_ids = [_run_id(asked) for asked in starts]
    planned = {run_id: _plan(asked, run_id, now) for run_id, asked in zip(run_ids, starts, strict=True)}
    answers = Committer(engine.store, engine.caller_patience()).commit([plan.group for plan in planned.values()])
    done = Effects()
    states: dict[RunId, RunState] = {}
    for (run_id, plan), answer in zip(planned.items(), answers, strict=True):
        if isinstance(answer, Conflict):
            states[run_id] = _existing(engine, run_id)
        else:
            states[run_id] = plan.state
            done.add(plan.effects)
    _offer(engine, done)
    return [_same(asked, states[run_id]) for run_id, asked in zip(run_ids, starts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Plan:
    state: RunState
    group: Group
    effects: Effects


def _run_id(asked: Start) -> RunId:
    return chance.new_run_id() if asked.key is None else keyed_run_id(asked.workflow.name, asked.key)


def _plan(asked: Start, run_id: RunId, now: Instant) -> _Plan:
    definition = asked.workflow.definition
    command = StartRun(
        now=now,
        run_id=run_id,
        trigger=asked.trigger,
        payload=asked.payload,
        payload_fingerprint=asked.payload_fingerprint,
        queue=asked.queue,
        priority=asked.priority,
        key=asked.key,
        delay=asked.delay,
    )
    facts = start(definition, command)
    state = fold(None, facts)
    effects = Effects()
    effects.note(state, facts, None, now)
    append = Append(
        thread=ThreadId(run_id),
        expected_revision=0,
        entry_id=chance.new_entry_id(),
        body=encode_facts(facts),
        rows=changes(None, facts, state),
    )
    record = DefinitionRecord(fingerprint=definition.fingerprint, body=definition.canonical())
    return _Plan(state, Group(appends=(append,), definitions=(record,)), effects)


def _existing(engine: Engine, run_id: RunId) -> RunState:
    found = Runs(engine.store, engine.definitions, engine.caller_patience()).load([run_id])[run_id]
    if isinstance(found, CorruptHistory):
        raise found
    return found.state


def _same(asked: Start, state: RunState) -> RunState:
    """I12: one key, one run. The same key with another payload is the caller's mistake."""
    if state.payload_fingerprint != asked.payload_fingerprint:
        raise KeyReused(
            f"{asked.key!r} started run {state.run_id} with another payload; allowed is the same payload, or a new key",
            field="key",
        )
    return state


def _offer(engine: Engine, effects: Effects) -> None:
    try:
        effects.carry_out(engine.leases)
    except (BackendUnavailable, CommitUnknown) as error:  # the runs are durable; what was lost is a hint (protocol 3.4)
        engine.observer.notice("lease_backend_unavailable", error=str(error))
    engine.poke()


def _find(engine: Engine, target: Target) -> tuple[RegisteredWorkflow, str]:
    """The registered workflow and the trigger's name. A workflow alone is enough where it has one trigger."""
    trigger: str | None = None
    if isinstance(target, Manual):
        trigger = target.name
    elif isinstance(target, str):
        target, _, trigger = target.partition(".")
    elif not is_workflow(target):
        raise InvalidInput(f"{target!r} is no workflow, trigger or name of one", field="target")
    workflow = engine.registry.of(target)
    triggers = sorted(workflow.triggers)
    if not trigger and len(triggers) == 1:
        return workflow, triggers[0]
    if not trigger or trigger not in workflow.triggers:
        said = f"no trigger {trigger!r}" if trigger else "several triggers; say which"
        raise NotFound(f"{workflow.name} has {said}: {', '.join(triggers)}", field="trigger")
    return workflow, trigger


def is_workflow(target: object) -> bool:
    return isinstance(target, type) and issubclass(target, Workflow)
