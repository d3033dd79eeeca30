"""A command of the same key is the same command: counted while its run lasts, nothing after its end (I9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from squidmesh import define
from squidmesh.errors import KeyReused
from squidmesh.journal.facts import CommandRepeated
from squidmesh.workflow.authoring import Workflow, approval, event, manual, pause, step
from tests.unit.planning.errand import Empty, Errander, walk


def unpack() -> None: ...


class Words(Workflow):
    """Whatever can be said to a run, can be said to this one."""

    version = "1"
    leave = manual(Empty)
    council = approval()
    elves = approval()
    rest = pause()
    eagles = event("eagle")
    dead = step(walk)
    undead = step(walk)
    home = step(walk, after=[council, elves, rest, eagles, dead, undead])


WORDS = define(Words)
Say = Callable[..., object]
VERBS: dict[str, tuple[str, Say]] = {
    "approve": ("council", lambda run, **more: run.decide("approved", step="council", **more)),
    "resume": ("rest", lambda run, **more: run.resume(step="rest", **more)),
    "send_event": ("eagle", lambda run, **more: run.send("eagle", **more)),
    "replay_dead_letter": ("dead", lambda run, **more: run.replay_dead("dead", **more)),
}
ENDING: dict[str, tuple[str, Say]] = {
    "reject": ("council", lambda run, **more: run.decide("rejected", step="council", **more)),
    "discard_dead_letter": ("undead", lambda run, **more: run.discard_dead("undead", **more)),
    "cancel": ("", lambda run, **more: run.cancel(**more)),
}


def prepared() -> Errander:
    run = Errander(WORDS)
    run.bury("dead")
    run.bury("undead")
    return run


def commands(run: Errander) -> list[tuple[str, str, str | None, int]]:
    return [(it.verb, it.subject, it.key, it.repeats) for it in run.state.commands]


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_that_comes_again_is_counted_and_changes_nothing_else(verb: str) -> None:
    run = prepared()
    subject, say = VERBS[verb]
    say(run, key="word")
    agenda, gates = run.agenda.copy(), run.state.open_gates.copy()
    run.later(3)
    for _ in range(2):
        assert say(run, key="word") == [CommandRepeated(at=run.now, key="word")]
    assert commands(run) == [(verb, subject, "word", 2)]
    assert (run.agenda, run.state.open_gates) == (agenda, gates)


@pytest.mark.parametrize("verb", ENDING)
def test_a_command_that_comes_again_after_the_end_changes_nothing_at_all(verb: str) -> None:
    run = prepared()
    subject, say = ENDING[verb]
    say(run, key="word")
    assert run.state.ended
    length = len(run.history)
    assert say(run, key="word") == []
    assert (len(run.history), commands(run)) == (length, [(verb, subject, "word", 0)])


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_stays_that_of_its_command_after_the_end(verb: str) -> None:
    run = prepared()
    _, say = VERBS[verb]
    say(run, key="word")
    run.cancel()
    assert say(run, key="word") == []


@pytest.mark.parametrize("first", VERBS)
@pytest.mark.parametrize("second", [*VERBS, *ENDING])
def test_a_key_is_of_one_command_only(first: str, second: str) -> None:
    if first == second:
        return
    run = prepared()
    VERBS[first][1](run, key="word")
    length = len(run.history)
    with pytest.raises(KeyReused):
        {**VERBS, **ENDING}[second][1](run, key="word")
    assert len(run.history) == length


def test_the_same_key_for_another_gate_is_another_command() -> None:
    run = prepared()
    run.decide("approved", step="council", key="word")
    with pytest.raises(KeyReused, match="council was approved"):
        run.decide("approved", step="elves", key="word")


def test_without_a_key_every_command_is_a_new_one() -> None:
    run = prepared()
    run.send("eagle")
    run.send("eagle")
    assert commands(run) == [("send_event", "eagle", None, 0)] * 2


def test_what_is_refused_is_no_command() -> None:
    run = prepared()
    run.resume()
    for _ in range(2):
        with pytest.raises(Exception, match="resumed already"):
            run.resume(step="rest", key="word")
    assert [verb for verb, *_ in commands(run)] == ["resume"]
    assert run.state.keys == {}
