"""Commands from outside that come twice: the same key is the same command, and is carried out once."""

from __future__ import annotations

from squidmesh.errors import KeyReused
from squidmesh.journal.facts import AnyFact, CommandRepeated
from squidmesh.journal.state import RunState

_DONE = {
    "approve": "approved",
    "reject": "rejected",
    "resume": "resumed",
    "cancel": "cancelled",
    "send_event": "sent",
    "replay_dead_letter": "replayed",
    "discard_dead_letter": "discarded",
    "retry_compensation": "retried",
    "waive_compensation": "waived",
}


def repeated(state: RunState, key: str | None, verb: str, subject: str | None, *, now: int) -> list[AnyFact] | None:
    """None where it is new. Else its facts: that it came again, or nothing where the run has ended (I9). ``KeyReused``
    where the key was another command's. ``subject`` is None where the caller did not say which.
    """
    if key is None or key not in state.keys:
        return None
    former = state.commands[state.keys[key]]
    if former.verb != verb or subject not in (None, former.subject):
        what = former.subject or "the run"
        raise KeyReused(f"{key!r} was the key of another command: {what} was {_DONE[former.verb]} with it", field="key")
    return [] if state.ended else [CommandRepeated(at=now, key=key)]
