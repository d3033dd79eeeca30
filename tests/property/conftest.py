"""What the machines need around them: pauses that do not last, and checkpoints that are near."""

from types import SimpleNamespace

import pytest
import tenacity.nap

from squidmesh.runtime import held


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer pauses before it tries again; nobody needs that here."""
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture(autouse=True)
def near_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint every few entries, so that short runs are folded from one."""
    monkeypatch.setattr(held, "CHECKPOINT_TAIL", 3)
