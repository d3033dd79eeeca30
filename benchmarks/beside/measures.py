"""What is measured, of whichever contestant. Each returns figures by name, of one measurement on an empty store."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.beside.limits import commits, scripts
from benchmarks.beside.place import Bench, Contestant
from benchmarks.beside.process import Talk, quiet, resident

Figures = dict[str, float]

_WARM_UP = 20
_REST = 1.0
"""Seconds after which a worker has nothing to do any more but to wait."""
_PAUSE = 0.02
"""Between two pick-ups: the worker sleeps again."""


def queued(bench: Bench, contestant: Contestant, *, runs: int, processes: int = 1, steps: int = 3) -> Figures:
    """Runs a second, all started beforehand, from the first step to the last end in the store; where the peer keeps no
    record, to the last step. ``cpu``: µs of the workers a step; the others: µs of the servers.
    """
    with bench.stage(contestant, steps=steps) as stage:
        stage.starter.ask("enqueue", count=runs)
        workers = [stage.process() for _ in range(processes)]
        before = bench.servers_cpu(contestant)
        imported = _cpu(workers)
        for worker in workers:
            worker.ask("work")
        stage.marks.wait(runs)
        ends = stage.marks.last[runs - 1 : runs]
        if "postgres" in contestant.stores or "sqlite" in contestant.stores:
            ends.append(stage.starter.ask("until_ended", count=runs)["result"])
        spent = {"cpu": _cpu(workers) - imported}
        for server, seconds in bench.servers_cpu(contestant).items():
            spent[f"cpu of {server}"] = seconds - before[server]
        began = min([*stage.marks.first[:64], *stage.marks.last[:64]])
    return {"runs/s": runs / (max(ends) - began), **{who: used * 1e6 / runs / steps for who, used in spent.items()}}


def direct(bench: Bench, contestant: Contestant, *, runs: int, threads: int = 1) -> Figures:
    """Runs a second, started and run in one process; their start is within the clock."""
    with bench.stage(contestant, steps=3) as stage:
        answer = stage.starter.ask("direct", count=runs, threads=threads)
    return {"runs/s": runs / answer["seconds"]}


def alone(bench: Bench, contestant: Contestant, *, runs: int) -> Figures:
    """Milliseconds from start to result, one run at a time."""
    with bench.stage(contestant, steps=3) as stage:
        took: list[float] = stage.starter.ask("alone", count=runs + _WARM_UP)["result"][_WARM_UP:]
    return spread([seconds * 1e3 for seconds in took])


def bulk(bench: Bench, contestant: Contestant, *, runs: int) -> Figures:
    """Starts a second."""
    with bench.stage(contestant, steps=1) as stage:
        stage.starter.ask("enqueue", count=_WARM_UP)
        answer = stage.starter.ask("enqueue", count=runs)
    return {"starts/s": runs / answer["seconds"]}


def pick_up(bench: Bench, contestant: Contestant, *, runs: int) -> Figures:
    """Milliseconds from the return of the start to the step, in another process that was idle."""
    with bench.stage(contestant, steps=1) as stage:
        stage.process().ask("work")
        quiet(_REST)
        took = []
        for number in range(runs + _WARM_UP):
            returned = stage.starter.ask("start_one")["result"]
            stage.marks.wait(number + 1)
            steps = stage.marks.first or stage.marks.last  # one with a single step says only that it was the last
            took.append((steps[number] - returned) * 1e3)
            quiet(_PAUSE)
    # A step that began before the call had returned waited for nothing.
    return spread([max(0.0, each) for each in took[_WARM_UP:]])


def redis_memory(bench: Bench, contestant: Contestant, *, runs: int) -> Figures:
    """Bytes in Redis of each run that waits there."""
    with bench.stage(contestant, steps=1) as stage:
        stage.starter.ask("enqueue", count=_WARM_UP)
        before = _used(bench)
        stage.starter.ask("enqueue", count=runs)
        return {"bytes": (_used(bench) - before) / runs}


def worker_memory(bench: Bench, contestant: Contestant, *, runs: int) -> Figures:
    """MB of a worker process: idle, after some steps, and after all of them."""
    with bench.stage(contestant, steps=3 if contestant.peer == "ours" else 1) as stage:
        worker = stage.process()
        worker.ask("work")
        quiet(_REST)
        found = {"idle": resident(worker.pid) / 1e6}
        done = 0
        for name, upto in (("busy", runs // 10), ("at the end", runs)):
            while done < upto:
                batch = min(20_000, upto - done)
                stage.starter.ask("enqueue", count=batch)
                done += batch
                stage.marks.wait(done)
            found[name] = resident(worker.pid) / 1e6
    return found


def limits(bench: Bench, seconds: float) -> dict[str, Figures]:
    """By server: what it can do with nobody else about."""
    url = bench.postgres.create_database("limits")
    try:
        found = {"PostgreSQL": commits(url, seconds)}
    finally:
        bench.postgres.drop_database("limits")
    return {**found, "Redis": scripts(bench.redis.url, seconds)}


def spread(took: Sequence[float]) -> Figures:
    ordered = sorted(took)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100]}


def _cpu(workers: Sequence[Talk]) -> float:
    """Seconds, until now: of the processes themselves, not of what they forked."""
    return sum(float(worker.ask("cpu")["result"]) for worker in workers)


def _used(bench: Bench) -> int:
    return int(bench.redis.info("memory")["used_memory"])
