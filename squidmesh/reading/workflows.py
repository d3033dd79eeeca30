"""Which workflows can be started by name, for people: those of classes, and those that were made at run time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from squidmesh.clock import Instant, to_datetime
from squidmesh.journal.catalogue import WorkflowActivated
from squidmesh.reading.plain import to_plain
from squidmesh.workflow.definition import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSummary:
    """``origin``: ``class``, of a class that this process has registered, or ``run_time``, of one that is active in the
    journal; that one has an ``activated_by``, who said so, and an ``activated_at``.
    """

    name: str
    version: str
    fingerprint: str
    origin: Literal["class", "run_time"]
    activated_by: str | None = None
    activated_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


def summary_of_class(definition: Definition) -> WorkflowSummary:
    return WorkflowSummary(
        name=definition.name, version=definition.version, fingerprint=definition.fingerprint, origin="class"
    )


def summary_of_active(activated: WorkflowActivated) -> WorkflowSummary:
    return WorkflowSummary(
        name=activated.name,
        version=activated.version,
        fingerprint=activated.fingerprint,
        origin="run_time",
        activated_by=activated.actor,
        activated_at=to_datetime(Instant(activated.at)),
    )
