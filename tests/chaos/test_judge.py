"""What the judge makes of a day on which nothing was broken, of what nobody knows, and of no evidence at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from chaos.evidence import Evidence, ListedJournal, Settings
from chaos.history import Fail, Fault, Invoke, Note, Ok, Place, Placed, Unknown, Unreadable
from chaos.judge import judge
from chaos.verdict import INVARIANTS
from tests.chaos.load import SWEEP, Day, a_bad_day
from tests.chaos.spoil import Spoilt
from tests.chaos.test_lies_of_others import an_item_is_lent_twice_at_a_time, an_item_is_missing_from_the_backend
from tests.features.world import SqliteWorld


def test_a_day_on_which_nothing_was_broken_is_green(day: Day) -> None:
    verdict = judge(day.evidence())
    assert verdict.ok, verdict.table()
    assert all(finding.checked for finding in verdict.findings), verdict.table()
    assert [finding.invariant for finding in verdict.findings] == list(INVARIANTS)


@pytest.mark.all
def test_so_is_one_on_journal_leases(tmp_path: Path) -> None:
    verdict = judge(a_bad_day(tmp_path, plane=SqliteWorld).evidence())
    assert verdict.ok, verdict.table()


def test_a_hash_of_a_claim_is_no_claim_id(day: Day) -> None:
    spoilt = Spoilt(day)
    hashes = [line.claim for _, _, line in spoilt.lines(Ok, answer="granted")]
    spoilt.texts += [("a row", str(claim).encode()) for claim in hashes]
    assert judge(spoilt.evidence()).ok


def test_a_cut_connection_proves_neither_success_nor_failure(day: Day) -> None:
    """Of every append that was answered nobody heard the answer: whether it is there or not is no lie."""
    spoilt = Spoilt(day)
    for number, place, line in list(spoilt.lines(Ok, op="append")):
        where = spoilt.histories[number][place][0]
        unknown = Unknown(mono=line.mono, call=line.call, op="append", n=line.n, answer="commit_unknown")
        spoilt.histories[number][place] = where, unknown
    assert judge(spoilt.evidence()).ok
    spoilt.forget("doom")
    spoilt.deeds = [[one for one in deeds if getattr(one[1], "run", "") != day.runs["doom"]] for deeds in spoilt.deeds]
    verdict = judge(spoilt.evidence(), not_applicable={"I16": "the run with the dead letter never began"})
    assert verdict.red <= {"I16"}, verdict.table()


def test_a_refused_append_that_stands_there_is_one(day: Day) -> None:
    spoilt = Spoilt(day)
    entry, _ = spoilt.entries("walk")[0]
    for number, place, line in list(spoilt.lines(Invoke, op="append", entry=entry.entry_id)):
        for later, (where, answer) in enumerate(spoilt.histories[number]):
            if isinstance(answer, Ok) and (answer.call, answer.n) == (line.call, line.n) and later > place:
                refused = Fail(mono=answer.mono, call=line.call, op="append", n=line.n, answer="conflict")
                spoilt.histories[number][later] = where, refused
    assert judge(spoilt.evidence()).red == {"I1"}


def test_a_lease_that_the_backend_lost_may_be_lent_again(day: Day) -> None:
    """While leases were lost, or a clock was moved, an overlap is nobody's fault."""
    spoilt = Spoilt(day)
    an_item_is_lent_twice_at_a_time(spoilt)
    number, place, forged = next(spoilt.lines(Ok, owner="sauron@1"))
    mark = Fault(mono=forged.mono - 500, name="failover", phase="applied", mark=77, harm="leases_rolled_back", at=0)
    healed = structs.replace(mark, mono=forged.mono + 500, phase="healed")
    spoilt.histories[number] += [(Place("storm.jsonl", 1), mark), (Place("storm.jsonl", 2), healed)]
    assert place
    assert judge(spoilt.evidence()).ok


def test_a_torn_last_line_is_noted_and_a_broken_one_is_not_forgiven(day: Day) -> None:
    torn: list[Placed] = [(Place("w.jsonl", 3), Unreadable(why="truncated", torn=True))]
    verdict = judge(with_lines(day, torn))
    assert verdict.ok
    assert any("w.jsonl:3" in note for note in verdict.notes)
    broken: list[Placed] = [
        (Place("w.jsonl", 3), Unreadable(why="no JSON", torn=False)),
        (Place("w.jsonl", 4), Note(mono=1, name="x")),
    ]
    verdict = judge(with_lines(day, broken))
    assert not verdict.ok
    assert not verdict.red
    assert "w.jsonl:3" in verdict.table()


def with_lines(day: Day, lines: list[Placed]) -> Evidence:
    evidence = day.evidence()
    return replace(evidence, histories=[*evidence.histories, lines])


def test_who_looked_at_nothing_has_found_nothing(day: Day) -> None:
    nothing = Evidence(journal=ListedJournal(dumps=[], now=day.journal.now))
    verdict = judge(nothing)
    assert not verdict.ok
    assert verdict.red == set(INVARIANTS)
    assert {finding.status for finding in verdict.findings} == {"nothing_checked"}


def test_without_histories_what_only_they_tell_was_not_checked(day: Day) -> None:
    evidence = replace(day.evidence(), histories=(), ledger=(), all_recorded=False, all_deeds=False)
    assert judge(evidence).red == {"I6", "I18", "I20"}
    reasons = {"I6": "no history", "I18": "no fault", "I20": "no fault"}
    verdict = judge(replace(evidence, searched=()), not_applicable=reasons)
    assert verdict.ok
    assert verdict["I6"].status == "not_applicable"
    assert "no history" in verdict.table()


def test_a_reason_excuses_nothing_that_is_broken(day: Day) -> None:
    spoilt = Spoilt(day)
    an_item_is_missing_from_the_backend(spoilt)
    assert judge(spoilt.evidence(), not_applicable={"I11": "because"}).red == {"I11"}
    with pytest.raises(ValueError, match="I21"):
        judge(spoilt.evidence(), not_applicable={"I21": "because"})


def test_a_run_for_which_nobody_has_come_is_stuck_only_for_who_is_impatient(day: Day) -> None:
    """``late`` has been ready for longer than a minute; whether workers were there, a deployment does not tell."""
    quick = Settings(lease=timedelta(seconds=30), sweep=SWEEP, max_deliveries=2, patience=timedelta(seconds=60))
    verdict = judge(day.evidence(settings=quick))
    assert verdict.red == {"I10"}, verdict.table()
    assert "waits for a worker" in verdict["I10"].problems[0].what
    assert judge(day.evidence(settings=replace(quick, patience=None))).ok
