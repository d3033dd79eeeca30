"""Retention beside a live fleet, with real threads over one file."""

import json
import threading
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, manual, step, wait_for_children
from squidmesh.ports.journal_store import RunQuery
from squidmesh.testing.clock import VirtualClock
from tests.support.audit import audit


class Order(BaseModel):
    children: int = 0


def begin_children(children: int, context: Context) -> None:
    for number in range(children):
        context.start_child_run("Errand", key=str(number))


class Errand(Workflow):
    version = "1"
    go = manual(Order)
    act = step(begin_children)
    ends = wait_for_children()
    last = step(lambda: None)
    flow = act >> ends >> last


def test_a_live_fleet_goes_on_while_old_runs_are_archived(tmp_path: Path) -> None:
    """Two archives and a prune at once, while a worker ends what others start."""
    url, clock = f"sqlite:///{tmp_path / 'journal.db'}", VirtualClock()

    def connect() -> Mesh:
        return Mesh.connect(url, workflows=[Errand], clock=clock, idle_poll=0.01)

    with connect() as fleet, connect() as host, connect() as operator, connect() as other:
        old = host.start_runs(Errand, [{"children": number % 3} for number in range(300)])
        with fleet.worker(concurrency=4):
            for run in old:
                host.wait_for(run.run_id, timeout=60)
            clock.advance(timedelta(hours=1))
            files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
            work = [
                threading.Thread(target=lambda: operator.archive(files[0], older_than=60)),
                threading.Thread(target=lambda: other.archive(files[1], older_than=60)),
                threading.Thread(target=lambda: operator.prune(older_than=60, workflow="Nobody")),
            ]
            for thread in work:
                thread.start()
            young = [host.start_run(Errand, {"children": 1}, key=str(number)) for number in range(60)]
            ended = [host.wait_for(run.run_id, timeout=60) for run in young]
            for thread in work:
                thread.join()
        assert {run.status for run in ended} == {"completed"}
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert {run.run_id for run in old} <= {line["run_id"] for line in lines}
        assert len({line["run_id"] for line in lines}) == 300 + 300, "as many children as roots"
        store = host._engine().store
        left = store.runs(RunQuery(limit=1000)).rows
        assert len(left) == 120
        for row in left:
            audit(store, row.run_id, every_prefix=False)
