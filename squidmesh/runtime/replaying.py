"""Run replay: a new run from an old one's trigger and payload. The old run stays as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from squidmesh.errors import InvalidInput, NotAllowed
from squidmesh.ids import RunId, derived_id
from squidmesh.journal.state import RunState
from squidmesh.planning.control import not_to_be_repeated
from squidmesh.runtime import starting
from squidmesh.runtime.deciding import Said
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.looking import look


def replay(
    engine: Engine,
    said: Said,
    *,
    allow_irreversible: object,
    queue: str | None,
    priority: int | None,
) -> RunState:
    """The new run; with a key, the one that this key started before. ``NotAllowed`` where the old run has not ended, or
    has passed a step that can not be done twice; ``InvalidPayload`` where today's trigger does not take the payload.
    """
    if not isinstance(allow_irreversible, bool):
        why = f"is a {type(allow_irreversible).__name__}; allowed are True and False"
        raise InvalidInput(why, field="allow_irreversible")
    seen = look(engine, said.run_id)
    old = seen.state
    if not old.ended:
        raise NotAllowed(f"run {old.run_id} has not ended; allowed is the replay of a run that has")
    final = not_to_be_repeated(seen.definition, old)
    if final and not allow_irreversible:
        why = (
            f"run {old.run_id} has passed {', '.join(final)}, which can not be undone; allow_irreversible=True does it"
        )
        raise NotAllowed(why, field="allow_irreversible")
    target = f"{old.workflow}.{old.trigger}"
    asked = starting.check_start(
        engine, target, old.payload, key=None, queue=queue, priority=priority, delay=None, cron=None
    )
    terms = asked.terms
    if queue is None:
        terms = replace(terms, queue=old.queue)
    asked = replace(
        asked,
        run_id=None if said.key is None else RunId(derived_id("replay", old.run_id, said.key)),
        terms=replace(terms, replay_of=old.run_id, activation=old.activation, metadata=_metadata(said)),
    )
    return starting.start_run(engine, asked, replays=old.traceparent)


def _metadata(said: Said) -> dict[str, Any]:
    return {**said.metadata, "replayed_by": said.actor, **({"comment": said.comment} if said.comment else {})}
