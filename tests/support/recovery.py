"""The main job in small: a payment that waits, fails once, is approved, branches and ends. Used by the crash tests."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Run, Workflow, approval, fixed, manual, step, value, wait

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
        rest = wait(5 * pace)
        charge = step(pay_bill, output="charge", retry=RetryPolicy(max_attempts=3, backoff=fixed(2 * pace)))
        gate = approval(output="gate")
        notify = step(tell)
        other = step(tell)
        flow = (
            load >> rest >> charge >> gate,
            gate.to(notify, when=value("charge.status") == "paid"),
            gate.to(other),
        )

    return Payment


def carry_on(mesh: Mesh, workflow: type[Workflow], pause: Callable[[timedelta], object], *, key: str = "bill-1") -> Run:
    """One life of a process: starts the run (or finds it), works, waits and approves until it has ended. ``pause`` lets
    time pass.
    """
    run = mesh.start_run(workflow, {"amount": 7}, key=key)
    for _ in range(60):
        while mesh.execute_next(owner_id="worker") is not None:
            pass
        seen = mesh.inspect_run(run.run_id)
        if seen.ended_at is not None:
            return mesh.wait_for(run.run_id, timeout=0)
        if seen.status == "paused":
            mesh.approve_run(run.run_id, actor="ops", key="approved-once")
        else:
            pause(timedelta(seconds=3))
    raise AssertionError(f"the run does not end: {mesh.explain_run(run.run_id)}")
