"""What a step sees of its run: the context that its parameters are bound from.

On a path that is the payload and all outputs so far. In a graph it is the payload and the outputs of the steps that it
comes after: what a sibling gives is not seen, whether or not it happens to be there already.
"""

from __future__ import annotations

from abc import abstractmethod
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
    seen = _Seen(definition, state, step) if definition.topology == "graph" else _Before(state, step)
    output = _given_by(state, step)
    return {
        **seen,
        **output,
        "step_input": pick(seen),
        "step_output": output if done.output is None else output[done.output],
        "failure": {"code": state.failure_code, "step": state.failure_step, "message": state.failure_message},
    }


def _given_by(state: RunState, step: str) -> dict[str, Any]:
    """What the step gave, whatever others have written over it since."""
    over = {former.key: former.value for former in state.overwritten if former.step == step}
    return over | {key: state.outputs[key] for key, writer in state.writers.items() if writer == step}


class _View(Mapping[str, Any]):
    """The payload, and those outputs whose writers are in sight; of several under one key, the last."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    @abstractmethod
    def sees(self, writer: str) -> bool: ...

    def __getitem__(self, key: str) -> Any:
        state = self._state
        if key in state.outputs:
            if self.sees(state.writers[key]):
                return state.outputs[key]
            for former in reversed(state.overwritten):
                if former.key == key and self.sees(former.step):
                    return former.value
        return state.payload[key]

    def __iter__(self) -> Iterator[str]:
        yield from self._state.payload
        for key in self._state.writers:
            if key not in self._state.payload and key in self:
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
    """On a path, by whoever looked right before ``step`` completed: the steps that the run had left by then."""

    def __init__(self, state: RunState, step: str) -> None:
        super().__init__(state)
        left = [route.source for route in state.routes]
        self._earlier = frozenset(left[: left.index(step)] if step in left else left)

    def sees(self, writer: str) -> bool:
        return writer in self._earlier
