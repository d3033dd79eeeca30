"""`./dev generate`: writes every generated file anew. `--check` only says which are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from generators import async_verbs

ROOT = Path(__file__).resolve().parents[1]
WRITERS = {"squidmesh/runtime/async_verbs.py": async_verbs.write}
"""Which file is written by what."""


def stale() -> list[str]:
    """The files that are not what their program would write."""
    return [name for name, write in WRITERS.items() if _read(ROOT / name) != write()]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("generate: takes --check only", file=sys.stderr)
        return 2
    found = stale()
    for name in found:
        if arguments:
            print(f"{name} is stale: run ./dev generate")
        else:
            (ROOT / name).write_text(WRITERS[name]())
            print(f"{name} is written")
    return 1 if arguments and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
