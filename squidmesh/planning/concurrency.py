"""What an attempt shares with others that may not all run at once (protocol 3.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from squidmesh.ids import concurrency_key
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.mapping import find


class Concurrency(NamedTuple):
    """``limit`` leases of ``key`` may live at once within a queue."""

    key: str | None
    limit: int | None


UNLIMITED = Concurrency(None, None)


def concurrency_of(step: FunctionStep, context: Mapping[str, Any]) -> Concurrency:
    """What the step names, as the context has it at this moment. Without limit where that is not there, or is neither
    text nor integer nor boolean: nothing that two attempts could be said to share.
    """
    if step.concurrency_key is None:
        return UNLIMITED
    value = find(context, tuple(step.concurrency_key.split(".")))
    if not isinstance(value, str | int):  # a boolean is an integer
        return UNLIMITED
    return Concurrency(concurrency_key(step.concurrency_key, value), step.concurrency_limit)
