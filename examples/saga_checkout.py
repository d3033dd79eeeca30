"""A checkout in parallel branches; when one of them fails for good, what the others did is undone in reverse."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from examples.show import mesh_with, tell
from squidmesh import Context, RetryPolicy, Run, Workflow, fixed, manual, step

outside: list[str] = []
"""What the other systems have seen. Each call would carry the idempotency key."""


class Cart(BaseModel):
    cart_id: str
    stolen_card: bool = False


def reserve(cart_id: str, context: Context) -> dict[str, str]:
    outside.append("stock reserved")
    return {"shelf": f"shelf of {cart_id}"}


def give_back(shelf: str) -> None:
    outside.append(f"given back: {shelf}")


def charge(cart_id: str, stolen_card: bool) -> dict[str, str]:
    if stolen_card:
        raise PermissionError("the bank says no")
    outside.append("card charged")
    return {"payment": f"payment of {cart_id}"}


def refund(payment: str, failure: dict[str, Any]) -> dict[str, str]:
    outside.append(f"refunded {payment}, because {failure['step']} failed")
    return {"refund": payment}


def ship(shelf: str, payment: str) -> dict[str, str]:
    raise ConnectionError("no carrier takes it")


class Checkout(Workflow):
    """Reserve and charge at the same time; ship when both are done; undo what was done when one of them fails."""

    version = "1"
    paid = manual(Cart)
    reserve = step(reserve, compensate=give_back)
    charge = step(charge, compensate=refund, compensate_retry=RetryPolicy(max_attempts=5, backoff=fixed(0.1)))
    ship = step(ship, after=[reserve, charge])


def main() -> tuple[Run, list[str]]:
    outside.clear()
    with mesh_with(Checkout) as mesh:
        run = mesh.start_run(Checkout.paid, Cart(cart_id="C-3"))
        tell(mesh, mesh.wait_for(run.run_id, timeout=30))
        ended = mesh.inspect_run(run.run_id, history=True)
        for one in ended.compensations:
            print(f"  {one.step}: {one.status}")
        return ended, list(outside)


if __name__ == "__main__":
    main()
