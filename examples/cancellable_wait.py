"""An offer stands for a month, unless it is taken back; a step that is at work hears of it within a heartbeat."""

from __future__ import annotations

import threading
from datetime import timedelta

from pydantic import BaseModel

from examples.show import mesh_with, tell, until
from squidmesh import Context, Mesh, Run, Workflow, manual, step, wait


class Offer(BaseModel):
    offer_id: str


def publish(offer_id: str) -> dict[str, str]:
    return {"published": offer_id}


def close(offer_id: str) -> dict[str, str]:
    return {"closed": offer_id}


class MakeOffer(Workflow):
    """Publish, wait for a month without holding anything, close."""

    version = "1"
    made = manual(Offer)
    publish = step(publish)
    month = wait(timedelta(days=30))
    close = step(close)
    flow = publish >> month >> close


working = threading.Event()
heard = threading.Event()


def long_work(context: Context) -> None:
    working.set()
    while not context.cancelled:
        heard.wait(0.01)
    heard.set()


class LongWork(Workflow):
    version = "1"
    begun = manual(Offer)
    work = step(long_work)


def main() -> tuple[Run, Run]:
    working.clear()
    heard.clear()
    with mesh_with(MakeOffer, LongWork) as mesh:
        offer = mesh.start_run(MakeOffer.made, Offer(offer_id="O-1"))
        until(mesh, offer, "waiting")
        mesh.cancel_run(offer.run_id, actor="frodo", comment="the ring is not for sale")
        return _told(mesh, offer), _told(mesh, _interrupted(mesh))


def _interrupted(mesh: Mesh) -> Run:
    run = mesh.start_run(LongWork.begun, Offer(offer_id="O-2"))
    working.wait(30)
    mesh.cancel_run(run.run_id, actor="frodo")
    heard.wait(60)
    return run


def _told(mesh: Mesh, run: Run) -> Run:
    ended = mesh.wait_for(run.run_id, timeout=30)
    tell(mesh, ended)
    return ended


if __name__ == "__main__":
    main()
