"""What an operator's word makes true of a queue: one pause at a time, with one name to it."""

from typing import Any

import pytest

from squidmesh.clock import Instant
from squidmesh.errors import KeyReused, NotWaiting
from squidmesh.journal.queues import QueuePaused, QueueResumed, QueueState, fold_queue
from squidmesh.journal.rows import PausedQueueRow, RowChanges
from squidmesh.planning.queues import QueueCommand, decide_queue, queue_changes


def command(said: Any, actor: str = "elrond", *, at: int = 7, **rest: Any) -> QueueCommand:
    return QueueCommand(now=Instant(at), said=said, actor=actor, **rest)


@pytest.fixture
def state() -> QueueState:
    return QueueState(queue="payouts")


def say(state: QueueState, told: QueueCommand) -> None:
    fold_queue(state, decide_queue(state, told))


def test_a_pause_and_a_resume_are_facts_with_who_and_why(state: QueueState) -> None:
    assert decide_queue(state, command("paused", comment="bridge", key="k")) == [
        QueuePaused(at=7, queue="payouts", actor="elrond", comment="bridge", key="k")
    ]
    say(state, command("paused"))
    assert decide_queue(state, command("resumed", "arwen", at=9)) == [
        QueueResumed(at=9, queue="payouts", actor="arwen")
    ]


def test_who_pauses_a_paused_queue_hears_whose_pause_it_is(state: QueueState) -> None:
    say(state, command("paused"))
    with pytest.raises(NotWaiting, match="paused already, by elrond") as refused:
        decide_queue(state, command("paused", "arwen"))
    assert (refused.value.http_status, refused.value.field) == (409, "queue")
    assert state.paused is not None
    assert state.paused.actor == "elrond"


def test_what_is_not_paused_is_not_resumed(state: QueueState) -> None:
    with pytest.raises(NotWaiting, match="payouts is not paused"):
        decide_queue(state, command("resumed"))


def test_the_same_key_again_changes_nothing_even_when_others_have_spoken_since(state: QueueState) -> None:
    say(state, command("paused", key="k-1"))
    assert decide_queue(state, command("paused", key="k-1")) == []
    say(state, command("resumed"))
    assert decide_queue(state, command("paused", key="k-1")) == []
    with pytest.raises(KeyReused):
        decide_queue(state, command("resumed", key="k-1"))


def test_the_row_says_what_the_thread_says(state: QueueState) -> None:
    say(state, command("paused", comment="bridge"))
    row = PausedQueueRow(queue="payouts", actor="elrond", comment="bridge", paused_at=7)
    assert queue_changes(state) == RowChanges(pause=(row,))
    say(state, command("resumed"))
    assert queue_changes(state) == RowChanges(resume=("payouts",))
