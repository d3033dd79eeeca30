"""The command: plays many schedules, in one process or several, and shrinks the first one that is red."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

from chaos.simulator import planted
from chaos.simulator.play import Player, playing
from chaos.simulator.script import Script, load
from chaos.simulator.shrink import Shrinker
from chaos.simulator.world import Outcome

_CHUNK = 50
"""Schedules that a process plays before it says how it went."""
_EVERY = 5.0
"""Seconds between two words of progress, where nobody looks on."""


def main(arguments: Sequence[str]) -> int:
    """0 where all was well, 1 where a schedule is red, 2 for wrong arguments."""
    given = _parse(arguments)
    if given.list:
        for name in planted.names():
            print(f"{name}: {planted.about(name)}")
        return 0
    if given.replay is not None:
        return _replay(given)
    return _play(given)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.simulator", description=__doc__)
    parser.add_argument("--schedules", type=_positive, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first one; the next has the next (default: 0)")
    parser.add_argument("--workers", type=_positive, default=1, help="processes that play (default: 1)")
    parser.add_argument("--planted", choices=planted.names(), metavar="NAME", help="with this bug planted; see --list")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play this script, and show what happens")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the script of a red schedule is written to")
    parser.add_argument("--no-shrink", action="store_true", help="show a red schedule as it was drawn")
    parser.add_argument("--list", action="store_true", help="the bugs that can be planted")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is refused; allowed is 1 and more")
    return number


# ------------------------------------------------------------------------------------------------------ one script


def _replay(given: argparse.Namespace) -> int:
    script = load(given.replay)
    with playing() as player, _bug(given.planted):
        outcome = player.script(script)
    print("\n".join(outcome.history))
    print(f"digest {outcome.digest}")
    print(f"RED: {outcome.red}" if outcome.red else "nothing is broken")
    return 1 if outcome.red else 0


# ------------------------------------------------------------------------------------------------------ many seeds


def _play(given: argparse.Namespace) -> int:
    began = time.monotonic()
    progress = _Progress(began)
    found: tuple[int, Outcome] | None = None
    for played, red in _results(given):
        progress.add(played)
        if red is not None:
            found = red
            break
    progress.end()
    if found is None:
        print(f"{progress.told()}: nothing is broken")
        return 0
    return _show(given, *found)


def _results(given: argparse.Namespace) -> Iterator[tuple[int, tuple[int, Outcome] | None]]:
    """For each chunk, how many were played; and the first that is red, with its seed."""
    end = given.seed + given.schedules
    chunks = [range(first, min(first + _CHUNK, end)) for first in range(given.seed, end, _CHUNK)]
    if given.workers == 1:
        with playing() as player, _bug(given.planted):
            for chunk in chunks:
                yield _play_chunk(player, chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, mp_context=context) as pool:
        left = iter(chunks)
        running: set[Future[tuple[int, tuple[int, Outcome] | None]]] = set()
        try:
            while True:
                for chunk in islice(left, 2 * given.workers - len(running)):
                    running.add(pool.submit(_play_apart, chunk, given.planted))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()


def _play_apart(chunk: range, bug: str | None) -> tuple[int, tuple[int, Outcome] | None]:
    with playing() as player, _bug(bug):
        return _play_chunk(player, chunk)


def _play_chunk(player: Player, chunk: range) -> tuple[int, tuple[int, Outcome] | None]:
    for number, seed in enumerate(chunk, start=1):
        outcome = player.seed(seed)
        if outcome.red is not None:
            return number, (seed, outcome)
    return len(chunk), None


def _show(given: argparse.Namespace, seed: int, outcome: Outcome) -> int:
    """The red one, as short as it gets."""
    print(f"RED at seed {seed}: {outcome.red}")
    script: Script = outcome.script
    assert outcome.red is not None
    if not given.no_shrink:
        print(f"shrinking {len(script)} deeds and mishaps …", file=sys.stderr)
        with playing() as player, _bug(given.planted):
            script = Shrinker(player, outcome.red).shrink(script)
    print(script.to_json(), end="")
    if given.out is not None:
        given.out.write_text(script.to_json())
        print(f"written to {given.out}; python -m chaos.simulator --replay {given.out}")
    return 1


def _bug(name: str | None) -> planted.Planted:
    return nullcontext() if name is None else planted.planted(name)


class _Progress:
    """One line that is written over on a terminal; one now and then elsewhere."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._told_at = began
        self._played = 0
        self._on_terminal = sys.stderr.isatty()

    def add(self, played: int) -> None:
        self._played += played
        if self._on_terminal:
            print(f"\r{self.told()} ", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._told_at >= _EVERY:
            self._told_at = time.monotonic()
            print(self.told(), file=sys.stderr, flush=True)

    def told(self) -> str:
        rate = self._played / max(0.001, time.monotonic() - self._began) * 60
        return f"{self._played:,} schedules, {rate:,.0f} a minute"

    def end(self) -> None:
        if self._on_terminal:
            print(file=sys.stderr)
