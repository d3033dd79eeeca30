"""The thread of a queue: what its facts add up to, and that they can be read for ever."""

from pathlib import Path
from typing import get_args

import pytest

from squidmesh.errors import CorruptHistory
from squidmesh.journal.codec import decode_facts, encode_facts
from squidmesh.journal.queues import (
    QUEUE_CODEC,
    AnyQueueFact,
    QueuePaused,
    QueueResumed,
    QueueState,
    fold_queue,
    queue_thread,
)
from squidmesh.journal.rows import PausedQueueRow
from tests.unit.journal import story
from tests.unit.journal.golden import QUEUES_VERSION_1

GOLDEN = (Path(__file__).parent / "queue_entries_v1.txt").read_bytes().splitlines()


@pytest.mark.parametrize("line", range(len(QUEUES_VERSION_1)))
def test_a_queues_entry_of_schema_version_1_is_read_for_ever(line: int) -> None:
    assert QUEUE_CODEC.decode_facts(GOLDEN[line], thread="q", revision=1) == [QUEUES_VERSION_1[line]]


def test_every_fact_of_a_queue_is_among_them_and_comes_back_as_it_was() -> None:
    assert len(GOLDEN) == len(QUEUES_VERSION_1)
    assert {type(fact) for fact in QUEUES_VERSION_1} == set(get_args(AnyQueueFact))
    assert (
        QUEUE_CODEC.decode_facts(QUEUE_CODEC.encode_facts(QUEUES_VERSION_1), thread="q", revision=1) == QUEUES_VERSION_1
    )


def test_a_runs_entry_is_none_of_a_queue_nor_the_other_way_round() -> None:
    with pytest.raises(CorruptHistory):
        QUEUE_CODEC.decode_facts(encode_facts([story.started()]), thread="q", revision=1)
    with pytest.raises(CorruptHistory):
        decode_facts(QUEUE_CODEC.encode_facts(QUEUES_VERSION_1), thread="r", revision=1)


def test_a_queue_is_paused_until_it_is_resumed() -> None:
    state = QueueState(queue="payouts")
    fold_queue(state, [QueuePaused(at=7, queue="payouts", actor="elrond", comment="why", key="k-1")])
    assert state.paused == PausedQueueRow(queue="payouts", actor="elrond", comment="why", paused_at=7)
    fold_queue(state, [QueueResumed(at=8, queue="payouts", actor="arwen", key="k-2")])
    assert state == QueueState(queue="payouts", revision=2, keys={"k-1": "paused", "k-2": "resumed"})


def test_each_queue_has_a_thread_of_its_own() -> None:
    assert queue_thread("payouts") == queue_thread("payouts")
    assert queue_thread("payouts") != queue_thread("default")
