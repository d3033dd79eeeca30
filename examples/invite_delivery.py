"""A party invites its guests: a child run for each, and one more level below; the parent waits and holds no slot."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from examples.show import mesh_with, tell
from squidmesh import Context, GiveUp, Run, Workflow, manual, step, wait_for_children


class Letter(BaseModel):
    guest: str
    by: str


def deliver(guest: str, by: str) -> dict[str, str]:
    if guest == "Gollum":
        raise GiveUp("no such address")
    return {"delivered": f"{guest} by {by}"}


class DeliverInvite(Workflow):
    version = "1"
    sent = manual(Letter)
    deliver = step(deliver)


class Guest(BaseModel):
    guest: str


def choose(guest: str, context: Context) -> None:
    """By raven and by pony: two children of a child. A retry of this step would find the same two."""
    for by in ("raven", "pony"):
        context.start_child_run(DeliverInvite.sent, Letter(guest=guest, by=by), key=by)


class InviteGuest(Workflow):
    version = "1"
    chosen = manual(Guest)
    choose = step(choose)
    heard = wait_for_children(output="deliveries")
    flow = choose >> heard


class Party(BaseModel):
    guests: list[str]


def invite(guests: list[str], context: Context) -> None:
    for guest in guests:
        context.start_child_run(InviteGuest.chosen, Guest(guest=guest), key=guest)


def count(answers: dict[str, Any]) -> dict[str, int]:
    return {"invited": answers["completed"]}


class PlanParty(Workflow):
    """Nested child runs: planned, invited, delivered."""

    version = "1"
    planned = manual(Party)
    invite = step(invite)
    answers = wait_for_children(output="answers")
    count = step(count)
    flow = invite >> answers >> count


def main() -> tuple[Run, dict[str, int]]:
    with mesh_with(PlanParty, InviteGuest, DeliverInvite) as mesh:
        run = mesh.start_run(PlanParty.planned, Party(guests=["Bilbo", "Merry", "Gollum"]))
        ended = mesh.wait_for(run.run_id, timeout=30)
        tell(mesh, ended)
        letters = mesh.count_runs(workflow="DeliverInvite")
        print(f"  letters: {letters}")
        return ended, letters


if __name__ == "__main__":
    main()
