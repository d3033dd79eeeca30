"""Writes `squidmesh/runtime/async_verbs.py`: one coroutine for each verb of `Mesh`, with its very signature.

The signatures are copied from the sources, annotations and overloads as they are written there, so that type checkers
and readers see the truth. What the annotations name is imported from where the verb's own module has it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

from squidmesh.runtime.mesh import Mesh

HAND_WRITTEN = {"close", "wait_for"}
"""In `squidmesh/runtime/async_calls.py`."""
SLOW = {
    "execute_next", "reconcile", "replay_dead_letters", "discard_dead_letters", "prune", "archive", "reindex", "doctor",
    "apply",
}  # fmt: skip
"""Verbs that run a step or walk over many runs: they have a pool of threads of their own. Also those to come."""

LEFT_OUT = {
    "connection": "``connection`` is a matter of ``mesh.mesh``, in a thread of the host's: a coroutine that is"
    " cancelled leaves its verb at work, and a transaction that has been rolled back meanwhile is no place for that.",
}
"""Parameters that no coroutine has, and what stands in place of their paragraph."""
WIDTH = 112
"""Of a docstring's text: a line of the file, without the indentation."""

HEAD = '''"""The verbs of a mesh as coroutines. Written by `./dev generate`, from the verbs of `Mesh`: not by hand."""

from __future__ import annotations
'''


class NotWritable(Exception):
    """A verb that this program does not know how to write."""


@dataclass
class Imports:
    """Which name comes from which statement. Two statements for one name are refused."""

    statements: dict[str, str] = field(default_factory=dict)

    def need(self, node: ast.AST, module: Source) -> None:
        for name in {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}:
            statement = module.import_of(name)
            if statement is not None and self.statements.setdefault(name, statement) != statement:
                raise NotWritable(f"{name} means two things: {self.statements[name]!r} and {statement!r}")


class Source:
    """A module that holds verbs: its classes, and how another module imports what it can name."""

    def __init__(self, module: ModuleType) -> None:
        self._name = module.__name__
        self._tree = ast.parse(inspect.getsource(module))
        self._imported: dict[str, str] = {}
        self._defined: set[str] = set()
        for node in self._tree.body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._imported[alias.asname or alias.name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self._imported[alias.asname or alias.name] = ast.unparse(ast.Import([alias]))
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self._defined |= {target.id for target in targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ClassDef):
                self._defined.add(node.name)

    def import_of(self, name: str) -> str | None:
        """None for what needs no import."""
        if name in self._imported:
            return self._imported[name]
        if name in self._defined:
            if name.startswith("_"):
                raise NotWritable(f"{self._name}.{name} stands in a signature, and is private")
            return f"from {self._name} import {name}"
        if hasattr(builtins, name):
            return None
        raise NotWritable(f"{name} in {self._name} comes from nowhere")

    def methods_of(self, owner: str) -> Iterator[ast.FunctionDef]:
        """The public ones, in order; each overload by itself."""
        (found,) = [node for node in self._tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
        for node in found.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node


def write() -> str:
    """The whole file, formatted."""
    imports = Imports()
    for name in ("Mesh", "AsyncCalls", "AsyncWorker"):
        home = "mesh" if name == "Mesh" else "async_calls"
        imports.statements[name] = f"from squidmesh.runtime.{home} import {name}"
    imports.statements["partial"] = "from functools import partial"
    imports.statements["asyncio"] = "import asyncio"
    imports.statements["Self"] = "from typing import Self"
    written: list[str] = []
    for owner in Mesh.__mro__[:-1]:
        source = Source(sys.modules[owner.__module__])
        for method in source.methods_of(owner.__name__):
            if method.name not in HAND_WRITTEN:
                written.append(_verb(method, source, imports))
    body = "\n\n".join(written)
    text = f"{HEAD}\n" + "\n".join(imports.statements.values())
    text += f'\n\n\nclass AsyncVerbs(AsyncCalls):\n    """See ``AsyncMesh``."""\n\n{_indented(body)}\n'
    return _ruff(_ruff(text, "check", "--fix", "--quiet", "--select=I,F401"), "format", "--quiet")


def _verb(method: ast.FunctionDef, source: Source, imports: Imports) -> str:
    _leave_out(method.args)
    imports.need(method.args, source)
    for decorator in method.decorator_list:
        imports.need(decorator, source)
    if method.returns is not None:
        imports.need(method.returns, source)
    head = "".join(f"@{ast.unparse(decorator)}\n" for decorator in method.decorator_list)
    if method.name == "connect":
        return f"{head}{_signature(method, extra='threads: int = 16', returns='Self')}{_connect(method)}"
    if method.name == "worker":
        call = f"partial({_call('self.mesh.worker', method)})"
        return f"{head}{_signature(method, returns='AsyncWorker')}{_doc(method)}    return AsyncWorker(self, {call})"
    signature = f"{head}async {_signature(method)}"
    if any(ast.unparse(decorator) == "overload" for decorator in method.decorator_list):
        return f"{signature}    ..."
    if any(ast.unparse(decorator) == "staticmethod" for decorator in method.decorator_list):
        call = _call(f"Mesh.{method.name}", method)
        return f"{signature}{_doc(method)}    return await asyncio.to_thread({call})"
    called = "_call_slow" if method.name in SLOW else "_call"
    return f"{signature}{_doc(method)}    return await self.{called}({_call(f'self.mesh.{method.name}', method)})"


def _leave_out(arguments: ast.arguments) -> None:
    kept = [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if argument.arg not in LEFT_OUT
    ]
    arguments.kwonlyargs, arguments.kw_defaults = [one for one, _ in kept], [default for _, default in kept]


def _connect(method: ast.FunctionDef) -> str:
    added = "``threads`` (1 to 256): how many verbs of each kind, quick and slow ones, are carried out at once."
    doc = f"{ast.get_docstring(method)}\n\n{added}"
    call = _call("", method).removeprefix(", ")
    return f"{_docstring(doc)}    return cls(Mesh.connect({call}), threads=threads)"


def _signature(method: ast.FunctionDef, *, extra: str = "", returns: str = "") -> str:
    arguments = ast.unparse(method.args)
    if method.args.vararg or method.args.kwarg or method.args.posonlyargs:
        raise NotWritable(f"{method.name}({arguments}): every parameter has to have a name")
    if extra:
        arguments = f"{arguments}, {extra}"
    returned = returns or (ast.unparse(method.returns) if method.returns else "")
    if returned.startswith(("Iterator[", "Generator[", "AbstractContextManager[")):
        raise NotWritable(f"{method.name} gives {returned}, which would go on in the event loop's thread")
    return f"def {method.name}({arguments}) -> {returned}:\n"


def _call(function: str, method: ast.FunctionDef) -> str:
    """The arguments of a call that passes on everything, the function that is to be called first."""
    own = [] if any(ast.unparse(decorator) == "staticmethod" for decorator in method.decorator_list) else [0]
    positional = [argument.arg for argument in method.args.args[len(own) :]]
    named = [f"{argument.arg}={argument.arg}" for argument in method.args.kwonlyargs]
    return ", ".join([function, *positional, *named])


def _doc(method: ast.FunctionDef) -> str:
    text = ast.get_docstring(method) or f"See ``Mesh.{method.name}``."
    return _docstring("\n\n".join(_paragraph(one) for one in text.split("\n\n")))


def _paragraph(text: str) -> str:
    """What stands there instead, where it is about a parameter that is left out."""
    for name, instead in LEFT_OUT.items():
        if text.startswith(f"``{name}``:"):
            return textwrap.fill(instead, WIDTH)
    return text


def _docstring(text: str) -> str:
    lines = text.splitlines()
    closing = '"""' if len(lines) == 1 else '\n"""'
    return _indented(f'"""{text}{closing}') + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def _ruff(text: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename=squidmesh/runtime/async_verbs.py", "-"],
        input=text,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NotWritable(f"ruff {command[0]}: {done.stderr or done.stdout}")
    return done.stdout
