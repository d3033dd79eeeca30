"""The page of a day is one file, says whether it was green, and draws what was done on the time of what came of it."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from chaos.fleet.tallies import Second
from chaos.fleet.tally import WAITS
from chaos.report.charts import MOST_COLUMNS, columns, day_chart
from chaos.report.page import page_of, write_page
from chaos.scenarios.injector import Injection
from chaos.scenarios.outcome import Outcome
from chaos.scenarios.plan import Planned
from chaos.verdict import INVARIANTS, Finding, Verdict


def second(completed: int, **more: int) -> Second:
    return Second(counts=Counter(completed=completed, **more), waits=(completed, *[0] * len(WAITS)))


def injection(number: int, at: float, fault: str, *, evidence: str = "it was seen") -> Injection:
    planned = Planned(number=number, at=at, fault=fault, lasts=2.0, seed="1/1")
    made = Injection(planned, target="<redis>", evidence=evidence, applied=at, healed=at + 2)
    made.state = "over" if evidence else "unseen"
    return made


def outcome(**more: object) -> Outcome:
    findings = tuple(Finding(invariant=name, status="green", checked=1234) for name in INVARIANTS)
    told = {
        "scenario": "storm",
        "seed": 7,
        "load": 58.0,
        "rest": 2.0,
        "command": "python -m chaos run storm --seed 7",
        "steps": 6000,
        "injections": [injection(1, 5.0, "redis-killed"), injection(2, 20.0, "worker-killed")],
        "seconds": [second(100, lost=1 if n == 30 else 0) for n in range(60)],
        "verdict": Verdict(findings=findings),
    }
    return Outcome(**{**told, **more})  # type: ignore[arg-type]


def test_a_green_day_says_so_and_how_it_is_repeated(tmp_path: Path):
    write_page(outcome(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "GREEN" in page and "RED" not in page
    assert "python -m chaos run storm --seed 7" in page
    assert all(f"<b>{name}</b>" in page for name in INVARIANTS)
    assert "100/s" in page


def test_the_page_needs_nothing_from_elsewhere():
    assert re.findall(r"(?:src|href)=|url\(|@import|https?://", page_of(outcome())) == []


def test_a_day_is_red_by_a_finding_or_by_a_problem_and_names_it():
    findings = tuple(Finding(invariant=name, status="green", checked=1) for name in INVARIANTS)
    broken = Verdict(findings=(Finding(invariant="I1", status="red", checked=9, red=1), *findings[1:]))
    for red in (outcome(verdict=broken), outcome(problems=["<it> does not end"]), outcome(verdict=None)):
        assert not red.ok
        assert "RED" in page_of(red) and "GREEN" not in page_of(red)
    assert "&lt;it&gt; does not end" in page_of(outcome(problems=["<it> does not end"]))


def test_a_fault_that_nobody_saw_is_shown_as_such():
    page = page_of(outcome(injections=[injection(1, 5.0, "redis-killed", evidence="")]))
    assert "not seen to have happened" in page and 'class="leases unseen"' in page


def test_what_was_done_stands_at_its_time_above_what_came_of_it():
    told = outcome()
    drawn = ElementTree.fromstring(day_chart(told.injections, told.seconds, load=told.load))
    bars = [bar for bar in drawn.iter("rect") if bar.get("class") in ("leases", "workers")]
    first, other = (float(bar.attrib["x"]) for bar in bars[:2])
    assert {bar.get("class") for bar in bars[:2]} == {"leases", "workers"}
    begins = min(float(line.attrib["x1"]) for line in drawn.iter("line"))
    ends = max(float(line.attrib["x2"]) for line in drawn.iter("line"))
    for x, at in ((first, 20.0), (other, 5.0)):  # in the order of the register: workers first
        assert abs((x - begins) / (ends - begins) * 60 - at) < 1.0


def test_a_long_day_is_drawn_in_as_many_columns_as_one_can_tell_apart():
    found = columns([second(2) for _ in range(1801)])
    assert len(found) <= MOST_COLUMNS
    assert sum(column.second.counts["completed"] for column in found) == 3602
    assert {round(column.rate("completed")) for column in found} == {2}


def test_how_long_steps_waited_is_told_from_the_classes():
    mixed = Second(counts=Counter(), waits=(98, 0, 0, 0, 2, *[0] * (len(WAITS) - 4)))
    assert (mixed.waited(0.5), mixed.waited(0.99)) == (WAITS[0], WAITS[4])
    assert Second(counts=Counter(), waits=(0,) * (len(WAITS) + 1)).waited(0.5) is None
