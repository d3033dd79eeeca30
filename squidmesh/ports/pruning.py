"""What every store checks before it prunes."""

from __future__ import annotations

from collections.abc import Sequence

from squidmesh.errors import DataRefused
from squidmesh.ports.journal_store import Pruning


def check_pruned_once(runs: Sequence[Pruning]) -> None:
    """``DataRefused`` where a thread occurs twice."""
    if len({run.thread for run in runs}) != len(runs):
        raise DataRefused("a thread occurs twice in one call; allowed is once")
