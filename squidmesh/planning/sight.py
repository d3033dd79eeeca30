"""What a step sees of its run: the context that its parameters are bound from.

On a path that is the payload and all outputs so far. In a graph it is the payload and the outputs of the steps that it
comes after: what a sibling gives is not seen, whether or not it happens to be there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from squidmesh.journal.state import RunState
from squidmesh.workflow.definition import Definition, FunctionStep


def context_of(definition: Definition, state: RunState, step: str) -> Mapping[str, Any]:
    """Read-only; its values still belong to the state."""
    return _Seen(definition, state, step) if definition.topology == "graph" else state.context()


def context_of_undo(
    definition: Definition, state: RunState, step: str, pick: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Mapping[str, Any]:
    """What the compensation of ``step`` sees: what that saw, what it gave, and ``step_input``, ``step_output`` and
    ``failure`` besides. ``pick`` takes a step's input out of its context.
    """
    done = definition.step(step)
    assert isinstance(done, FunctionStep)
    seen = _Before(state, step)
    output = {key: state.outputs[key] for key, writer in state.writers.items() if writer == step}
    return {
        **seen,
        **output,
        "step_input": pick(seen),
        "step_output": output if done.output is None else output[done.output],
        "failure": {"code": state.failure_code, "step": state.failure_step, "message": state.failure_message},
    }


class _View(Mapping[str, Any]):
    """The payload, and those outputs whose writers are in sight."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def sees(self, writer: str) -> bool:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        state = self._state
        if key in state.outputs and self.sees(state.writers[key]):
            return state.outputs[key]
        return state.payload[key]

    def __iter__(self) -> Iterator[str]:
        yield from self._state.payload
        for key, writer in self._state.writers.items():
            if key not in self._state.payload and self.sees(writer):
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Seen(_View):
    """In a graph, by a step."""

    def __init__(self, definition: Definition, state: RunState, step: str) -> None:
        super().__init__(state)
        self._definition = definition
        self._step = step

    def sees(self, writer: str) -> bool:
        return self._definition.comes_after(self._step, writer)


class _Before(_View):
    """By whoever looked right before ``step`` completed."""

    def __init__(self, state: RunState, step: str) -> None:
        super().__init__(state)
        done = list(state.completed)
        self._later = frozenset(done[done.index(step) :])

    def sees(self, writer: str) -> bool:
        return writer not in self._later
