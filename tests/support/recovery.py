"""The main job in small: a payment that waits, fails once, is approved, branches and ends. Used by the crash tests."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Run, Workflow, approval, fixed, manual, step, value, wait
from squidmesh.runtime.slots import InlineSlots

LEASE = timedelta(seconds=30)


class Bill(BaseModel):
    amount: int


class Effects:
    """What the steps did to the world outside, by idempotency key. Survives every crash, as the world does; with a
    ``file``, that of a process too.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self._file = file

    def call(self, context: Context) -> None:
        self.calls[context.idempotency_key] += 1
        if self._file is not None:
            with self._file.open("a") as log:
                log.write(f"{context.idempotency_key}\n")


def make_workflow(effects: Effects, beat: list[object], *, pace: float = 1.0) -> type[Workflow]:
    """``beat`` holds the present process's heartbeats, so that a step can let one happen while it runs. ``pace``
    multiplies the workflow's own delays of some seconds.
    """

    def find(amount: int, context: Context) -> int:
        effects.call(context)
        return amount * 100

    def look(cents: int, context: Context) -> None:
        effects.call(context)

    def pay_bill(cents: int, context: Context) -> dict[str, str]:
        effects.call(context)
        for heart in beat:
            heart.beat()  # type: ignore[attr-defined]
        if context.attempt == 1:
            raise ConnectionError("the gateway hung up")
        return {"status": "paid"}

    def tell(charge: dict[str, str], context: Context) -> None:
        effects.call(context)

    class Payment(Workflow):
        version = "1"
        pay = manual(Bill)
        load = step(find, output="cents")
        check = step(look)
        rest = wait(5 * pace)
        charge = step(pay_bill, output="charge", retry=RetryPolicy(max_attempts=3, backoff=fixed(2 * pace)))
        gate = approval(output="gate")
        notify = step(tell)
        other = step(tell)
        flow = (
            load >> check >> rest >> charge >> gate,
            gate.to(notify, when=value("charge.status") == "paid"),
            gate.to(other),
        )

    return Payment


Work = Callable[[Mesh], object]
"""Does everything that is visible now, then returns."""


def one_by_one(mesh: Mesh) -> None:
    while mesh.execute_next(owner_id="worker") is not None:
        pass


def in_batches(mesh: Mesh) -> None:
    """As a worker's pump does it: several claims a turn, one commit for all, and on to a run's next step at once. The
    slots are inline, so that nothing depends on threads.
    """
    engine = mesh._engine()
    engine.reconciler.listen(["default"])
    engine.reconciler.look()
    slots = InlineSlots(engine.carry)
    slots.capacity = 4
    pump = engine.pump(
        slots, owner_id="pump", queues=["default"], pulse=None, patience=timedelta(seconds=5), continues=True
    )
    while pump.turn().idle_for == timedelta(0) or pump.holds:
        pass


def carry_on(
    mesh: Mesh,
    workflow: type[Workflow],
    pause: Callable[[timedelta], object],
    *,
    keys: Sequence[str] = ("bill-1",),
    work: Work = one_by_one,
) -> list[Run]:
    """One life of a process: starts the runs (or finds them), works, waits and approves until all have ended. ``pause``
    lets time pass.
    """
    runs = [mesh.start_run(workflow, {"amount": 7}, key=key) for key in keys]
    for _ in range(60):
        work(mesh)
        seen = [mesh.inspect_run(run.run_id) for run in runs]
        if all(run.ended_at is not None for run in seen):
            return [mesh.wait_for(run.run_id, timeout=0) for run in runs]
        paused = [run for run in seen if run.status == "paused"]
        for run in paused:
            mesh.approve_run(run.run_id, actor="ops", key="approved-once")
        if not paused:
            pause(timedelta(seconds=3))
    raise AssertionError(f"the runs do not end: {[mesh.explain_run(run.run_id) for run in runs]}")
