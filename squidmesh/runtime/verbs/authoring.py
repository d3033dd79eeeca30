"""Workflows made at run time: judged, activated, listed, and deactivated."""

from __future__ import annotations

from typing import Any

from squidmesh.errors import NotFound, Problem, WorkflowError
from squidmesh.reading.workflows import WorkflowSummary, summary_of_active, summary_of_class
from squidmesh.runtime.arguments import check_actor, check_text, shown
from squidmesh.runtime.starting import called
from squidmesh.runtime.verbs.opening import Opening
from squidmesh.workflow.actions import Action
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.editor import Draft, from_map, to_map

_LONGEST_NAME = 128


class Authoring(Opening):
    """A spec is an editor's map (:func:`squidmesh.to_map`), or a definition."""

    def validate_workflow(self, spec: dict[str, Any] | Definition) -> Draft:
        """All problems that would keep it from being activated here and now, each with a path and a code. Writes
        nothing.
        """
        draft = from_map(to_map(spec) if isinstance(spec, Definition) else spec, self._registry.actions)
        if self._registry.get(draft.name) is None:
            return draft
        message = f"{draft.name} is the name of a workflow that a class has here; allowed is a name of its own"
        return draft.accused(Problem(path="name", code="name_taken", message=message))

    def activate_workflow(self, spec: dict[str, Any] | Definition, *, actor: str) -> WorkflowSummary:
        """From now on, runs can be started by its name, from every process that shares the journal, and workers that
        have its actions carry them out. An active one of that name is replaced: runs in flight keep the definition that
        they started with. The same again changes nothing.

        ``WorkflowError`` with all problems, an unknown or disabled action among them; nothing is written then.
        """
        who = check_actor(actor)
        draft = self.validate_workflow(spec)
        if draft.definition is None:
            raise WorkflowError(draft.name, draft.fatal)
        engine = self._engine()
        if draft.definition.is_transactional:
            engine.store.transaction(
                self._config.lease
            )  # refuses where it can not; nothing begins before it is entered
        return summary_of_active(engine.catalogue.activate(draft.definition, who))

    def deactivate_workflow(self, name: str, *, actor: str) -> None:
        """No run is started by that name any more (a start that is being made in this moment may still be). Runs in
        flight go on. ``NotFound`` where no workflow of that name was activated.
        """
        who = check_actor(actor)
        wanted = check_text(name, field="name", least=1, most=_LONGEST_NAME)
        self._engine().catalogue.deactivate(wanted, who)

    def actions(self) -> tuple[Action, ...]:
        """What such a workflow may name here, as it is now: for editors, ``to_json`` has the schemas."""
        return self._registry.actions.listing()

    def workflows(self) -> tuple[WorkflowSummary, ...]:
        """Those that can be started from here by name: first those of classes, in the order of registration."""
        known = [found for name in self._registry.names if (found := self._registry.get(name)) is not None]
        active = self._engine().catalogue.active()
        return (
            *(summary_of_class(workflow.definition) for workflow in known),
            *(summary_of_active(one) for name, one in active.items() if self._registry.get(name) is None),
        )

    def workflow_definition(self, name: str) -> Definition:
        """What a run that is started by this name now would be pinned to. ``NotFound`` where there is none."""
        wanted = check_text(name, field="name", least=1, most=_LONGEST_NAME)
        found = called(self._engine(), wanted)
        if found is None:
            known = ", ".join(one.name for one in self.workflows()) or "none"
            raise NotFound(f"there is no workflow {shown(wanted)}; there are: {known}", field="name")
        return found.definition
