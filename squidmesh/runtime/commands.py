"""Verbs as data: what may be asked of a mesh, as a value that can be kept, sent and carried out later."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from squidmesh.errors import InvalidInput
from squidmesh.runtime.arguments import check_text

VERBS = (
    "activate_workflow",
    "deactivate_workflow",
    "start_run",
    "approve_run",
    "reject_run",
    "resume_run",
    "cancel_run",
    "send_event",
    "replay_run",
    "retry_compensation",
    "waive_compensation",
    "replay_dead_letters",
    "discard_dead_letters",
    "pause_queue",
    "resume_queue",
    "activate_cron",
    "prune",
    "archive",
    "reindex",
)
"""What changes something, and can be said in JSON."""
NOT_DATA = {"tell", "connection"}
"""Parameters of a verb that are of the process that calls it."""
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Command:
    """``Command("approve_run", {"run_id": …, "actor": …})``: the verb of :class:`Mesh` and its arguments by name, as
    JSON values. ``mesh.apply`` carries it out, and gives and raises what the verb does.
    """

    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"verb": self.verb, "arguments": dict(self.arguments)}

    @classmethod
    def from_json(cls, document: object) -> Command:
        """``InvalidInput`` for anything but an object of ``verb`` and ``arguments``."""
        allowed = 'allowed is {"verb": …, "arguments": {…}}'
        if not isinstance(document, Mapping):
            raise InvalidInput(f"is a {type(document).__name__}; {allowed}", field="command")
        if unknown := sorted(str(key) for key in document.keys() - {"verb", "arguments"}):
            raise InvalidInput(f"has {', '.join(unknown)}; {allowed}", field="command")
        arguments = document.get("arguments", {})
        if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
            raise InvalidInput(f"is no object; {allowed}", field="arguments")
        return cls(check_text(document.get("verb"), field="verb", least=1, most=_LONGEST), dict(arguments))


def carry_out(mesh: object, command: object) -> Any:
    """Checks verb and arguments against the signature of the verb itself, so that the two can not drift apart."""
    if not isinstance(command, Command):
        command = Command.from_json(command)
    if command.verb not in VERBS:
        raise InvalidInput(f"{command.verb[:80]!r} is refused; allowed are {', '.join(VERBS)}", field="verb")
    verb: Callable[..., Any] = getattr(mesh, command.verb)
    parameters = inspect.signature(verb).parameters
    if "connection" in command.arguments and "connection" in parameters:
        allowed = f"allowed is mesh.{command.verb}(connection=…)"
        raise InvalidInput(
            f"can not be said as data: it is a transaction that the host has open; {allowed}", field="connection"
        )
    known = {name for name in parameters if name not in NOT_DATA}
    if unknown := sorted(command.arguments.keys() - known):
        raise InvalidInput(
            f"{command.verb} has no {', '.join(unknown)}; allowed are {', '.join(sorted(known))}", field="arguments"
        )
    needed = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    if absent := sorted(needed - command.arguments.keys()):
        raise InvalidInput(f"{command.verb} needs {', '.join(absent)}", field="arguments")
    return verb(**{name: _read(value, parameters[name]) for name, value in command.arguments.items()})


def _read(value: object, parameter: inspect.Parameter) -> object:
    """JSON has no moments: where the verb takes one, its ISO text is read."""
    if not (isinstance(value, str) and "datetime" in str(parameter.annotation)):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(
            f"{value[:80]!r} is no time; allowed is 2026-03-29T02:30:00+01:00", field=parameter.name
        ) from None
