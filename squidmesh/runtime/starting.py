"""Starting runs: validated, derived where a key is given, appended at revision 0 (protocol 3.7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from squidmesh.clock import Instant, check_duration
from squidmesh.config import DEFAULT_PRIORITY, MAX_PAYLOAD_BYTES, PRIORITIES, check_integer
from squidmesh.errors import (
    BackendUnavailable,
    CommitUnknown,
    CorruptHistory,
    InvalidInput,
    InvalidPayload,
    JournalConflict,
    KeyReused,
    NotFound,
)
from squidmesh.ids import RunId, ThreadId, fingerprint, keyed_run_id
from squidmesh.journal.codec import encode_facts
from squidmesh.journal.facts import Activation, ParentRun
from squidmesh.journal.rows import Tombstone
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import StartRun
from squidmesh.planning.decide import begun
from squidmesh.planning.rows import changes
from squidmesh.ports.journal_store import Append, Conflict, DefinitionRecord, Group, JournalStore
from squidmesh.runtime import chance
from squidmesh.runtime.arguments import check_key, check_metadata, check_name, check_text, shown
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.held import HeldRun, Runs
from squidmesh.runtime.joining import no_patience, out_of_sight, put_definitions
from squidmesh.runtime.missing import missing_run, pruned
from squidmesh.runtime.recorder import Birth
from squidmesh.workflow.authoring import Manual, Trigger, Workflow
from squidmesh.workflow.payload import accept_payload, check_json
from squidmesh.workflow.registry import RegisteredWorkflow

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine

Target = type[Workflow] | Manual[Any] | str


@dataclass(frozen=True, slots=True)
class Located:
    """A target that was looked up: once, for many starts."""

    workflow: RegisteredWorkflow
    trigger: str


_LONGEST_DELAY = timedelta(days=366 * 10)
_LONGEST_TARGET = 256
_DRAWS = 5
"""How often a start without a key draws a new id where the one before was taken. Once is unheard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run to start, checked: nothing in it can be refused by the core. ``payload`` has all defaults; the
    fingerprint is of what the caller gave, so that the same call is the same again (protocol 3.7). ``run_id``: of a run
    that is derived from something else than a key. ``activation``: a cron trigger fires. ``traceparent``: where in a
    trace it is started.
    """

    workflow: RegisteredWorkflow
    trigger: str
    payload: dict[str, Any] = field(repr=False)
    payload_fingerprint: str
    key: str | None
    queue: str
    priority: int
    delay: timedelta
    run_id: RunId | None = None
    parent: ParentRun | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    replay_of: str | None = None
    activation: Activation | None = None
    traceparent: str | None = None

    @property
    def is_derived(self) -> bool:
        """Whether the run's id follows from what it is, so that it is found where it was started before."""
        return self.key is not None or self.run_id is not None


def check_start(
    engine: Engine,
    target: Target | Located,
    payload: BaseModel | Mapping[str, Any],
    *,
    key: str | None,
    queue: str | None,
    priority: int | None,
    delay: timedelta | float | None,
    field: str = "payload",
    metadata: object = None,
    cron: bool | None = False,
) -> Start:
    """Raises ``NotFound`` (workflow or trigger), ``InvalidPayload`` (under the name ``field``) or ``InvalidInput``;
    writes nothing.
    """
    found = target if isinstance(target, Located) else locate(engine, target, cron=cron)
    workflow, trigger = found.workflow, found.trigger
    accepted = accept_payload(workflow.triggers[trigger], payload, field=field, marks=workflow.marks[trigger])
    return Start(
        workflow=workflow,
        trigger=trigger,
        payload=accepted.data,
        payload_fingerprint=fingerprint(canonical(accepted.given)),
        key=None if key is None else check_key(key),
        queue=engine.config.queue if queue is None else check_name(queue, field="queue"),
        priority=_priority(priority),
        delay=_delay(delay),
        metadata=check_metadata(metadata),
    )


def _priority(given: object) -> int:
    if given is None:
        return DEFAULT_PRIORITY
    return check_integer(given, field="priority", allowed=PRIORITIES, note=", lower first")


def _delay(given: object) -> timedelta:
    if given is None:
        return timedelta(0)
    return check_duration(given, field="delay", least=timedelta(0), most=_LONGEST_DELAY)


def canonical(payload: dict[str, Any]) -> bytes:
    return check_json(payload, field="payload", limit=MAX_PAYLOAD_BYTES, error=InvalidPayload)


# ---------------------------------------------------------------------------------------------------------- writing


def start_runs(
    engine: Engine, starts: Sequence[Start], *, joined: JournalStore | None = None, replays: str | None = None
) -> list[RunState]:
    """Appends all of them in one commit, each on its own, and gives the run of each: the one that its key started
    before, where there was one. ``KeyReused`` if that was with another payload, ``RunPruned`` if it is not kept any
    more; the other starts stand. Where two of the starts themselves have one key and two payloads, nothing is written.

    ``joined``: the journal in the host's transaction (protocol 3.4). Then nothing is tried twice, and nothing offered.
    ``replays``: the ``traceparent`` of the run that is replayed.
    """
    _refuse_contradictions(starts)
    if not engine.instruments.any or not starts:
        return _start_all(engine, starts, joined)
    with engine.instruments.starting(starts[0].workflow.name, replays=replays) as traceparent:
        return _start_all(engine, [replace(asked, traceparent=traceparent) for asked in starts], joined)


def _start_all(engine: Engine, starts: Sequence[Start], joined: JournalStore | None) -> list[RunState]:
    found: dict[int, RunState | Tombstone] = {}
    for _ in range(_DRAWS):
        waiting = {index: asked for index, asked in enumerate(starts) if index not in found}
        if not waiting:
            break
        found |= _start_or_find(engine, waiting, joined)
    if len(found) < len(starts):
        raise JournalConflict(f"{_DRAWS} new run ids in a row were taken: this host's chance repeats itself")
    return [_same(asked, found[index]) for index, asked in enumerate(starts)]


def _start_or_find(
    engine: Engine, starts: Mapping[int, Start], joined: JournalStore | None
) -> dict[int, RunState | Tombstone]:
    """One commit. A start without a key whose new id was taken is left out: that run is not the caller's."""
    store = engine.store if joined is None else joined
    now = store.now()
    run_ids: dict[int, RunId] = {}
    plans: dict[RunId, Birth] = {}
    for index, asked in starts.items():
        run_id = _run_id(asked)
        if run_id in plans and not asked.is_derived:
            continue
        run_ids[index] = run_id
        if run_id not in plans:
            plans[run_id] = plan(asked, now, run_id, offers=not engine.leases.in_journal)
    answers = Appender(store, _patience(engine, joined), engine.instruments).commit(
        _groups(engine, plans.values(), joined)
    )
    done = Effects()
    taken = set()
    for (run_id, born), answer in zip(plans.items(), answers, strict=True):
        if isinstance(answer, Conflict):
            taken.add(run_id)
        else:
            done.add(born.effects)
            if joined is None:
                engine.instruments.started(born.state)
    if joined is None:  # else nothing is durable yet; the host's commit announces itself
        offer(engine, done)
    ours = {index: run_id for index, run_id in run_ids.items() if run_id not in taken or starts[index].is_derived}
    existing = _kept_or_pruned(engine, [run_id for run_id in ours.values() if run_id in taken], joined)
    return {index: existing[run_id] if run_id in taken else plans[run_id].state for index, run_id in ours.items()}


def _kept_or_pruned(
    engine: Engine, run_ids: Sequence[RunId], joined: JournalStore | None
) -> dict[str, RunState | Tombstone]:
    """Runs that were started before. What is gone when we look has left its tombstone, since its id is derived."""
    found: dict[str, RunState | Tombstone] = {**existing_runs(engine, run_ids, joined)}
    for run_id in run_ids:
        if run_id not in found:
            stone = engine.store.tombstone(run_id)
            if stone is None and joined is not None:
                raise out_of_sight(run_id)
            if stone is None:
                raise JournalConflict(f"run {run_id} was there, and is gone without a trace")
            found[run_id] = stone
    return found


def _groups(engine: Engine, births: Collection[Birth], joined: JournalStore | None) -> list[Group]:
    if joined is None:
        return [Group(appends=(born.append,), definitions=(born.definition,)) for born in births]
    put_definitions(engine, [born.definition for born in births])
    return [Group(appends=(born.append,)) for born in births]


def _patience(engine: Engine, joined: JournalStore | None) -> Patience:
    return engine.caller_patience() if joined is None else no_patience()


def _run_id(asked: Start) -> RunId:
    if asked.run_id is not None:
        return asked.run_id
    return chance.new_run_id() if asked.key is None else keyed_run_id(asked.workflow.name, asked.key)


def plan(asked: Start, now: Instant, run_id: RunId | None = None, *, offers: bool = True) -> Birth:
    """Revision 1 of the run, whose id is known: ``run_id``, or that of ``asked``. ``offers``: whether its effects are
    wanted; leases in the journal itself need none.
    """
    if run_id is None:
        assert asked.run_id is not None
        run_id = asked.run_id
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
        parent=asked.parent,
        metadata=asked.metadata,
        replay_of=asked.replay_of,
        activation=asked.activation,
        traceparent=asked.traceparent,
    )
    facts, state = begun(definition, command)
    effects = Effects()
    if offers:
        effects.note(state, facts, None, now)
    append = Append(
        thread=ThreadId(run_id),
        expected_revision=0,
        entry_id=chance.new_entry_id(),
        body=encode_facts(facts),
        rows=changes(None, facts, state),
    )
    record = DefinitionRecord(fingerprint=definition.fingerprint, body=definition.canonical())
    return Birth(state=state, append=append, definition=record, effects=effects)


def require_same(engine: Engine, asked: Start, run_id: RunId) -> RunState:
    """The run that is there already; ``KeyReused`` where it was started with another payload."""
    found = existing_runs(engine, [run_id])
    if run_id not in found:
        raise missing_run(engine.store, run_id)
    return _same(asked, found[run_id])


def existing_runs(engine: Engine, run_ids: Sequence[RunId], joined: JournalStore | None = None) -> dict[str, RunState]:
    """Those that are there already; or that are there for the host's transaction."""
    store = engine.store if joined is None else joined
    loaded = Runs(store, engine.definitions, _patience(engine, joined)).load(run_ids)
    for found in loaded.values():
        if isinstance(found, CorruptHistory):
            raise found
    return {run_id: found.state for run_id, found in loaded.items() if isinstance(found, HeldRun)}


def _refuse_contradictions(starts: Sequence[Start]) -> None:
    """One key with two payloads in one call."""
    first: dict[tuple[str, str], Start] = {}
    for asked in starts:
        if asked.key is None:
            continue
        if not alike(asked, first.setdefault((asked.workflow.name, asked.key), asked)):
            raise KeyReused(f"{shown(asked.key)} is there twice, with two payloads; allowed is one", field="keys")


def _same(asked: Start, state: RunState | Tombstone) -> RunState:
    """I12: one key, one run, for ever. The same key with another payload is the caller's mistake."""
    if isinstance(state, Tombstone):
        raise pruned(state, field="key", allowed="its key stays used: allowed is a new one")
    if not alike(asked, state):
        key = shown(asked.key or (asked.parent.key if asked.parent else ""))
        raise KeyReused(
            f"{key} started run {state.run_id} with another payload; allowed is the same payload, or a new key",
            field="key",
        )
    return state


def alike(asked: Start, other: Start | RunState) -> bool:
    """The caller gave the same, or what came of it is the same: a default may be given or left out."""
    return asked.payload_fingerprint == other.payload_fingerprint or (
        canonical(asked.payload) == canonical(other.payload)
    )


def offer(engine: Engine, effects: Effects) -> None:
    """What follows a start that is durable."""
    try:
        effects.carry_out(engine.leases)
    except (BackendUnavailable, CommitUnknown) as error:  # the runs are durable; what was lost is a hint (protocol 3.4)
        engine.observer.notice("lease_backend_unavailable", error=str(error))
    else:
        engine.instruments.answered("lease_backend_unavailable")
    engine.poke_for_a_start()


# ----------------------------------------------------------------------------------------------------------- target


def locate(engine: Engine, target: object, *, cron: bool | None = False, patience: Patience | None = None) -> Located:
    """The workflow and its trigger: one that is ``cron`` or not, or (None) any. A workflow alone is enough where it has
    one trigger of the kind. ``NotFound``, or ``InvalidInput`` where it is no target at all. ``patience``: for the
    journal, where that has to be asked; by default that of a call.
    """
    workflow, trigger = _named(engine, target, patience)
    crons = workflow.definition.crons
    triggers = sorted(name for name in workflow.triggers if cron is None or (name in crons) == cron)
    if trigger in workflow.triggers and trigger not in triggers:
        said = "a manual trigger: start_run starts it" if cron else "a cron trigger: activate_cron fires it"
        raise InvalidInput(f"{workflow.name}.{trigger} is {said}", field="target")
    if not triggers:
        raise NotFound(f"{workflow.name} has no {'cron' if cron else 'manual'} trigger", field="trigger")
    if trigger is None and len(triggers) == 1:
        return Located(workflow, triggers[0])
    if trigger is None or trigger not in triggers:
        said = "several triggers; say which" if trigger is None else f"no trigger {shown(trigger)}"
        raise NotFound(f"{workflow.name} has {said}: {', '.join(triggers)}", field="trigger")
    return Located(workflow, trigger)


def with_trigger(engine: Engine, target: Target, trigger: str | None) -> Target:
    """The target, where the trigger may be said by itself."""
    if trigger is None:
        return target
    name = check_text(trigger, field="trigger", least=1, most=_LONGEST_TARGET)
    workflow, said = _named(engine, target)
    if said is not None and said != name:
        raise InvalidInput(f"{shown(name)} is not the trigger {said}, which is named too", field="trigger")
    return f"{workflow.name}.{name}"


def _named(engine: Engine, target: object, patience: Patience | None = None) -> tuple[RegisteredWorkflow, str | None]:
    """The workflow, and the trigger if one was said."""
    registry = engine.registry
    if isinstance(target, Trigger):
        try:
            return registry.of(target), target.name
        except TypeError:
            message = "this trigger stands in no workflow; allowed is one from the body of a Workflow"
            raise InvalidInput(message, field="target") from None
    if isinstance(target, type) and issubclass(target, Workflow):
        return registry.of(target), None
    if not isinstance(target, str):
        allowed = "allowed is a workflow, one of its triggers, or a name"
        raise InvalidInput(f"is a {type(target).__name__}; {allowed}", field="target")
    name = check_text(target, field="target", least=1, most=_LONGEST_TARGET)
    workflow, _, trigger = name.rpartition(".")
    if (found := called(engine, name, patience)) is not None:
        return found, None
    if workflow:  # a workflow's own name may have a dot
        return called(engine, workflow, patience) or registry.of(workflow), trigger
    return registry.of(name), None


def called(engine: Engine, name: str, patience: Patience | None = None) -> RegisteredWorkflow | None:
    """The workflow of that name: of a class that is registered here, or one that is active in the journal."""
    return engine.registry.get(name) or engine.catalogue.get(name, patience)
