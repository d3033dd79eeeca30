"""What is secret in one run, by the definition that it started with: facts outlive the classes that marked them."""

from __future__ import annotations

from squidmesh.ids import undo_of
from squidmesh.journal.state import RunState
from squidmesh.redaction import NOTHING, Redaction, secret_texts
from squidmesh.workflow.definition import Definition, FunctionStep


def secrets_known(definition: Definition, state: RunState) -> frozenset[str]:
    """The secret texts in a run's payload, in the outputs so far, and in what compensations gave. Costs nothing where a
    workflow has no secrets.
    """
    payload = definition.payload_secrets(state.trigger)
    outputs = definition.output_secrets
    found: set[str] = set()
    if payload:
        found |= secret_texts(state.payload, payload)
    if outputs:
        found |= secret_texts(state.outputs, outputs)
    for step, result in state.undone.items():
        found |= secret_texts(result, undo_secrets(definition, step))
    return frozenset(found)


def undo_secrets(definition: Definition, step: str) -> tuple[str, ...]:
    """Where the result of that step's compensation is secret."""
    undo = definition.steps_by_name.get(undo_of(step))
    return undo.secrets if isinstance(undo, FunctionStep) else ()


def redaction_of(definition: Definition, state: RunState) -> Redaction:
    """For whatever is shown of that run."""
    known = secrets_known(definition, state)
    return Redaction(known) if known else NOTHING
