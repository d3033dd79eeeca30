"""What an operator may decide about a run: which deeds are offered, how each is asked for, and the verb behind it.

Every deed is one verb of the mesh, under the visitor's own name, with a comment and a key: sent twice, it is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from squidmesh import Mesh, Run

Tone = Literal["plain", "good", "danger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """``question`` is asked before it is done; ``said`` is told afterwards. ``per_step``: it is about one step."""

    verb: str
    label: str
    tone: Tone
    question: str
    said: str
    per_step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A deed that makes sense now. ``step`` or ``event``: what it is about."""

    deed: Deed
    step: str | None = None
    event: str | None = None


DEEDS = {
    deed.verb: deed
    for deed in (
        Deed(
            verb="approve",
            label="Approve",
            tone="good",
            question="The run goes on behind this approval.",
            said="Approved.",
            per_step=True,
        ),
        Deed(
            verb="reject",
            label="Reject",
            tone="danger",
            question="The reject route is taken; where there is none, the run fails.",
            said="Rejected.",
            per_step=True,
        ),
        Deed(
            verb="resume",
            label="Resume",
            tone="good",
            question="The run goes on behind this pause.",
            said="Resumed.",
            per_step=True,
        ),
        Deed(
            verb="send-event",
            label="Send event",
            tone="good",
            question="The step that waits for this event takes it, with its data.",
            said="The event was sent.",
        ),
        Deed(
            verb="retry-compensation",
            label="Retry compensation",
            tone="good",
            question="The compensation that has failed for good gets another series of attempts.",
            said="The compensation is tried again.",
            per_step=True,
        ),
        Deed(
            verb="waive-compensation",
            label="Waive compensation",
            tone="danger",
            question="What this step has done stays as it is. The next compensation follows, or the run has failed.",
            said="The compensation was waived.",
            per_step=True,
        ),
        Deed(
            verb="cancel",
            label="Cancel run",
            tone="danger",
            question="The run ends now. Nothing is compensated.",
            said="Cancelled.",
        ),
        Deed(
            verb="replay",
            label="Replay run",
            tone="plain",
            question="A new run starts with the same trigger and payload. This one stays as it is.",
            said="This run is the replay.",
        ),
    )
}


def offered(run: Run) -> list[Offer]:
    """What makes sense as the run stands, the most urgent first. Whether it may be done is decided when it is done."""
    found: list[Offer] = []
    for gate in run.gates:
        if gate.status != "open":
            continue
        if gate.kind == "approval":
            found += [Offer(deed=DEEDS["approve"], step=gate.step), Offer(deed=DEEDS["reject"], step=gate.step)]
        elif gate.kind == "pause":
            found.append(Offer(deed=DEEDS["resume"], step=gate.step))
        elif gate.kind == "event":
            found.append(Offer(deed=DEEDS["send-event"], event=gate.event))
    for one in run.compensations:
        if one.status == "failed" and run.status == "compensating":
            found.append(Offer(deed=DEEDS["retry-compensation"], step=one.step))
            found.append(Offer(deed=DEEDS["waive-compensation"], step=one.step))
    if run.ended:
        found.append(Offer(deed=DEEDS["replay"]))
    elif run.status not in ("failing", "compensating"):
        found.append(Offer(deed=DEEDS["cancel"]))
    return found


def dead_items(run: Run) -> list[str]:
    """The keys of its dead letters."""
    return [f"{run.run_id}/{one.step}#{one.attempt}" for one in run.attempts if one.status == "dead"]


def carry_out(
    mesh: Mesh, deed: Deed, run_id: str, said: Mapping[str, Any], *, step: str | None, event: str | None, more: Any
) -> Run:
    """``said``: actor, comment and key. ``more``: the event's data, whether to cancel children, or whether to replay
    what is irreversible. Raises what the verb raises.
    """
    verbs: dict[str, Callable[[], Run]] = {
        "approve": lambda: mesh.approve_run(run_id, step=step, **said),
        "reject": lambda: mesh.reject_run(run_id, step=step, **said),
        "resume": lambda: mesh.resume_run(run_id, step=step, **said),
        "retry-compensation": lambda: mesh.retry_compensation(run_id, step=step, **said),
        "waive-compensation": lambda: mesh.waive_compensation(run_id, step=step, **said),
        "cancel": lambda: mesh.cancel_run(run_id, children=more, **said),
        "replay": lambda: mesh.replay_run(run_id, allow_irreversible=more, **said),
        "send-event": lambda: mesh.send_event(run_id, event or "", more, actor=said["actor"], key=said["key"]),
    }
    return verbs[deed.verb]()
