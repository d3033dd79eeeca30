"""A refund waits for a person; a rejection has its own route; nobody's answer has one too."""

from __future__ import annotations

from pydantic import BaseModel

from examples.show import mesh_with, tell, until
from squidmesh import Decision, Run, Workflow, approval, manual, step


class Refund(BaseModel):
    order_id: str
    amount: int


def collect(order_id: str, amount: int) -> dict[str, str]:
    return {"case": f"{order_id}: {amount} cents"}


def pay_back(order_id: str, decision: Decision) -> dict[str, str]:
    return {"paid": f"{order_id}, allowed by {decision.actor}"}


def decline(order_id: str, decision: Decision) -> dict[str, str]:
    return {"declined": f"{order_id}: {decision.comment}"}


def escalate(order_id: str) -> dict[str, str]:
    return {"escalated": order_id}


class RefundOrder(Workflow):
    """Ask a person before money leaves the house."""

    version = "1"
    asked = manual(Refund)
    collect = step(collect)
    review = approval(output="decision", timeout=2)
    pay_back = step(pay_back, irreversible=True)
    decline = step(decline)
    escalate = step(escalate)
    flow = (collect >> review >> pay_back, review.on_reject(decline), review.on_timeout(escalate))


def main() -> dict[str, Run]:
    with mesh_with(RefundOrder) as mesh:
        runs = {
            said: mesh.start_run(RefundOrder.asked, Refund(order_id=said, amount=4200), key=said)
            for said in ("yes", "no", "nothing")
        }
        for said in ("yes", "no"):
            until(mesh, runs[said], "paused")
        mesh.approve_run(runs["yes"].run_id, actor="ops_7", comment="known customer", key="click-1")
        mesh.approve_run(runs["yes"].run_id, actor="ops_7", comment="known customer", key="click-1")  # a double click
        mesh.reject_run(runs["no"].run_id, actor="ops_7", comment="fraud risk")
        ended = {said: mesh.wait_for(run.run_id, timeout=30) for said, run in runs.items()}
        for run in ended.values():
            tell(mesh, run)
        return ended


if __name__ == "__main__":
    main()
