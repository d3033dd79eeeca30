"""Words from outside about a run: checked first, then decided by the core and recorded (I17)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from squidmesh.clock import Instant
from squidmesh.config import MAX_PAYLOAD_BYTES
from squidmesh.errors import InvalidInput, NotFound
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import (
    AnyCommand,
    CancelRun,
    DecideApproval,
    ResumeRun,
    RetryCompensation,
    SendEvent,
    WaiveCompensation,
)
from squidmesh.runtime.arguments import (
    LONGEST_NAME,
    check_actor,
    check_comment,
    check_key,
    check_metadata,
    check_name,
    check_one_of,
    check_run_id,
    check_text,
)
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.missing import missing_run
from squidmesh.runtime.recorder import Intent
from squidmesh.workflow.mapping import copy_json
from squidmesh.workflow.payload import check_json

Word = Callable[[Instant], AnyCommand]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a person said, checked: whatever is in it, its entry can be read back."""

    run_id: str
    actor: str
    comment: str
    metadata: dict[str, Any]
    key: str | None
    step: str | None = None


def check_said(
    run_id: object,
    *,
    actor: object,
    comment: object = None,
    metadata: object = None,
    key: object = None,
    step: object = None,
) -> Said:
    """``InvalidInput`` names what is wrong; ``NotFound`` where ``run_id`` can be no run's. Asks no store."""
    return Said(
        run_id=check_run_id(run_id),
        actor=check_actor(actor),
        comment=check_comment(comment),
        metadata=check_metadata(metadata),
        key=None if key is None else check_key(key),
        step=None if step is None else check_text(step, field="step", least=1, most=LONGEST_NAME),
    )


def decision(said: Said, decision: Literal["approved", "rejected"]) -> Word:
    return lambda now: DecideApproval(
        now=now,
        decision=decision,
        actor=said.actor,
        comment=said.comment,
        metadata=said.metadata,
        key=said.key,
        step=said.step,
    )


def resumption(said: Said) -> Word:
    return lambda now: ResumeRun(
        now=now, actor=said.actor, comment=said.comment, metadata=said.metadata, key=said.key, step=said.step
    )


def cancellation(said: Said, children: object) -> Word:
    check_one_of(children, ("cancel", "leave"), field="children")
    theirs: Literal["cancel", "leave"] = "leave" if children == "leave" else "cancel"
    return lambda now: CancelRun(
        now=now, actor=said.actor, comment=said.comment, metadata=said.metadata, key=said.key, children=theirs
    )


def compensation(said: Said, deed: Literal["retry", "waive"]) -> Word:
    make = RetryCompensation if deed == "retry" else WaiveCompensation
    return lambda now: make(now=now, actor=said.actor, comment=said.comment, key=said.key, step=said.step)


def event(name: object, data: Any, *, actor: object, key: object) -> Word:
    named = check_name(name, field="event")
    check_json(data, field="data", limit=MAX_PAYLOAD_BYTES, error=InvalidInput)
    given = copy_json(data)
    who = "host" if actor is None else check_actor(actor)
    known = None if key is None else check_key(key)
    return lambda now: SendEvent(now=now, event=named, data=given, actor=who, key=known)


def decide(engine: Engine, run_id: str, word: Word) -> RunState:
    """The run with what was said in it; a refusal of the core is raised, and nothing was written."""
    (verdict,) = engine.writer(patience=CALLER_PATIENCE).recorder.record([Intent(run_id=run_id, command=word)])
    engine.poke()
    if isinstance(verdict.error, NotFound) and verdict.error.field == "run_id":
        raise missing_run(engine.store, run_id)
    if verdict.error is not None:
        raise verdict.error
    assert verdict.run is not None
    return verdict.run.state
