"""The state machines of run, attempt and gate, as tables: what is not in a table can not happen.

``fold.py`` looks every fact up here, so a history that breaks a rule is found when it is read, and the planning core
can not write one that would be refused later. None stands for "not there yet".
"""

from __future__ import annotations

from collections.abc import Mapping

from squidmesh.journal import facts
from squidmesh.journal.state import AttemptStatus, GateStatus, RunPhase

Table = Mapping[tuple[str | None, type[facts.Fact]], str]

RUN: Mapping[tuple[RunPhase | None, type[facts.Fact]], RunPhase] = {
    (None, facts.RunStarted): "open",
    ("open", facts.RouteTaken): "open",
    ("open", facts.AttemptScheduled): "open",
    ("open", facts.AttemptClaimed): "open",
    ("open", facts.ClaimReleased): "open",
    ("open", facts.AttemptCompleted): "open",
    ("open", facts.AttemptFailed): "open",
    ("open", facts.AttemptTimedOut): "open",
    ("open", facts.DeliveryLost): "open",
    ("open", facts.AttemptDeadLettered): "open",
    ("open", facts.DeadLetterReplayed): "open",
    ("open", facts.DeadLetterDiscarded): "open",
    ("open", facts.ApprovalRequested): "open",
    ("open", facts.ApprovalDecided): "open",
    ("open", facts.PauseReached): "open",
    ("open", facts.PauseResumed): "open",
    ("open", facts.EventAwaited): "open",
    ("open", facts.EventReceived): "open",
    ("open", facts.EventTaken): "open",
    ("open", facts.ChildrenAwaited): "open",
    ("open", facts.ChildrenEnded): "open",
    ("open", facts.GateTimedOut): "open",
    ("open", facts.ChildStarted): "open",
    ("open", facts.ChildEnded): "open",
    ("open", facts.CommandRepeated): "open",
    # Closing: what a failure or a cancel ends at once.
    ("open", facts.AttemptCancelled): "open",
    ("open", facts.GateClosed): "open",
    ("open", facts.RunCompleted): "completed",
    ("open", facts.RunFailing): "failing",
    ("open", facts.RunFailed): "failed",
    ("open", facts.RunCancelled): "cancelled",
    # Failing: nothing new begins. Claimed siblings end, or are delivered once more to find out how they ended.
    ("failing", facts.AttemptClaimed): "failing",
    ("failing", facts.ClaimReleased): "failing",
    ("failing", facts.AttemptCompleted): "failing",
    ("failing", facts.AttemptFailed): "failing",
    ("failing", facts.AttemptTimedOut): "failing",
    ("failing", facts.DeliveryLost): "failing",
    ("failing", facts.AttemptCancelled): "failing",
    ("failing", facts.ChildEnded): "failing",
    ("failing", facts.CommandRepeated): "failing",
    ("failing", facts.CompensationStarted): "compensating",
    ("failing", facts.RunFailed): "failed",
    # Compensating: one compensation after the other, each an attempt like any other.
    ("compensating", facts.AttemptScheduled): "compensating",
    ("compensating", facts.AttemptClaimed): "compensating",
    ("compensating", facts.ClaimReleased): "compensating",
    ("compensating", facts.AttemptCompleted): "compensating",
    ("compensating", facts.AttemptFailed): "compensating",
    ("compensating", facts.AttemptTimedOut): "compensating",
    ("compensating", facts.DeliveryLost): "compensating",
    ("compensating", facts.AttemptDeadLettered): "compensating",
    ("compensating", facts.DeadLetterReplayed): "compensating",
    ("compensating", facts.DeadLetterDiscarded): "compensating",
    ("compensating", facts.CompensationRetried): "compensating",
    ("compensating", facts.CompensationWaived): "compensating",
    ("compensating", facts.ChildEnded): "compensating",
    ("compensating", facts.CommandRepeated): "compensating",
    ("compensating", facts.RunFailed): "failed",
}
"""I9: nothing leads out of ``completed``, ``failed`` or ``cancelled``."""

ATTEMPT: Mapping[tuple[AttemptStatus | None, type[facts.Fact]], AttemptStatus] = {
    (None, facts.AttemptScheduled): "scheduled",
    ("scheduled", facts.AttemptClaimed): "claimed",
    ("claimed", facts.AttemptClaimed): "claimed",  # a takeover: the lease of the former claim ended
    ("claimed", facts.ClaimReleased): "scheduled",
    ("claimed", facts.AttemptCompleted): "completed",
    ("claimed", facts.AttemptFailed): "failed",
    ("claimed", facts.AttemptTimedOut): "failed",
    ("claimed", facts.DeliveryLost): "scheduled",
    ("scheduled", facts.AttemptDeadLettered): "dead",
    ("claimed", facts.AttemptDeadLettered): "dead",  # in place of a takeover
    ("dead", facts.DeadLetterReplayed): "scheduled",
    ("dead", facts.DeadLetterDiscarded): "failed",
    ("scheduled", facts.AttemptCancelled): "cancelled",
    ("claimed", facts.AttemptCancelled): "cancelled",
    ("dead", facts.AttemptCancelled): "cancelled",
}
"""I5: one accepted result an attempt. A retry is a new attempt, and starts at None again."""

GATE: Mapping[tuple[GateStatus | None, type[facts.Fact]], GateStatus] = {
    (None, facts.ApprovalRequested): "open",
    (None, facts.PauseReached): "open",
    (None, facts.EventAwaited): "open",
    (None, facts.ChildrenAwaited): "open",
    ("open", facts.ApprovalDecided): "approved",  # or rejected, as the fact says
    ("open", facts.PauseResumed): "resumed",
    ("open", facts.EventTaken): "taken",
    ("open", facts.ChildrenEnded): "ended",
    ("open", facts.GateTimedOut): "timed_out",
    ("open", facts.GateClosed): "closed",
}
"""I17: a gate leaves ``open`` once, by a fact."""
