"""A service is away for a while: some steps try again, one asks to be tried later, and one has a way round."""

from __future__ import annotations

from pydantic import BaseModel

from examples.show import mesh_with, tell
from squidmesh import Context, RetryLater, RetryPolicy, Run, Workflow, exponential, fixed, manual, step


class Parcel(BaseModel):
    parcel_id: str


def rates(parcel_id: str, context: Context) -> dict[str, int]:
    """The rates service answers the third time."""
    if context.attempt < 3:
        raise ConnectionError("the rates service does not answer")
    return {"rate": 7}


def book(parcel_id: str, rate: int, context: Context) -> dict[str, str]:
    """The carrier says when to come back."""
    if context.attempt == 1:
        raise RetryLater("busy", after=0.2)
    return {"booking": f"{parcel_id} at {rate}"}


def label(booking: str) -> dict[str, str]:
    raise ConnectionError("the label printer is away today")


def label_by_hand(booking: str) -> dict[str, str]:
    return {"label": f"by hand: {booking}"}


class SendParcel(Workflow):
    """Goes on when what it depends on is back, or round it when that stays away."""

    version = "1"
    sent = manual(Parcel)
    rates = step(rates, retry=RetryPolicy(max_attempts=5, backoff=exponential(min=0.05, max=1), jitter=0.5))
    book = step(book, retry=RetryPolicy(max_attempts=3, backoff=fixed(60)))
    label = step(label, retry=RetryPolicy(max_attempts=2, backoff=fixed(0.05)))
    by_hand = step(label_by_hand)
    flow = (rates >> book >> label, label.on_error(by_hand, recovery="undo"))


def main() -> Run:
    with mesh_with(SendParcel) as mesh:
        run = mesh.start_run(SendParcel.sent, Parcel(parcel_id="P-9"))
        ended = mesh.wait_for(run.run_id, timeout=30)
        tell(mesh, ended)
        return ended


if __name__ == "__main__":
    main()
