"""Workers of two versions at one journal; hosts of both ask them for work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal, Self

from tests.compat.recorded import ROOT
from tests.compat.trade import Trade
from tests.scenarios.fleet import Fleet, Verdict, until

Version = Literal["old", "new"]


class MixedFleet(Fleet):
    """``old``: the folder of the other version. Each of the ``seats`` has a worker of some version, old at first; the
    store is migrated by the old version alone.
    """

    app = "tests.compat.app:mesh"
    workflow = Trade
    steps = ("picked", "charged", "shipped", "wrapped")

    def __init__(self, folder: Path, old: Path, *, url: str, leases: str | None = None, seats: int) -> None:
        super().__init__(folder, url=url, leases=leases, workers=0)
        self._old = old
        self._hires: Version = "old"
        self._mended = folder / "mended"
        self.seats: list[tuple[Version, subprocess.Popen[bytes]]] = []
        self.version_of: dict[int, Version] = {}
        """By the process id of a worker."""
        self._vacant = seats
        self.started = 0

    def __enter__(self) -> Self:
        self.ask("old", "migrate")
        for _ in range(self._vacant):
            self.seats.append(("old", self._hired("old")))
        return self

    def told(self) -> dict[str, str]:
        return self._told(self._hires)

    def _told(self, version: Version) -> dict[str, str]:
        places = [*([self._old] if version == "old" else []), ROOT, ROOT / "backends"]
        return {
            "COMPAT_URL": self.url,
            "COMPAT_LEASES": self.leases or "",
            "COMPAT_LEDGER": str(self.ledger),
            "COMPAT_MENDED": str(self._mended),
            "PYTHONPATH": os.pathsep.join(map(str, places)),
        }

    # -------------------------------------------------------------------------------------------------- workers

    def _hired(self, version: Version) -> subprocess.Popen[bytes]:
        self._hires = version
        self.hire()
        worker = self.workers[-1]
        self.version_of[worker.pid] = version
        until(lambda: "worker_started" in self.log(worker), f"a worker of the {version} version", within=60)
        return worker

    def replace(self, seat: int, version: Version) -> None:
        """As a deploy does it: the one is told to leave and lets its steps end, then the other comes."""
        _, leaves = self.seats[seat]
        leaves.send_signal(signal.SIGTERM)
        leaves.wait(30)
        self.seats[seat] = (version, self._hired(version))

    def fill(self) -> None:
        """Whose worker was killed has another one of its version."""
        for seat, (version, worker) in enumerate(self.seats):
            if worker.poll() is not None:
                assert worker.returncode == -signal.SIGKILL, f"{version}: {self.log(worker)[-2000:]}"
                self.seats[seat] = (version, self._hired(version))

    def mend(self) -> None:
        self._mended.touch()

    # ---------------------------------------------------------------------------------------------------- hosts

    def ask(self, version: Version, *words: object) -> Any:
        """A verb of :mod:`tests.compat.client`, in a process of that version."""
        return json.loads(self._say(version, "tests.compat.client", *words))

    def begin(self, version: Version, runs: int, *, poison: int = 0) -> None:
        """Started by a host of that version."""
        self.runs += self.ask(version, "start", self.started, runs, poison)
        self.started += runs

    def replay(self, version: Version, item: str) -> None:
        words = ("--app", self.app, "dead-letters", "replay", item, "--actor", version)
        self._say(version, "squidmesh", *words)

    def dead(self) -> list[str]:
        return [letter.item for letter in self.mesh.list_dead_letters().dead_letters]

    def _say(self, version: Version, module: str, *words: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            env=os.environ | self._told(version),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # ---------------------------------------------------------------------------------------------------- judge

    def finish(self, within: float = 90.0) -> None:
        """Every trade and its one child; the children are judged like all runs."""
        trades = list(self.runs)
        self.runs += [f"the child of {run_id}" for run_id in trades]
        super().finish(within)
        self.runs = trades + [child.run_id for run_id in trades for child in self.mesh.inspect_run(run_id).children]
        assert len(self.runs) == 2 * len(trades)

    def open_runs(self) -> list[str]:
        return [run_id for run_id in self.runs if "child" not in run_id and not self.mesh.inspect_run(run_id).ended]

    def judge(self) -> Verdict:
        """Besides: both versions tell the same of every run, and no thread ended by surprise."""
        verdict = super().judge()
        assert self.ask("old", "read", *self.runs) == self.ask("new", "read", *self.runs)
        assert "Traceback" not in self.logs(), self.logs()[-3000:]
        return verdict

    def crossings(self) -> Counter[tuple[Version, Version]]:
        """The versions that carried out the first and the last step of each run."""
        hands: dict[str, Version] = {}
        for line in self.ledger.read_text().splitlines():
            _, place, pid = line.split()
            if int(pid) in self.version_of:
                hands[place] = self.version_of[int(pid)]
        ends = [(hands.get(f"{run_id}/picked"), hands.get(f"{run_id}/shipped")) for run_id in self.runs]
        return Counter((first, last) for first, last in ends if first and last)
