"""The Lua, which lives in .lua files beside this module: one file a command, the shared parts put in front of each."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import NamedTuple

_HEADER = re.compile(r"\A(?:--.*\n)+")


class Script(NamedTuple):
    name: str
    source: str
    sha: str


def text(name: str) -> str:
    return (resources.files("squidmesh_redis") / "lua" / f"{name}.lua").read_text("utf-8")


def header(name: str) -> str:
    """The comment at the top of a script: its KEYS, its ARGV, and what it returns."""
    found = _HEADER.match(text(name))
    return found[0] if found else ""


def names() -> list[str]:
    """Every command there is a script for."""
    found = (file.name for file in (resources.files("squidmesh_redis") / "lua").iterdir())
    return sorted(name.removesuffix(".lua") for name in found if name.endswith(".lua") and not name.startswith("_"))


_OF_INDEX = {"looked", "mark", "take", "want"}


@cache
def load(name: str, now: str | None = None) -> Script:
    """``now`` is there for tests: Lua that defines another function ``now``."""
    shared = ["_common", "_index"] if name in _OF_INDEX else ["_common"]
    source = "\n".join([now or text("_now"), *map(text, shared), text(name)])
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
