"""Workers as people see them."""

from datetime import timedelta

import pytest
from msgspec import structs

from squidmesh.clock import micros
from squidmesh.journal.workers import WorkerRow
from squidmesh.reading.workers import LOST_AFTER, WorkerSeen, workers_seen

AT = 1_000_000_000
ROW = WorkerRow(
    name="sam@1",
    host="shire",
    pid=7,
    version="1",
    queues=("default", "tenant-*"),
    slots=4,
    busy=0,
    leases=0,
    draining=False,
    started_at=0,
    seen_at=AT,
)


def seen(later: timedelta = timedelta(0), **said: object) -> WorkerSeen:
    (one,) = workers_seen([structs.replace(ROW, **said)], AT + micros(later)).workers
    return one


def test_states() -> None:
    assert seen().state == "idle"
    assert seen(busy=1).state == "working"
    assert seen(leases=1).state == "working", "it holds what does not run yet"
    assert seen(busy=1, draining=True).state == "draining"


def test_who_was_not_seen_for_long_is_lost_whatever_it_did() -> None:
    short = LOST_AFTER - timedelta(microseconds=1)
    for said in ({}, {"busy": 1}, {"draining": True}):
        assert seen(short, **said).state != "lost"
        assert seen(LOST_AFTER, **said).state == "lost"


def test_a_clock_that_stepped_back_loses_nobody() -> None:
    assert seen(timedelta(minutes=-10)).state == "idle"


@pytest.mark.parametrize(
    ("queue", "claims"),
    [("default", True), ("tenant-a", True), ("tenant-", True), ("tenant", False), ("default-2", False)],
)
def test_a_beginning_stands_for_all_queues_that_begin_so(queue: str, claims: bool) -> None:
    assert seen().claims_from(queue) is claims


def test_as_json() -> None:
    told = workers_seen([ROW], AT).to_json()
    assert told["as_of"] == "1970-01-01T00:16:40+00:00"
    assert told["workers"] == [
        {
            "name": "sam@1",
            "state": "idle",
            "host": "shire",
            "pid": 7,
            "version": "1",
            "queues": ["default", "tenant-*"],
            "slots": 4,
            "busy": 0,
            "leases": 0,
            "started_at": "1970-01-01T00:00:00+00:00",
            "seen_at": "1970-01-01T00:16:40+00:00",
        }
    ]
