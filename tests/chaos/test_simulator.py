"""The simulator: the same seed is the same history, what it plays is green, and a red schedule is shrunk to a script.

Thousands of schedules, and every planted bug, are tried under ``all``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.simulator import planted
from chaos.simulator.command import main
from chaos.simulator.play import Player, playing
from chaos.simulator.script import Deed, Mishap, Script, from_json, load
from chaos.simulator.shrink import Shrinker, kind_of

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "chaos/simulator/scripts"
QUICK = ("settle-before-commit", "reconciler-offers-claimed-rows-as-free", "join-without-the-last-sibling")
"""Bugs that are found within a few seeds. The others are tried under ``all``."""
_DIGESTS = """
import sys
from chaos.simulator.play import playing
with playing() as player:
    for seed in range(int(sys.argv[1])):
        print(player.seed(seed).digest)
"""


@pytest.fixture
def player() -> Iterator[Player]:
    with playing() as found:
        yield found


def digests(number: int, hash_seed: str) -> list[str]:
    """Of so many seeds, played in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run(
        [sys.executable, "-c", _DIGESTS, str(number)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return told.stdout.split()


def red_at(player: Player, seeds: range) -> tuple[int, str] | None:
    """The first seed whose schedule is red."""
    return next(((seed, red) for seed in seeds if (red := player.seed(seed).red) is not None), None)


def test_schedules_break_nothing(player: Player) -> None:
    assert red_at(player, range(60)) is None


def test_a_seed_and_the_script_that_comes_out_of_it_are_the_same_history(player: Player) -> None:
    for seed in range(200, 206):
        drawn = player.seed(seed)
        assert player.seed(seed).digest == drawn.digest
        assert player.script(from_json(drawn.script.to_json())).digest == drawn.digest
    assert player.seed(206).digest != drawn.digest


def test_two_processes_play_the_same_seeds_byte_for_byte() -> None:
    assert digests(3, "1") == digests(3, "2")


def test_what_a_schedule_does_is_worth_playing(player: Player) -> None:
    """It reaches what it is there for: takeovers, refusals, late calls, deaths, and the words of people."""
    told = "\n".join(line for seed in range(300, 330) for line in player.seed(seed).history)
    for word in (
        "dies",
        "arrives late",
        "stale_write_refused",
        "claim_refused",
        "lease_backend_adopted",
        "timer_fired",
        "step.left!undo",
        "has begun a transaction",
    ):
        assert word in told, f"no schedule has come to {word!r}"


@pytest.mark.parametrize("bug", QUICK)
def test_a_planted_bug_is_found(bug: str, player: Player) -> None:
    with planted.planted(bug):
        assert red_at(player, range(40)) is not None
    assert red_at(player, range(3)) is None, "the bug is gone with its block"


def test_every_bug_can_still_be_planted() -> None:
    planted.check()


def test_a_red_schedule_is_shrunk_to_a_script_that_is_red_without_its_seed(player: Player) -> None:
    with planted.planted("settle-before-commit"):
        drawn = player.seed(0)
        assert drawn.red is not None
        short = Shrinker(player, drawn.red).shrink(drawn.script)
        assert len(short) <= 2 < len(drawn.script)
        assert kind_of(player.script(from_json(short.to_json())).red or "") == kind_of(drawn.red)
    assert player.script(short).red is None
    with pytest.raises(ValueError, match="not red"):
        Shrinker(player, drawn.red).shrink(short)


def test_what_was_red_once_is_green(player: Player) -> None:
    """Schedules that have found something in the product."""
    for path in sorted(SCRIPTS.glob("*.json")):
        assert player.script(load(path)).red is None, path.name


@pytest.mark.parametrize("bug", sorted(path.stem for path in SCRIPTS.glob("planted/*.json")))
def test_the_script_of_a_planted_bug_is_red_with_it_and_green_without(bug: str, player: Player) -> None:
    script = load(SCRIPTS / "planted" / f"{bug}.json")
    with planted.planted(bug):
        assert player.script(script).red == script.note
    assert player.script(script).red is None


def test_a_script_is_read_as_it_was_written() -> None:
    script = Script(
        chance=3,
        deeds=(Deed(at=0.5, do="start", who="r0", what="Line"),),
        mishaps=(Mishap(who="client", call="journal.commit", nth=1, what="late", seconds=2.0),),
        note='with "quotes"',
    )
    assert from_json(script.to_json()) == script


def test_the_command_plays_shrinks_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "red.json"
    assert main(["--schedules", "3", "--seed", "7"]) == 0
    assert "3 schedules" in capsys.readouterr().out
    bug = ["--planted", "reconciler-offers-claimed-rows-as-free"]
    assert main(["--schedules", "40", "--out", str(file), *bug]) == 1
    assert "RED at seed" in capsys.readouterr().out
    assert main(["--replay", str(file)]) == 0
    assert "nothing is broken" in capsys.readouterr().out
    assert main(["--replay", str(file), *bug]) == 1
    assert "RED: 3.8" in capsys.readouterr().out
    assert main(["--list"]) == 0
    assert "cursor-by-sequence: 3.8" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--schedules", "0"])


@pytest.mark.all
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bug", [bug for bug in planted.names() if bug not in QUICK])
def test_each_planted_bug_is_found(bug: str, player: Player) -> None:
    with planted.planted(bug):
        assert red_at(player, range(1500)) is not None


@pytest.mark.all
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("thousand", range(4))
def test_thousands_of_schedules_break_nothing(thousand: int, player: Player) -> None:
    first = 100_000 + 1000 * thousand
    assert red_at(player, range(first, first + 1000)) is None


@pytest.mark.all
@pytest.mark.timeout(600)
def test_two_processes_share_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "120", "--workers", "2"]) == 0
    assert "120 schedules" in capsys.readouterr().out
    assert main(["--schedules", "120", "--workers", "2", "--planted", "settle-before-commit", "--no-shrink"]) == 1
    assert "RED at seed" in capsys.readouterr().out
