"""Where a step's function is called: in its worker's own process, or in another (protocol 3.5.5 and 5).

It says how today's function is treated, not what a workflow does. So it is no part of the definition that a run
remembers (protocol 3.10): a step that turns out to crash its workers is isolated by a deploy, for the runs that are
under way as well, and nobody's fingerprint changes.
"""

from __future__ import annotations

import sys
from typing import Any, Literal, TypeAlias

from squidmesh.errors import Problem
from squidmesh.workflow.signature import Signature

Isolation: TypeAlias = Literal["process"]
ALLOWED = 'allowed is "process", or None for a slot of the worker itself'


def home_of(source: object) -> str | None:
    """``module:QualifiedName`` where another interpreter finds the same class or function; None where it would not."""
    module, name = getattr(source, "__module__", None), getattr(source, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    return f"{module}:{name}" if find(sys.modules.get(module), name) is source else None


def find(place: object, name: str) -> object:
    """What the dotted name means there; None where it means nothing."""
    for part in name.split("."):
        place = getattr(place, part, None)
    return place


def isolation_problems(
    path: str, given: object, *, source: object, signature: Signature, transaction: bool = False
) -> list[Problem]:
    """What speaks against it. ``source``: the class, or the function, that the other process has to import by name;
    None where there is none to judge.
    """
    if given is None:
        return []
    if given != "process":
        return [Problem(path=path, code="invalid_isolation", message=f"{given!r} is refused; {ALLOWED}")]
    problems = []

    def add(code: str, message: str) -> None:
        problems.append(Problem(path=path, code=code, message=message))

    if transaction:
        add("transactional_isolation", "a transactional step stays with its connection; allowed is one of both")
    if signature.is_async:
        add("async_isolation", "a coroutine has no process to itself; allowed is a plain function")
    if source is not None and home_of(source) is None:
        add("isolation_not_importable", _not_importable(source))
    return problems


def _not_importable(source: Any) -> str:
    module, name = getattr(source, "__module__", None), getattr(source, "__qualname__", repr(source))
    if module == "__main__":
        where = "is in the script that was started"
    elif "<locals>" in str(name) or "<lambda>" in str(name):
        where = "is made inside a function"
    else:
        where = "is not what stands there under its name"
    return f"{module}.{name} {where}; allowed is what another process can import, on the top level of a module"
