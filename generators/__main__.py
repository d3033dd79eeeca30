"""`./dev generate`: writes every generated file anew. `--check` only says which are stale. `--plans` writes
docs/postgres-plans.md, for which it starts a PostgreSQL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLANS = "docs/postgres-plans.md"
"""Written by `--plans` alone; the tests that start a PostgreSQL compare it."""


def writers() -> dict[str, Callable[[], str]]:
    """Which file is written by what."""
    from generators import async_verbs, metrics, state_machines
    from generators.diagrams import files as diagrams
    from generators.monitoring import files

    return {
        "squidmesh/runtime/async_verbs.py": async_verbs.write,
        "docs/state-machines.md": state_machines.write,
        "docs/metrics.md": metrics.write,
        **diagrams.writers(),
        **files.writers(),
    }


def stale() -> list[str]:
    """The files that are not what their program would write."""
    return [name for name, write in writers().items() if _read(ROOT / name) != write()]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"], ["--plans"]):
        print("generate: takes --check or --plans only", file=sys.stderr)
        return 2
    if arguments == ["--plans"]:
        return _write_plans()
    found = stale()
    for name in found:
        if arguments:
            print(f"{name} is stale: run ./dev generate")
        else:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(writers()[name]())
            print(f"{name} is written")
    return 1 if arguments and found else 0


def _write_plans() -> int:
    from generators import postgres_plans

    (ROOT / PLANS).write_text(postgres_plans.write_on_a_server_of_its_own())
    print(f"{PLANS} is written")
    return 0


def _pass_over_what_is_there() -> None:
    """The file may be broken, by half a merge, say; the package that imports it is to be read all the same."""
    stands_in: Any = ModuleType("squidmesh.runtime.async_verbs")
    stands_in.AsyncVerbs = object
    sys.modules[stands_in.__name__] = stands_in


if __name__ == "__main__":
    _pass_over_what_is_there()
    sys.exit(main(sys.argv[1:]))
