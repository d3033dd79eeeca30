"""Each notebook is run as a script, every cell of it, in the environment in which ``./dev notebook`` opens it."""

import importlib.machinery
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.all, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.py") if "marimo.App(" in path.read_text())


def dev() -> ModuleType:
    """``./dev`` as a module."""
    loader = importlib.machinery.SourceFileLoader("dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def room() -> Path:
    commands = dev()
    with commands.one_at_a_time():
        return Path(commands.furnished("notebook", project=True))


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["getting_started", "workflow_authoring"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, room: Path, tmp_path: Path):
    command: list[str | Path] = [room / "bin" / "python", notebook]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_sound(notebook: Path, room: Path):
    command: list[str | Path] = [room / "bin" / "marimo", "check", "--strict", notebook]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
