"""Each evening a digest of the day, by the clock of Lisbon: one, though two nodes look, and a scheduler knocks as well.

Time is a virtual clock here, so that three days go by in a moment; in one of the nights the clocks go back.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from squidmesh import Context, Mesh, Run, Workflow, cron, step, today
from squidmesh.testing import VirtualClock


class Day(BaseModel):
    """Every field has a default: when a window comes, nobody is there to give a value."""

    day: date = today()  # the date of the window, not of the moment in which a worker gets to it


MAIL = {
    date(2026, 10, 24): ["a ring was found", "a birthday is near"],
    date(2026, 10, 25): ["the clocks went back"],
    date(2026, 10, 26): ["a wizard knocked"],
}


def collect(day: date) -> dict[str, list[str]]:
    return {"letters": MAIL.get(day, [])}


def send(letters: list[str], context: Context) -> dict[str, str]:
    assert context.schedule is not None
    return {"digest": f"{context.schedule.window:%d.%m. %H:%M %Z}: {'; '.join(letters) or 'nothing'}"}


class DailyDigest(Workflow):
    version = "1"
    evening = cron("30 20 * * *", timezone="Europe/Lisbon", payload=Day)
    collect = step(collect)
    send = step(send)
    flow = collect >> send


def main() -> list[Run]:
    clock = VirtualClock(datetime(2026, 10, 24, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'example.db'}"
        with (
            Mesh.connect(url, workflows=[DailyDigest], clock=clock) as here,
            Mesh.connect(url, workflows=[DailyDigest], clock=clock) as there,
        ):
            loops = (here.cron(), there.cron())
            fired = set()
            for _ in range(3 * 24):
                fired |= {one.run_id for loop in loops for one in loop.look().fired}
                clock.advance(timedelta(hours=1))
            asked = there.activate_cron(DailyDigest.evening, window=datetime(2026, 10, 26, 20, 30, tzinfo=UTC))
            assert asked is not None and asked.run_id in fired, "the scheduler's knock finds the run of that evening"
            while here.execute_next() is not None:
                pass
            runs = sorted((here.inspect_run(run_id, history=True) for run_id in fired), key=lambda run: run.started_at)
        for run in runs:
            print(run.output["digest"] if run.output else run.status)
    return runs


if __name__ == "__main__":
    main()
