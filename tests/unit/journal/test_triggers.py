"""A trigger's thread: what was written can be read for ever, and its high-water mark never goes back."""

from typing import get_args

import pytest
from msgspec import structs

from squidmesh.errors import CorruptHistory
from squidmesh.journal.codec import seal
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.triggers import (
    TRIGGER_CODEC,
    AnyTriggerFact,
    ScheduleChanged,
    TriggerRegistered,
    TriggerSchedule,
    TriggerState,
    WindowActivated,
    WindowsSkipped,
    fold_trigger,
)

NIGHTLY = TriggerSchedule(expression="0 21 * * *", timezone="Etc/UTC")
EARLIER = TriggerSchedule(expression="0 20 * * *", timezone="Europe/London")
GOLDEN: list[tuple[bytes, AnyTriggerFact]] = [
    (
        b'1:396d2651:[{"fact":"TriggerRegistered","at":1,"workflow":"Errand","trigger":"nightly",'
        b'"schedule":{"expression":"0 21 * * *","timezone":"Etc/UTC"}}]',
        TriggerRegistered(at=1, workflow="Errand", trigger="nightly", schedule=NIGHTLY),
    ),
    (
        b'1:3b95a0f6:[{"fact":"WindowActivated","at":3,"window":2,"run_id":"9a1e"}]',
        WindowActivated(at=3, window=2, run_id="9a1e"),
    ),
    (
        b'1:458d3df3:[{"fact":"WindowActivated","at":3,"window":2,"run_id":"9a1e","signal_id":"beacon-7","found":true,'
        b'"by_host":true}]',
        WindowActivated(at=3, window=2, run_id="9a1e", signal_id="beacon-7", found=True, by_host=True),
    ),
    (
        b'1:4f8423bf:[{"fact":"ScheduleChanged","at":5,"schedule":{"expression":"0 20 * * *",'
        b'"timezone":"Europe/London"}}]',
        ScheduleChanged(at=5, schedule=EARLIER),
    ),
    (
        b'1:5752af9c:[{"fact":"WindowsSkipped","at":9,"first":6,"until":8}]',
        WindowsSkipped(at=9, first=6, until=8),
    ),
]


def state(*entries: list[AnyTriggerFact]) -> TriggerState:
    found = TriggerState()
    for entry in entries:
        found = fold_trigger(found, entry)
    return found


REGISTERED: list[AnyTriggerFact] = [GOLDEN[0][1]]


@pytest.mark.parametrize(("body", "fact"), GOLDEN)
def test_an_entry_of_schema_version_1_is_read_for_ever(body: bytes, fact: AnyTriggerFact) -> None:
    assert TRIGGER_CODEC.decode_facts(body, thread="t", revision=1) == [fact]


def test_every_fact_is_among_them() -> None:
    assert {type(fact) for _, fact in GOLDEN} == set(get_args(AnyTriggerFact))


@pytest.mark.parametrize(("body", "fact"), GOLDEN)
def test_a_fact_is_written_as_it_was(body: bytes, fact: AnyTriggerFact) -> None:
    assert TRIGGER_CODEC.encode_facts([fact]) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        GOLDEN[0][0].replace(b"21", b"22"),
        seal(2, b"[]"),
        seal(1, b'[{"fact":"RunStarted","at":1}]'),
        seal(1, b'[{"fact":"WindowActivated","at":3}]'),
    ],
)
def test_what_can_not_be_vouched_for_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptHistory) as refused:
        TRIGGER_CODEC.decode_facts(body, thread="t", revision=7)
    assert (refused.value.thread, refused.value.revision) == ("t", 7)


def test_a_checkpoint_comes_back_as_it_was_and_folding_goes_on_from_it() -> None:
    entries = [[fact] for _, fact in GOLDEN]
    for cut in range(1, len(entries)):
        before = state(*entries[:cut])
        opened = TRIGGER_CODEC.decode_state(TRIGGER_CODEC.encode_state(before))
        assert opened == before
        for entry in entries[cut:]:
            opened = fold_trigger(opened, entry)
        assert opened == state(*entries), f"I2: from a checkpoint at {cut}"


def test_a_checkpoint_of_another_version_or_none_is_passed_over() -> None:
    json = TRIGGER_CODEC.encode_state(state(REGISTERED)).split(b":", 2)[2]
    assert TRIGGER_CODEC.decode_state(seal(1, json)) is not None
    assert TRIGGER_CODEC.decode_state(seal(2, json)) is None
    assert TRIGGER_CODEC.decode_state(b"nonsense") is None


def test_the_high_water_mark_is_the_newest_thing_that_was_dealt_with() -> None:
    assert state(REGISTERED).since == 1
    assert state(REGISTERED, [WindowActivated(at=4, window=3, run_id="a")]).since == 3
    assert state(REGISTERED, [WindowsSkipped(at=4, first=2, until=4)]).since == 4
    changed = state(REGISTERED, [ScheduleChanged(at=6, schedule=EARLIER)])
    assert (changed.since, changed.schedule, changed.former, changed.changed_at) == (6, EARLIER, NIGHTLY, 6)


def test_a_host_leaves_the_high_water_mark_where_it_is() -> None:
    """It may ask for any window in any order: those of the schedule in between are still to come."""
    by_host = WindowActivated(at=4, window=100, run_id="a", by_host=True)
    found = state(REGISTERED, [by_host])
    assert (found.since, found.last_window, found.last_run_id) == (1, 100, "a")
    assert state([by_host]).since is None, "and it registers nothing"
    older = state(REGISTERED, [by_host], [structs.replace(by_host, window=50, run_id="b")])
    assert (older.last_window, older.last_run_id) == (100, "a"), "the newest, not the latest"


@pytest.mark.parametrize(
    "entries",
    [
        [REGISTERED, REGISTERED],
        [[WindowActivated(at=4, window=3, run_id="a")]],
        [[WindowsSkipped(at=4, first=2, until=4)]],
        [[ScheduleChanged(at=6, schedule=EARLIER)]],
        [REGISTERED, [WindowActivated(at=9, window=8, run_id="a")], [WindowActivated(at=9, window=7, run_id="b")]],
        [REGISTERED, [WindowActivated(at=9, window=8, run_id="a")], [ScheduleChanged(at=7, schedule=EARLIER)]],
    ],
)
def test_what_would_fire_a_window_again_is_no_history(entries: list[list[AnyTriggerFact]]) -> None:
    with pytest.raises(IllegalFact):
        state(*entries)
