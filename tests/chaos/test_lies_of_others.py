"""The judge can not be fooled: so does each lie of a backend, of a history, of a ledger, or of a log."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from chaos.history import Invoke, Ok, Place
from chaos.judge import judge
from chaos.ledger import Deed
from squidmesh.ids import AttemptKey
from squidmesh.journal.facts import (
    AttemptClaimed,
    AttemptCompleted,
    ChildStarted,
)
from tests.chaos.load import SECRET, Day
from tests.chaos.spoil import Spoilt

Lie = Callable[[Spoilt], None]
OTHERS: dict[str, tuple[Lie, set[str]]] = {}


def breaks_besides(*invariants: str) -> Callable[[Lie], Lie]:
    def note(lie: Lie) -> Lie:
        OTHERS[lie.__name__] = lie, set(invariants)
        return lie

    return note


@breaks_besides("I10")
def a_run_is_lost(spoilt: Spoilt) -> None:
    spoilt.forget("quiet")


@breaks_besides("I10", "I18")
def a_run_is_lost_that_was_open_when_the_leases_were(spoilt: Spoilt) -> None:
    spoilt.forget("walk")


@breaks_besides("I10", "I13")
def a_child_run_was_never_there(spoilt: Spoilt) -> None:
    """Nor in any history; and the rows of its thread are left."""
    child = next(f.run_id for _, facts in spoilt.entries("party") for f in facts if isinstance(f, ChildStarted))
    spoilt.lie(child, entries=())
    for lines in spoilt.histories:
        lines[:] = [one for one in lines if getattr(one[1], "run", None) != child]
    spoilt.deeds = [[one for one in deeds if getattr(one[1], "run", None) != child] for deeds in spoilt.deeds]


@breaks_besides("I4")
def another_process_wrote_the_result(spoilt: Spoilt) -> None:
    """Under a claim that it never had."""
    entry, _ = spoilt.entries("walk")[spoilt.place("walk", AttemptCompleted, "pack")]
    number, place, asked = next(spoilt.lines(Invoke, op="append", entry=entry.entry_id))
    forged = [
        (where, structs.replace(line, call=99_000))
        for where, line in spoilt.histories[number]
        if isinstance(line, Invoke | Ok) and (line.call, line.n) == (asked.call, asked.n)
    ]
    assert len(forged) == 2
    del spoilt.histories[number][place]
    spoilt.histories[number] = [
        one for one in spoilt.histories[number]
        if not (isinstance(one[1], Ok) and (one[1].call, one[1].n) == (asked.call, asked.n))
    ]  # fmt: skip
    spoilt.histories[number - 1] += forged


@breaks_besides("I4")
def a_claim_is_recorded_otherwise_than_it_was_granted(spoilt: Spoilt) -> None:
    _, facts = spoilt.entries("doom")[spoilt.place("doom", AttemptClaimed)]
    (claimed,) = [fact for fact in facts if isinstance(fact, AttemptClaimed)]
    number, place, lent = next(spoilt.lines(Ok, answer="granted", claim=claimed.claim_hash))
    where = spoilt.histories[number][place][0]
    spoilt.histories[number][place] = where, structs.replace(lent, owner="sauron@1")


@breaks_besides("I4")
def nobody_has_entered_the_step(spoilt: Spoilt) -> None:
    run = spoilt.runs["party"]
    spoilt.deeds = [
        [one for one in deeds if not (isinstance(one[1], Deed) and (one[1].run, one[1].step) == (run, "dance"))]
        for deeds in spoilt.deeds
    ]


@breaks_besides("I6")
def an_item_is_lent_twice_at_a_time(spoilt: Spoilt) -> None:
    number, _, lent = next(spoilt.lines(Ok, answer="granted", run=spoilt.runs["doom"]))
    _forge_grant(spoilt, number, lent, mono=lent.mono + 1000, fence=lent.fence + 1)


@breaks_besides("I6")
def an_item_that_was_settled_comes_back(spoilt: Spoilt) -> None:
    run = spoilt.runs["doom"]
    number, place, settled = list(spoilt.lines(Invoke, op="settle", run=run))[-1]
    end = next(
        line for _, line in spoilt.histories[number][place:]
        if isinstance(line, Ok) and (line.call, line.n) == (settled.call, settled.n)
    )  # fmt: skip
    lent = next(line for _, _, line in spoilt.lines(Ok, answer="granted", claim=settled.claim))
    _forge_grant(spoilt, number, lent, mono=end.mono + 1000, fence=lent.fence + 1)


def _forge_grant(spoilt: Spoilt, number: int, lent: Ok, *, mono: int, fence: int) -> None:
    place = Place("forged.jsonl", 1)
    asked = Invoke(mono=mono, call=99_000, op="claim", owner="sauron@1")
    grant = structs.replace(lent, mono=mono + 1, call=99_000, fence=fence, claim="f" * 32, owner="sauron@1")
    done = Ok(mono=mono + 1, call=99_000, op="claim")
    spoilt.histories[number] += [(place, asked), (place, grant), (place, done)]


@breaks_besides("I11")
def an_item_is_missing_from_the_backend(spoilt: Spoilt) -> None:
    spoilt.backend = structs.replace(spoilt.backend, items=spoilt.backend.items[1:])


@breaks_besides("I11")
def an_item_of_a_closed_attempt_is_held(spoilt: Spoilt) -> None:
    held = structs.replace(spoilt.backend.items[0], key=AttemptKey(f"{spoilt.runs['walk']}/pack#1"))
    spoilt.backend = structs.replace(spoilt.backend, items=(*spoilt.backend.items, held))


@breaks_besides("I11")
def an_item_of_no_run_is_held(spoilt: Spoilt) -> None:
    held = structs.replace(spoilt.backend.items[0], key=AttemptKey("0190a000-0000-7000-8000-000000000000/pack#1"))
    spoilt.backend = structs.replace(spoilt.backend, items=(*spoilt.backend.items, held))


@breaks_besides("I16")
def an_attempt_is_shelved_that_nobody_gave_up(spoilt: Spoilt) -> None:
    number, place, shelved = next(spoilt.lines(Invoke, op="shelve"))
    where = spoilt.histories[number][place][0]
    wrong = structs.replace(shelved, run=spoilt.runs["feast"], step="bake")
    spoilt.histories[number][place] = where, wrong


@breaks_besides("I18")
def an_effect_was_done_under_another_key(spoilt: Spoilt) -> None:
    run = spoilt.runs["walk"]
    for place, (where, deed) in enumerate(spoilt.deeds[0]):
        if isinstance(deed, Deed) and deed.run == run and deed.step == "pack":
            spoilt.deeds[0][place] = where, structs.replace(deed, key="another")


@breaks_besides("I19")
def a_secret_is_in_a_log(spoilt: Spoilt) -> None:
    spoilt.texts.append(("worker.log:7", f"packed {{'word': '{SECRET}'}}".encode()))


@breaks_besides("I19")
def a_claim_id_is_in_a_value_of_the_backend(spoilt: Spoilt) -> None:
    spoilt.texts.append(("key squidmesh:default:x", b"\x81\xa5claim\xd9" + spoilt.day.claim_id.encode() + b"\xc0"))


@breaks_besides("I19")
def a_request_id_is_in_a_log(spoilt: Spoilt) -> None:
    """With it, its claims can be guessed."""
    spoilt.texts.append(("worker.log:8", b"asked as " + spoilt.day.claim_id.partition(":")[0].encode()))


@pytest.mark.parametrize("name", OTHERS)
def test_a_lie_of_anything_else_is_found_for_what_it_is(day: Day, name: str) -> None:
    lie, broken = OTHERS[name]
    spoilt = Spoilt(day)
    lie(spoilt)
    verdict = judge(spoilt.evidence())
    assert verdict.red == broken, verdict.table()
    assert all(verdict[number].problems for number in broken)
