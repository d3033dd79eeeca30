"""Decisions about a run that come from outside: who approves or rejects what it waits for (I17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from squidmesh.journal.state import RunState
from squidmesh.planning.commands import DecideApproval
from squidmesh.runtime.arguments import (
    LONGEST_NAME,
    check_actor,
    check_comment,
    check_key,
    check_metadata,
    check_run_id,
    check_text,
)
from squidmesh.runtime.engine import CALLER_PATIENCE, Engine
from squidmesh.runtime.recorder import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was said, checked: whatever is in it, its entry can be read back."""

    run_id: str
    decision: Literal["approved", "rejected"]
    actor: str
    comment: str
    metadata: dict[str, Any]
    key: str | None
    step: str | None


def check_decision(
    run_id: object,
    decision: Literal["approved", "rejected"],
    *,
    actor: object,
    comment: object,
    metadata: object,
    key: object,
    step: object,
) -> Decision:
    """``InvalidInput`` names what is wrong; ``NotFound`` where ``run_id`` can be no run's. Asks no store."""
    return Decision(
        run_id=check_run_id(run_id),
        decision=decision,
        actor=check_actor(actor),
        comment=check_comment(comment),
        metadata=check_metadata(metadata),
        key=None if key is None else check_key(key),
        step=None if step is None else check_text(step, field="step", least=1, most=LONGEST_NAME),
    )


def decide(engine: Engine, said: Decision) -> RunState:
    """The run with the decision in it; a refusal of the core is raised, and nothing was written."""
    intent = Intent(
        run_id=said.run_id,
        command=lambda now: DecideApproval(
            now=now,
            decision=said.decision,
            actor=said.actor,
            comment=said.comment,
            metadata=said.metadata,
            key=said.key,
            step=said.step,
        ),
    )
    (verdict,) = engine.writer(patience=CALLER_PATIENCE).recorder.record([intent])
    engine.poke()
    if verdict.error is not None:
        raise verdict.error
    assert verdict.run is not None
    return verdict.run.state
