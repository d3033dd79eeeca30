"""What every test of the shell needs: a store, and pauses that do not last."""

from types import SimpleNamespace

import pytest
import tenacity.nap

from tests.unit.runtime.rig import Rig


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer pauses before it tries again; nobody needs that here."""
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def rig() -> Rig:
    return Rig()
