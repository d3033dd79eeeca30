"""The host's actions: the functions that a workflow made at run time may name, and no others (protocol 6).

The host adds them in its own code, under names of its own. A stored definition holds such a name and never a module's,
so what it can reach is what the host has listed here. An action can be disabled while everything runs: then no workflow
that names it is activated, and workers of this process leave its attempts to others until it is enabled again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter

from squidmesh.errors import InvalidInput, NotFound
from squidmesh.ids import is_identifier
from squidmesh.workflow.isolation import Isolation, isolation_problems
from squidmesh.workflow.settings import description_of
from squidmesh.workflow.shape import Shape
from squidmesh.workflow.signature import Signature, read_signature

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One entry. ``signature`` is that of ``fn``, and has no problems. ``isolation`` as in ``step(…)``."""

    name: str
    fn: Callable[..., Any]
    signature: Signature
    description: str
    enabled: bool
    isolation: Isolation | None = None

    def to_json(self) -> dict[str, Any]:
        """What an editor needs to offer it: its parameters and its result, each with a JSON schema ({} is anything)."""
        return {
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "parameters": [
                {"name": one.name, "required": one.required, "schema": _schema(one.adapter, "validation")}
                for one in self.signature.parameters
                if not one.is_context
            ],
            "returns": _schema(self.signature.result, "serialization"),
        }


def _schema(adapter: TypeAdapter[Any] | None, mode: Any) -> dict[str, Any]:
    return {} if adapter is None else Shape.of(adapter, mode).schema


class Actions:
    """An allowlist, made and kept by the host: ``Mesh.connect(…, actions=actions)``. Thread-safe: an entry is replaced
    as a whole, and whoever reads sees it as it was before or as it is after.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Action] = {}
        self._change: object = object()

    @overload
    def add(
        self,
        name: str,
        fn: F,
        *,
        description: str | None = None,
        enabled: bool = True,
        isolation: Isolation | None = None,
    ) -> F: ...

    @overload
    def add(
        self, name: str, *, description: str | None = None, enabled: bool = True, isolation: Isolation | None = None
    ) -> Callable[[F], F]: ...

    def add(
        self,
        name: str,
        fn: F | None = None,
        *,
        description: str | None = None,
        enabled: bool = True,
        isolation: Isolation | None = None,
    ) -> F | Callable[[F], F]:
        """``actions.add("charge_card", charge)``, or ``@actions.add("charge_card")`` above the function. ``fn`` is what
        a step could call; ``description`` is its docstring unless said otherwise. A name stays with its function: a
        second one of the same name is ``InvalidInput``, as is a function that no step could call. ``isolation`` as in
        ``step(…)``, for every workflow that names the action.
        """
        if fn is None:
            return lambda given: self.add(name, given, description=description, enabled=enabled, isolation=isolation)
        if not is_identifier(name):
            raise InvalidInput(f"{name!r} is refused; allowed are 1 to 128 of A-Z a-z 0-9 . _ -", field="name")
        signature = read_signature(fn)
        if signature.problems:
            raise InvalidInput("; ".join(map(str, signature.problems)), field=f"action {name!r}")
        if found := isolation_problems("isolation", isolation, source=fn, signature=signature):
            raise InvalidInput("; ".join(one.message for one in found), field=f"action {name!r}, isolation")
        said = description_of(fn) if description is None else description
        entry = Action(name=name, fn=fn, signature=signature, description=said, enabled=enabled, isolation=isolation)
        if self._entries.setdefault(name, entry) is not entry:
            raise InvalidInput(f"{name!r} is added already; allowed is one function a name", field="name")
        self._change = object()
        return fn

    def disable(self, name: str) -> None:
        """From now on; what a worker has claimed already goes on. ``NotFound`` where there is no such action."""
        self._set(name, enabled=False)

    def enable(self, name: str) -> None:
        """The opposite of :meth:`disable`."""
        self._set(name, enabled=True)

    def _set(self, name: str, *, enabled: bool) -> None:
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound(f"there is no action {name!r}; there are: {self}", field="name")
        self._entries[name] = replace(entry, enabled=enabled)
        self._change = object()

    def get(self, name: str) -> Action | None:
        """The entry as it is now."""
        return self._entries.get(name)

    def listing(self) -> tuple[Action, ...]:
        """All entries as they are now, in the order in which they were added."""
        return tuple(self._entries.values())

    @property
    def change(self) -> object:
        """Another object after each change: for whoever keeps what follows from the entries."""
        return self._change

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __str__(self) -> str:
        return ", ".join(self._entries) or "none"
