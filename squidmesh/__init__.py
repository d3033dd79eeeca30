"""Squid Mesh: an embedded durable workflow runtime with a distributed leased executor.

A workflow definition says what should happen. An append-only journal says what did happen, and is authoritative. Host
workers provide capacity. This module holds the public names, nothing else.
"""

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
