"""One process over a journal, for tests with several: its actions, and what it is told to do with them.

python -m tests.support.shop JOURNAL_URL activate | work RUN_ID
"""

from __future__ import annotations

import os
import sys
from typing import Any

from squidmesh import Actions, Mesh

ACTIONS = Actions()


@ACTIONS.add("charge")
def charge(amount: int) -> dict[str, int]:
    return {"charged": amount, "pid": os.getpid()}


ORDER: dict[str, Any] = {
    "name": "Order",
    "version": "1",
    "triggers": [
        {
            "name": "placed",
            "kind": "manual",
            "payload_schema": {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]},
        }
    ],
    "steps": [{"name": "charge", "kind": "function", "action": "charge", "queue": "till"}],
    "routes": [],
}


def main(url: str, what: str, *more: str) -> None:
    with Mesh.connect(url, actions=ACTIONS) as mesh:
        if what == "activate":
            mesh.activate_workflow(ORDER, actor="sam")
        else:
            with mesh.worker(concurrency=2):
                mesh.wait_for(more[0], timeout=60)
    print(os.getpid())


if __name__ == "__main__":
    main(*sys.argv[1:])
