"""Starts as they were asked for, checked: nothing in them can be refused by the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from squidmesh.ids import RunId
from squidmesh.journal.facts import Activation, ParentRun
from squidmesh.workflow.registry import RegisteredWorkflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the starts of one call share: it is one object for all of them. ``activation``: a cron trigger fires.
    ``traceparent``: where in a trace it is started.
    """

    workflow: RegisteredWorkflow
    trigger: str
    queue: str
    priority: int
    delay: timedelta
    parent: ParentRun | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    replay_of: str | None = None
    activation: Activation | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run to start. ``payload`` has all defaults; the fingerprint is of what the caller gave, so that the same call
    is the same again (protocol 3.7). ``run_id``: of a run that is derived from something else than a key.
    """

    terms: Terms
    payload: dict[str, Any] = field(repr=False)
    payload_fingerprint: str
    key: str | None
    run_id: RunId | None = None

    @property
    def is_derived(self) -> bool:
        """Whether the run's id follows from what it is, so that it is found where it was started before."""
        return self.key is not None or self.run_id is not None
