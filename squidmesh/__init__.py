"""Squid Mesh: an embedded durable workflow runtime with a distributed leased executor.

A workflow definition says what should happen. An append-only journal says what did happen, and is authoritative. Host
workers provide capacity. This module holds the public names, nothing else. Each is loaded when it is first asked for:
who needs an error, or a command's help, does not pay for the runtime.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squidmesh.errors import (
        AccessRefused,
        BackendError,
        BackendUnavailable,
        CodecRefused,
        CommitUnknown,
        CorruptHistory,
        ForeignStore,
        GiveUp,
        InvalidInput,
        InvalidOutput,
        InvalidPayload,
        InvalidUrl,
        KeyReused,
        MissingInput,
        NotAllowed,
        NotFound,
        NotWaiting,
        PlaneMoved,
        Problem,
        RetryLater,
        RunPruned,
        SchemaOutOfDate,
        SchemaTooNew,
        Snooze,
        SquidMeshError,
        StaleClaim,
        StoreDamaged,
        ToolError,
        UsageError,
        WorkflowError,
        WrongPlane,
    )
    from squidmesh.ports.backend import Finding, Migration
    from squidmesh.ports.instrument import Instrument
    from squidmesh.ports.vitals import Vitals
    from squidmesh.reading.cron import CronStatus
    from squidmesh.reading.dead_letters import DeadLetter, DeadLetterList, DeadLettersMoved
    from squidmesh.reading.explain import Explanation
    from squidmesh.reading.graph import GraphEdge, GraphNode, RunGraph, preview_graph
    from squidmesh.reading.inspect import HistoryEvent, Run
    from squidmesh.reading.listing import RunList, RunSummary
    from squidmesh.reading.placement import GraphLink, Placement, place_graph
    from squidmesh.reading.queues import Depth, Pause, Queue, QueueList
    from squidmesh.reading.retention import Archived, Pruned
    from squidmesh.reading.schedule import Schedule
    from squidmesh.reading.workers import WorkerList, WorkerSeen
    from squidmesh.reading.workflows import WorkflowSummary
    from squidmesh.runtime.async_mesh import AsyncMesh
    from squidmesh.runtime.commands import Command
    from squidmesh.runtime.context import Context
    from squidmesh.runtime.cron import CronLook, CronLoop, Fired
    from squidmesh.runtime.doctor import Report
    from squidmesh.runtime.mesh import Mesh
    from squidmesh.runtime.reconcile import Reconciled
    from squidmesh.runtime.reindex import Reindexed, Unreadable
    from squidmesh.runtime.shares import QueueShare
    from squidmesh.runtime.worker import Worker
    from squidmesh.workflow.actions import Action, Actions
    from squidmesh.workflow.authoring import (
        Workflow,
        approval,
        complete,
        cron,
        event,
        log,
        manual,
        pause,
        step,
        value,
        wait,
        wait_for_children,
    )
    from squidmesh.workflow.decision import Decision
    from squidmesh.workflow.definition import Definition
    from squidmesh.workflow.editor import Draft, from_map, to_map
    from squidmesh.workflow.retry import RetryPolicy, exponential, fixed
    from squidmesh.workflow.secret import secret
    from squidmesh.workflow.today import today
    from squidmesh.workflow.validation import define, problems_of

_HOMES = {
    "squidmesh.errors": (
        "AccessRefused",
        "BackendError",
        "BackendUnavailable",
        "CodecRefused",
        "CommitUnknown",
        "CorruptHistory",
        "ForeignStore",
        "GiveUp",
        "InvalidInput",
        "InvalidOutput",
        "InvalidPayload",
        "InvalidUrl",
        "KeyReused",
        "MissingInput",
        "NotAllowed",
        "NotFound",
        "NotWaiting",
        "PlaneMoved",
        "Problem",
        "RetryLater",
        "RunPruned",
        "SchemaOutOfDate",
        "SchemaTooNew",
        "Snooze",
        "SquidMeshError",
        "StaleClaim",
        "StoreDamaged",
        "ToolError",
        "UsageError",
        "WorkflowError",
        "WrongPlane",
    ),
    "squidmesh.ports.backend": (
        "Finding",
        "Migration",
    ),
    "squidmesh.ports.instrument": ("Instrument",),
    "squidmesh.ports.vitals": ("Vitals",),
    "squidmesh.reading.cron": ("CronStatus",),
    "squidmesh.reading.dead_letters": (
        "DeadLetter",
        "DeadLetterList",
        "DeadLettersMoved",
    ),
    "squidmesh.reading.explain": ("Explanation",),
    "squidmesh.reading.graph": (
        "GraphEdge",
        "GraphNode",
        "RunGraph",
        "preview_graph",
    ),
    "squidmesh.reading.inspect": (
        "HistoryEvent",
        "Run",
    ),
    "squidmesh.reading.listing": (
        "RunList",
        "RunSummary",
    ),
    "squidmesh.reading.placement": (
        "GraphLink",
        "Placement",
        "place_graph",
    ),
    "squidmesh.reading.queues": (
        "Depth",
        "Pause",
        "Queue",
        "QueueList",
    ),
    "squidmesh.reading.retention": (
        "Archived",
        "Pruned",
    ),
    "squidmesh.reading.schedule": ("Schedule",),
    "squidmesh.reading.workers": (
        "WorkerList",
        "WorkerSeen",
    ),
    "squidmesh.reading.workflows": ("WorkflowSummary",),
    "squidmesh.runtime.async_mesh": ("AsyncMesh",),
    "squidmesh.runtime.commands": ("Command",),
    "squidmesh.runtime.context": ("Context",),
    "squidmesh.runtime.cron": (
        "CronLook",
        "CronLoop",
        "Fired",
    ),
    "squidmesh.runtime.doctor": ("Report",),
    "squidmesh.runtime.mesh": ("Mesh",),
    "squidmesh.runtime.reconcile": ("Reconciled",),
    "squidmesh.runtime.reindex": (
        "Reindexed",
        "Unreadable",
    ),
    "squidmesh.runtime.shares": ("QueueShare",),
    "squidmesh.runtime.worker": ("Worker",),
    "squidmesh.workflow.actions": (
        "Action",
        "Actions",
    ),
    "squidmesh.workflow.authoring": (
        "Workflow",
        "approval",
        "complete",
        "cron",
        "event",
        "log",
        "manual",
        "pause",
        "step",
        "value",
        "wait",
        "wait_for_children",
    ),
    "squidmesh.workflow.decision": ("Decision",),
    "squidmesh.workflow.definition": ("Definition",),
    "squidmesh.workflow.editor": (
        "Draft",
        "from_map",
        "to_map",
    ),
    "squidmesh.workflow.retry": (
        "RetryPolicy",
        "exponential",
        "fixed",
    ),
    "squidmesh.workflow.secret": ("secret",),
    "squidmesh.workflow.today": ("today",),
    "squidmesh.workflow.validation": (
        "define",
        "problems_of",
    ),
}
"""The modules of the public names: what type checkers read above, for those who run."""

if not TYPE_CHECKING:  # a type checker would take any name, were it told of this

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(home), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "AccessRefused",
    "Action",
    "Actions",
    "Archived",
    "AsyncMesh",
    "BackendError",
    "BackendUnavailable",
    "CodecRefused",
    "Command",
    "CommitUnknown",
    "Context",
    "CorruptHistory",
    "CronLook",
    "CronLoop",
    "CronStatus",
    "DeadLetter",
    "DeadLetterList",
    "DeadLettersMoved",
    "Decision",
    "Definition",
    "Depth",
    "Draft",
    "Explanation",
    "Finding",
    "Fired",
    "ForeignStore",
    "GiveUp",
    "GraphEdge",
    "GraphLink",
    "GraphNode",
    "HistoryEvent",
    "Instrument",
    "InvalidInput",
    "InvalidOutput",
    "InvalidPayload",
    "InvalidUrl",
    "KeyReused",
    "Mesh",
    "Migration",
    "MissingInput",
    "NotAllowed",
    "NotFound",
    "NotWaiting",
    "Pause",
    "Placement",
    "PlaneMoved",
    "Problem",
    "Pruned",
    "Queue",
    "QueueList",
    "QueueShare",
    "Reconciled",
    "Reindexed",
    "Report",
    "RetryLater",
    "RetryPolicy",
    "Run",
    "RunGraph",
    "RunList",
    "RunPruned",
    "RunSummary",
    "Schedule",
    "SchemaOutOfDate",
    "SchemaTooNew",
    "Snooze",
    "SquidMeshError",
    "StaleClaim",
    "StoreDamaged",
    "ToolError",
    "Unreadable",
    "UsageError",
    "Vitals",
    "Worker",
    "WorkerList",
    "WorkerSeen",
    "Workflow",
    "WorkflowError",
    "WorkflowSummary",
    "WrongPlane",
    "__version__",
    "approval",
    "complete",
    "cron",
    "define",
    "event",
    "exponential",
    "fixed",
    "from_map",
    "log",
    "manual",
    "pause",
    "place_graph",
    "preview_graph",
    "problems_of",
    "secret",
    "step",
    "to_map",
    "today",
    "value",
    "wait",
    "wait_for_children",
]
