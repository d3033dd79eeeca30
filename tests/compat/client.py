"""A host of either version: ``python -m tests.compat.client VERB ...`` answers one JSON document."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import squidmesh
from squidmesh import Mesh
from squidmesh.journal.codec import decode_facts
from tests.compat.app import mesh
from tests.compat.trade import Trade


def where() -> str:
    return str(Path(squidmesh.__file__).parents[1])


def migrate() -> list[str]:
    return list(Mesh.migrate(os.environ["COMPAT_URL"]))


def start(first: str, count: str, poison: str) -> list[str]:
    """The first ``poison`` of them kill their workers."""
    orders = [{"number": int(first) + n, "poison": n < int(poison)} for n in range(int(count))]
    return [run.run_id for run in mesh.start_runs(Trade, orders)]


def read(*run_ids: str) -> dict[str, Any]:
    """What each run is, and every fact of its history."""
    found = {}
    for run_id in run_ids:
        run = mesh.inspect_run(run_id, history=True)
        assert run.history is not None
        found[run_id] = {"status": run.status, "output": run.output, "history": [event.kind for event in run.history]}
    return found


def decode(file: str) -> list[list[str]]:
    """Each line of it as the kinds of its facts."""
    lines = Path(file).read_bytes().splitlines()
    return [[type(fact).__name__ for fact in decode_facts(line, thread="t", revision=1)] for line in lines]


VERBS: dict[str, Any] = {"where": where, "migrate": migrate, "start": start, "read": read, "decode": decode}

if __name__ == "__main__":
    print(json.dumps(VERBS[sys.argv[1]](*sys.argv[2:])))
