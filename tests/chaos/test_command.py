"""The command line, and what makes a day red beside the judge."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.cli import main
from chaos.faults.register import FAULTS, NOT_INJECTED
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.day import excused, surprises
from chaos.scenarios.injector import Injection
from chaos.scenarios.plan import Planned


def invoked(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, words, env={"COLUMNS": "300"})
    return found.exit_code, found.output


def test_the_list_has_every_scenario_and_fault_and_what_is_not_injected():
    code, told = invoked("list")
    assert code == 0
    for name in (*SCENARIOS, *FAULTS, *NOT_INJECTED):
        assert name[:20] in told, name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "sunshine"), "no scenario 'sunshine'"),
        (("run", "storm", "--seconds", "1"), "--seconds"),
        (("run", "storm", "--seed", "one"), "--seed"),
        (("soak", "--journal", "mysql"), "--journal"),
        (("soak", "--leases", "kafka"), "--leases"),
        (("soak", "--minutes", "0"), "--minutes"),
        (("soak", "--workers", "1"), "--workers"),
        (("soak", "--every", "0"), "--every"),
        (("soak", "--open", "0"), "--open"),
        (("judge",), "--journal"),
    ],
)
def test_what_can_not_be_done_is_refused_by_name_before_anything_is_started(words: tuple[str, ...], told: str):
    code, output = invoked(*words)
    assert (code, told in output) == (2, True), output


def happened(*names: str) -> list[Injection]:
    return [
        Injection(Planned(number=n, at=0.0, fault=name, lasts=1.0, seed="1"), evidence="seen")
        for n, name in enumerate(names)
    ]


def test_an_invariant_is_excused_only_where_the_day_had_nothing_of_the_kind():
    quiet: Counter[str] = Counter()
    assert set(excused(happened("postgres-killed"), quiet)) == {"I16", "I18", "I20"}
    assert set(excused(happened("redis-flushed", "worker-killed"), quiet)) == {"I16"}
    assert set(excused(happened("redis-emptied", "poison-step"), Counter(dead=1))) == set()


def test_a_traceback_in_a_log_is_a_problem(tmp_path: Path):
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    good.write_text("worker_started\n")
    bad.write_text("worker_started\nTraceback (most recent call last):\n  File x\nKeyError: 'pump'\nworker_ended\n")
    assert surprises([(good, False), (bad, False), (bad, True)]) == ["bad.log: KeyError: 'pump'"] * 2


def test_a_sleep_that_libfaketime_refuses_is_no_surprise(tmp_path: Path):
    log = tmp_path / "worker.log"
    told = "OSError: [Errno 22] Invalid argument"
    sleep = f"Traceback (most recent call last):\n  File x\n    time.sleep(_LOOK)\n{told}\n"
    log.write_text(sleep)
    assert surprises([(log, True)]) == []
    assert surprises([(log, False)]) == [f"worker.log: {told}"]
    log.write_text(sleep + "Traceback (most recent call last):\n  File x\nKeyError: 'pump'\n")
    assert surprises([(log, True)]) == ["worker.log: KeyError: 'pump'"]
