"""The state machines of run, attempt and gate, as tables: what is not in a table can not happen.

``fold.py`` looks every fact up here, so a history that breaks a rule is found when it is read, and the planning core
can not write one that would be refused later. None stands for "not there yet".
"""

from __future__ import annotations

from collections.abc import Mapping

from squidmesh.journal import facts
from squidmesh.journal.state import AttemptStatus, RunPhase

Table = Mapping[tuple[str | None, type[facts.Fact]], str]

RUN: Mapping[tuple[RunPhase | None, type[facts.Fact]], RunPhase] = {
    (None, facts.RunStarted): "open",
    ("open", facts.RouteTaken): "open",
    ("open", facts.AttemptScheduled): "open",
    ("open", facts.AttemptClaimed): "open",
    ("open", facts.ClaimReleased): "open",
    ("open", facts.AttemptCompleted): "open",
    ("open", facts.AttemptFailed): "open",
    ("open", facts.DeliveryLost): "open",
    ("open", facts.AttemptDeadLettered): "open",
    ("open", facts.DeadLetterReplayed): "open",
    ("open", facts.DeadLetterDiscarded): "open",
    ("open", facts.ApprovalRequested): "open",
    ("open", facts.ApprovalDecided): "open",
    ("open", facts.RunCompleted): "completed",
    ("open", facts.RunFailed): "failed",
}
"""I9: nothing leads out of ``completed`` or ``failed``."""

ATTEMPT: Mapping[tuple[AttemptStatus | None, type[facts.Fact]], AttemptStatus] = {
    (None, facts.AttemptScheduled): "scheduled",
    ("scheduled", facts.AttemptClaimed): "claimed",
    ("claimed", facts.AttemptClaimed): "claimed",  # a takeover: the lease of the former claim ended
    ("claimed", facts.ClaimReleased): "scheduled",
    ("claimed", facts.AttemptCompleted): "completed",
    ("claimed", facts.AttemptFailed): "failed",
    ("claimed", facts.DeliveryLost): "scheduled",
    ("scheduled", facts.AttemptDeadLettered): "dead",
    ("claimed", facts.AttemptDeadLettered): "dead",  # in place of a takeover
    ("dead", facts.DeadLetterReplayed): "scheduled",
    ("dead", facts.DeadLetterDiscarded): "failed",
}
"""I5: one accepted result an attempt. A retry is a new attempt, and starts at None again."""

GATE: Mapping[tuple[str | None, type[facts.Fact]], str] = {
    (None, facts.ApprovalRequested): "open",
    ("open", facts.ApprovalDecided): "decided",
}
"""I17: one decision a gate."""
