"""Dockerfiles and .dockerignore, read as far as ours go."""

import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """``stage`` counts from 0; -1 before the first FROM."""

    name: str
    rest: str
    stage: int

    @property
    def words(self) -> list[str]:
        return shlex.split(self.rest)


def instructions(path: Path) -> list[Instruction]:
    """In order, comments left out, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = -1
    for line in joined.splitlines():
        if not line.strip():
            continue
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(name, rest, stage))
    return found


class Ignored:
    """``.dockerignore``: the last pattern that matches counts; a file in a folder goes as its folder does."""

    def __init__(self, path: Path) -> None:
        lines = [line.strip() for line in path.read_text().splitlines()]
        self._patterns = [line for line in lines if line and not line.startswith("#")]

    def __call__(self, name: str) -> bool:
        ignored = False
        for pattern in self._patterns:
            wanted = pattern.startswith("!")
            if self._matches(name, pattern.lstrip("!")):
                ignored = not wanted
        return ignored

    def _matches(self, name: str, pattern: str) -> bool:
        parts = name.split("/")
        heads = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        if pattern.startswith("**/"):
            return any(fnmatch(part, pattern[3:]) for part in parts)
        return any(fnmatch(head, pattern) and head.count("/") == pattern.count("/") for head in heads)
