"""Which workflows made at run time are active: a thread of its own beside those of runs, one a journal.

It is written when a workflow is activated or deactivated, and read when a run is started by a name that no class has;
nothing that runs waits for it. What a workflow is stands in its definition, by fingerprint, as for every run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from squidmesh.journal.facts import Fact
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.thread_codec import ThreadCodec


class WorkflowActivated(Fact, frozen=True, kw_only=True):
    """From now on, runs that are started by this name have this definition. ``queues``: those that its steps name."""

    name: str
    version: str
    fingerprint: str
    actor: str
    queues: list[str] = msgspec.field(default_factory=list)


class WorkflowDeactivated(Fact, frozen=True, kw_only=True):
    """No run is started by this name any more. Those in flight go on."""

    name: str
    actor: str


AnyCatalogueFact = WorkflowActivated | WorkflowDeactivated


class CatalogueState(msgspec.Struct, kw_only=True):
    """``active``: by name, what activated it last. ``queues``: those that were ever named, since runs in flight keep
    the definition that they started with.
    """

    revision: int = 0
    active: dict[str, WorkflowActivated] = {}
    queues: list[str] = []


def fold_catalogue(state: CatalogueState, entry: Iterable[AnyCatalogueFact]) -> CatalogueState:
    """The state after one entry, changed in place; its revision is one higher."""
    for fact in entry:
        match fact:
            case WorkflowActivated():
                state.active[fact.name] = fact
                state.queues += [queue for queue in fact.queues if queue not in state.queues]
            case WorkflowDeactivated():
                if state.active.pop(fact.name, None) is None:
                    raise IllegalFact(f"WorkflowDeactivated of {fact.name}, which is not active")
            case _:
                assert_never(fact)
    state.revision += 1
    return state


CATALOGUE_CODEC: ThreadCodec[AnyCatalogueFact, CatalogueState] = ThreadCodec(
    AnyCatalogueFact, CatalogueState, facts_version=1, state_version=1
)
