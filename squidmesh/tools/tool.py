"""What a tool is: a named way to the outside, with one shape of result and one of error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from squidmesh import Context

RequestT = TypeVar("RequestT", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """``tool``: its name. ``payload``: what came back, as JSON values. ``metadata``: what is worth knowing about the
    call, as JSON values, and never a secret. A step may give it back as it is.
    """

    tool: str
    payload: Any
    metadata: dict[str, Any] = field(default_factory=dict)


class Tool(Protocol[RequestT]):
    """Called by a step, from its own thread; one instance serves many at once, and keeps nothing of a call.

    It makes one attempt, and takes a bounded time. What goes wrong is a :class:`~squidmesh.errors.ToolError` that says
    whether another attempt may help; the step lets it out, and the workflow's retry policy does the rest. Effects go
    out under ``context.idempotency_key``: a step is called at least once, not exactly once.
    """

    @property
    def name(self) -> str:
        """What its results and errors are signed with."""
        ...

    def invoke(self, request: RequestT, context: Context) -> ToolResult:
        """Raises ``ToolError`` and nothing else that the caller could do something about."""
        ...
