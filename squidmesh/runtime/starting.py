"""Starting runs: validated, derived where a key is given, appended at revision 0 (protocol 3.7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from squidmesh.clock import check_duration
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
from squidmesh.ids import RunId, fingerprint, keyed_run_id
from squidmesh.journal.rows import Tombstone
from squidmesh.journal.state import RunState
from squidmesh.ports.journal_store import Conflict, Group, JournalStore
from squidmesh.runtime import chance
from squidmesh.runtime.arguments import check_key, check_metadata, check_name, check_text, shown
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.held import HeldRun, Runs
from squidmesh.runtime.joining import no_patience, out_of_sight, put_definitions
from squidmesh.runtime.missing import missing_run, pruned
from squidmesh.runtime.recorder import Birth
from squidmesh.runtime.stamping import FEWEST, Planner, Stamped
from squidmesh.runtime.starts import Start, Terms
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


_Found = RunState | Stamped | Tombstone
"""What a start came to: a run that was there, one that has begun just now, or what is left of a pruned one."""
_LONGEST_DELAY = timedelta(days=366 * 10)
_LONGEST_TARGET = 256
_DRAWS = 5
"""How often a start without a key draws a new id where the one before was taken. Once is unheard of."""


def check_start(
    engine: Engine,
    target: Target | Located,
    given: BaseModel | Mapping[str, Any],
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
    payload, payload_fingerprint = _payload(found, given, field)
    key = None if key is None else check_key(key)
    terms = Terms(
        workflow=found.workflow,
        trigger=found.trigger,
        queue=engine.config.queue if queue is None else check_name(queue, field="queue"),
        priority=_priority(priority),
        delay=_delay(delay),
        metadata=check_metadata(metadata),
    )
    return Start(terms=terms, payload=payload, payload_fingerprint=payload_fingerprint, key=key)


def check_starts(
    engine: Engine,
    located: Located,
    payloads: Sequence[BaseModel | Mapping[str, Any]],
    *,
    keys: Sequence[str] | None,
    queue: str | None,
    priority: int | None,
    delay: timedelta | float | None,
) -> list[Start]:
    """One for each payload, all on the same terms. As :func:`check_start`; ``keys`` have been checked."""
    if not payloads:
        return []
    each = repeat(None, len(payloads)) if keys is None else keys
    (given, key), *others = zip(payloads, each, strict=True)
    first = check_start(
        engine, located, given, key=key, queue=queue, priority=priority, delay=delay, field="payloads[0]"
    )
    found = [first]
    for index, (given, key) in enumerate(others, start=1):
        payload, payload_fingerprint = _payload(located, given, f"payloads[{index}]")
        found.append(Start(terms=first.terms, payload=payload, payload_fingerprint=payload_fingerprint, key=key))
    return found


def _payload(found: Located, given: BaseModel | Mapping[str, Any], field: str) -> tuple[dict[str, Any], str]:
    """With all defaults; and the fingerprint of what was given."""
    workflow, trigger = found.workflow, found.trigger
    accepted = accept_payload(workflow.triggers[trigger], given, field=field, marks=workflow.marks[trigger])
    return accepted.data, fingerprint(accepted.canonical())


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


def start_run(
    engine: Engine, asked: Start, *, joined: JournalStore | None = None, replays: str | None = None
) -> RunState:
    """One of :func:`start_runs`."""
    (started,) = start_runs(engine, [asked], joined=joined, replays=replays)
    return started.state if isinstance(started, Stamped) else started


def start_runs(
    engine: Engine, starts: Sequence[Start], *, joined: JournalStore | None = None, replays: str | None = None
) -> list[RunState | Stamped]:
    """Appends all of them in one commit, each on its own, and gives the run of each: the one that its key started
    before, where there was one. ``KeyReused`` if that was with another payload, ``RunPruned`` if it is not kept any
    more; the other starts stand. Where two of the starts themselves have one key and two payloads, nothing is written.

    ``joined``: the journal in the host's transaction (protocol 3.4). Then nothing is tried twice, and nothing offered.
    ``replays``: the ``traceparent`` of the run that is replayed.
    """
    _refuse_contradictions(starts)
    if not engine.instruments.any or not starts:
        return _start_all(engine, starts, joined)
    with engine.instruments.starting(starts[0].terms.workflow.name, replays=replays) as traceparent:
        return _start_all(engine, _traced(starts, traceparent), joined)


def _traced(starts: Sequence[Start], traceparent: str | None) -> list[Start]:
    """Those that shared their terms share them still."""
    terms = {id(asked.terms): asked.terms for asked in starts}
    traced = {name: replace(shared, traceparent=traceparent) for name, shared in terms.items()}
    return [replace(asked, terms=traced[id(asked.terms)]) for asked in starts]


def _start_all(engine: Engine, starts: Sequence[Start], joined: JournalStore | None) -> list[RunState | Stamped]:
    found: dict[int, _Found] = {}
    for _ in range(_DRAWS):
        waiting = {index: asked for index, asked in enumerate(starts) if index not in found}
        if not waiting:
            break
        found |= _start_or_find(engine, waiting, joined)
    if len(found) < len(starts):
        raise JournalConflict(f"{_DRAWS} new run ids in a row were taken: this host's chance repeats itself")
    return [_same(asked, found[index]) for index, asked in enumerate(starts)]


def _start_or_find(engine: Engine, starts: Mapping[int, Start], joined: JournalStore | None) -> dict[int, _Found]:
    """One commit. A start without a key whose new id was taken is left out: that run is not the caller's."""
    store = engine.store if joined is None else joined
    planner = Planner(store.now(), many=len(starts) >= FEWEST, offers=not engine.leases.in_journal)
    run_ids: dict[int, RunId] = {}
    plans: dict[RunId, Birth | Stamped] = {}
    for (index, asked), (drawn, entry_id) in zip(starts.items(), chance.new_start_ids(len(starts)), strict=True):
        run_id = _derived_id(asked) if asked.is_derived else drawn
        if run_id in plans and not asked.is_derived:
            continue
        run_ids[index] = run_id
        if run_id not in plans:
            plans[run_id] = planner.plan(asked, run_id, entry_id)
    answers = Appender(store, _patience(engine, joined), engine.instruments).commit(
        _groups(engine, plans.values(), joined)
    )
    taken = {run_id for run_id, answer in zip(plans, answers, strict=True) if isinstance(answer, Conflict)}
    if joined is None:  # else nothing is durable yet; the host's commit announces itself
        _announce(engine, [born for run_id, born in plans.items() if run_id not in taken])
    ours = {index: run_id for index, run_id in run_ids.items() if run_id not in taken or starts[index].is_derived}
    existing = _kept_or_pruned(engine, [run_id for run_id in ours.values() if run_id in taken], joined)
    return {index: existing[run_id] if run_id in taken else _begun(plans[run_id]) for index, run_id in ours.items()}


def _begun(born: Birth | Stamped) -> RunState | Stamped:
    return born.state if isinstance(born, Birth) else born


def _announce(engine: Engine, births: Collection[Birth | Stamped]) -> None:
    done = Effects()
    if not engine.leases.in_journal:
        for born in births:
            done.add(born.effects)
    if engine.instruments.any:
        for born in births:
            engine.instruments.started(born.state)
    offer(engine, done)


def _kept_or_pruned(engine: Engine, run_ids: Sequence[RunId], joined: JournalStore | None) -> dict[str, _Found]:
    """Runs that were started before. What is gone when we look has left its tombstone, since its id is derived."""
    found: dict[str, _Found] = {**existing_runs(engine, run_ids, joined)}
    for run_id in run_ids:
        if run_id not in found:
            stone = engine.store.tombstone(run_id)
            if stone is None and joined is not None:
                raise out_of_sight(run_id)
            if stone is None:
                raise JournalConflict(f"run {run_id} was there, and is gone without a trace")
            found[run_id] = stone
    return found


def _groups(engine: Engine, births: Collection[Birth | Stamped], joined: JournalStore | None) -> list[Group]:
    if joined is None:
        return [Group(appends=(born.append,), definitions=(born.definition,)) for born in births]
    put_definitions(engine, [born.definition for born in births])
    return [Group(appends=(born.append,)) for born in births]


def _patience(engine: Engine, joined: JournalStore | None) -> Patience:
    return engine.caller_patience() if joined is None else no_patience()


def _derived_id(asked: Start) -> RunId:
    if asked.run_id is not None:
        return asked.run_id
    assert asked.key is not None
    return keyed_run_id(asked.terms.workflow.name, asked.key)


def require_same(engine: Engine, asked: Start, run_id: RunId) -> RunState:
    """The run that is there already; ``KeyReused`` where it was started with another payload."""
    found = existing_runs(engine, [run_id])
    if run_id not in found:
        raise missing_run(engine.store, run_id)
    _check_same(asked, found[run_id])
    return found[run_id]


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
        if not alike(asked, first.setdefault((asked.terms.workflow.name, asked.key), asked)):
            raise KeyReused(f"{shown(asked.key)} is there twice, with two payloads; allowed is one", field="keys")


def _same(asked: Start, found: _Found) -> RunState | Stamped:
    """I12: one key, one run, for ever."""
    if isinstance(found, Tombstone):
        raise pruned(found, field="key", allowed="its key stays used: allowed is a new one")
    if isinstance(found, RunState):
        _check_same(asked, found)
    return found  # stamped a moment ago: contradictions in one call have been refused


def _check_same(asked: Start, state: RunState) -> None:
    """The same key with another payload is the caller's mistake."""
    if not alike(asked, state):
        parent = asked.terms.parent
        key = shown(asked.key or (parent.key if parent else ""))
        raise KeyReused(
            f"{key} started run {state.run_id} with another payload; allowed is the same payload, or a new key",
            field="key",
        )


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
