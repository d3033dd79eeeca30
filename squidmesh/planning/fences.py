"""Whose word counts: a write is accepted under the current claim only (protocol 3.5.3, I4)."""

from __future__ import annotations

from squidmesh.errors import StaleClaim
from squidmesh.journal.state import RunnableState, RunState


def require_current(state: RunState, step: str, *, attempt: int, fence: int, claim_hash: str) -> RunnableState:
    """The attempt, if the claim with that hash *and* that fence is its current one; ``StaleClaim`` otherwise."""
    runnable = state.runnables.get(step)
    if (
        runnable is None
        or runnable.attempt != attempt
        or runnable.claim is None
        or runnable.fence != fence
        or runnable.claim.claim_hash != claim_hash
    ):
        raise StaleClaim(f"{state.run_id}/{step}#{attempt}: fence {fence} is not the current claim")
    return runnable
